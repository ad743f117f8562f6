//! The server's own word of what happens, beside the companion.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::rig::incus::IncusServer;
use crate::run;

pub(super) struct Monitor {
    child: Child,
    events: PathBuf,
}

impl Monitor {
    pub(super) fn start(server: &IncusServer, events: PathBuf) -> Result<Self> {
        let mut monitor = server.command();
        monitor.args(["monitor", "--type", "lifecycle", "--format", "json"]);
        let child = monitor.stdin(Stdio::null()).stdout(File::create(&events)?).spawn()?;
        Ok(Self { child, events })
    }

    /// When each guest whose name begins so said that it is ready, by the server's clock: microseconds since 1970.
    pub(super) fn ready(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let mut ready = BTreeMap::new();
        for line in fs::read_to_string(&self.events)?.lines() {
            // Lines are apart by empty ones, and the last may be half written.
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let source = event["metadata"]["source"].as_str().unwrap_or_default();
            let name = source.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            if event["metadata"]["action"] != "instance-ready" || !name.starts_with(prefix) {
                continue;
            }
            let at = event["timestamp"].as_str().context("an event has a time")?;
            let at = run::must(&mut run::command(["date", "--date", at, "+%s%6N"]))?.trim().parse()?;
            ready.insert(name.to_owned(), at);
        }
        Ok(ready)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
