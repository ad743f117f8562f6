//! `incus wait INSTANCE status=Ready`, as it does it: it reads the instance, then its state every five seconds until it
//! fits. Incus 6.0 has no such command yet, so its loop is run here against the real server.
//! Source: cmd/incus/wait.go of Incus 7.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::side_by_side;
use crate::rig::incus::{GOLDEN, IncusServer};
use crate::run;

/// What `--interval` is unless it is given.
const INTERVAL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(600);

/// Launches these side by side and waits for each; when each wait was over, in microseconds since 1970.
pub(super) fn launch_and_wait(server: &IncusServer, names: &[String]) -> Result<BTreeMap<String, u64>> {
    let socket = server.socket();
    let ready = side_by_side(names, |name| {
        run::must(server.command().args(["launch", "--quiet", GOLDEN, name]))?;
        wait(&socket, name)
    })?;
    Ok(names.iter().cloned().zip(ready).collect())
}

fn wait(socket: &Path, name: &str) -> Result<u64> {
    let began = Instant::now();
    get(socket, &format!("/1.0/instances/{name}"))?;
    while began.elapsed() < PATIENCE {
        let state = get(socket, &format!("/1.0/instances/{name}/state"))?;
        if state["status"].as_str().is_some_and(|status| status.eq_ignore_ascii_case("Ready")) {
            return Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?);
        }
        thread::sleep(INTERVAL);
    }
    bail!("{name} was not ready within {} s", PATIENCE.as_secs())
}

/// In one process, as the command does it.
fn get(socket: &Path, path: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: incus\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    Ok(serde_json::from_str::<Value>(body)?["metadata"].take())
}
