//! `cargo xtask bench incus`: the same guests, brought up by the companion and by the script that people write, on one real
//! server; and how soon the companion knows of a guest that says Ready.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{median, milliseconds};
use crate::golden::{self, LOGIN_KEY, Variant};
use crate::rig::incus::{GOLDEN, IncusServer};
use crate::rig::{Companion, free_port};
use crate::{build, packages, run};

const USUAL: usize = 20;
const RATIO: f64 = 1.05;
const REACTION: Duration = Duration::from_millis(20);
/// `incus wait` would look this often.
const POLL: Duration = Duration::from_secs(5);

/// A round for each number of guests.
///
/// # Errors
/// Not root, a tool is missing, or a bring-up failed.
pub fn incus(guests: &[usize], release: bool) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the figures need a real server: run this as root");
    packages::ensure_incus()?;
    let programs = build::programs(release)?;
    let goldens = golden::ensure(&programs.guest, &[Variant::Dhcp])?;
    let image = golden::archive(&goldens, Variant::Dhcp);
    let bench = Bench::start(&programs.companion, &image, goldens.join(LOGIN_KEY))?;
    println!("{:<44} {:>12} {:>12} {:>6}  aim", "wall time, one run each", "ours", "script", "ratio");
    let mut reactions = Vec::new();
    bench.ours("first", 1)?; // warms the page cache, and is not counted
    for count in if guests.is_empty() { &[USUAL][..] } else { guests } {
        let script = bench.script(*count)?;
        let (ours, mut told) = bench.ours("web", *count)?;
        reactions.append(&mut told);
        let ratio = ours.as_secs_f64() / script.as_secs_f64();
        println!(
            "{:<44} {:>9.1} s  {:>9.1} s  {ratio:>6.2}  <= {RATIO}",
            format!("{count} guests until verified ready"),
            ours.as_secs_f64(),
            script.as_secs_f64()
        );
    }
    let seen = reactions.len();
    println!(
        "{:<44} {:>9.1} ms {:>9.0} ms         <= {} ms",
        format!("Ready told -> report taken and bound (n={seen})"),
        milliseconds(median(&mut reactions)),
        milliseconds(POLL / 2),
        REACTION.as_millis()
    );
    bench.end()
}

struct Bench {
    companion: Companion,
    monitor: Monitor,
    server: IncusServer,
    program: PathBuf,
    key: PathBuf,
    folder: TempDir,
}

impl Bench {
    fn start(program: &Path, image: &Path, key: PathBuf) -> Result<Self> {
        let server = IncusServer::start(&[(GOLDEN, image)])?;
        let folder = tempfile::Builder::new().prefix("firstlight-bench-").tempdir()?;
        let (state, port) = (folder.path().join("state"), free_port());
        fs::create_dir(&state)?;
        let text = format!(
            "[limits]\nnode = 20\nstorage = 20\n\
             [reports]\nurl = \"https://{}:{port}\"\n[incus]\nsocket = \"{}\"\n",
            server.gateway(),
            server.socket().display()
        );
        fs::write(state.with_extension("toml"), text)?;
        let companion = Companion::start(program, &state, ([0, 0, 0, 0], port).into())?;
        let monitor = Monitor::start(&server, folder.path().join("events"))?;
        Ok(Self { companion, monitor, server, program: program.to_owned(), key, folder })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("FIRSTLIGHT_STATE", self.folder.path().join("state"));
        command
    }

    /// From the order to the last verified guest, and what passed between each guest's word and the end of our wait.
    fn ours(&self, name: &str, count: usize) -> Result<(Duration, Vec<Duration>)> {
        let spec = self.folder.path().join("spec.toml");
        let text = format!(
            "[[guest]]\nname = \"{name}-{{n}}\"\ncount = {count}\nbackend = \"incus\"\ngolden = \"{GOLDEN}\"\n\
             [guest.readiness]\ntimeout = \"10m\"\nrequire = [\"system-running\", \"sshd\"]\n"
        );
        fs::write(&spec, text)?;
        let start = Instant::now();
        let said = run::must(self.command(&["up", "--json"]).arg(&spec))?;
        let took = start.elapsed();
        let document: Value = serde_json::from_str(&said)?;
        let guests = document["guests"].as_array().context("`up` lists guests")?;
        ensure!(guests.iter().all(|guest| guest["trust"] == "attested"), "not all are attested: {said}");
        let ready = self.monitor.ready()?;
        let reactions = guests.iter().filter_map(|guest| reaction(guest, &ready)).collect();
        run::must(&mut self.command(&["destroy", "--all"]))?;
        Ok((took, reactions))
    }

    fn script(&self, count: usize) -> Result<Duration> {
        let names: Vec<String> = (1..=count).map(|number| format!("script-{number}")).collect();
        let mut script = run::command(["bash", "-c", include_str!("incus.sh"), "script", GOLDEN]);
        script.env("INCUS_DIR", self.server.directory());
        script.env("INCUS_CONF", self.folder.path().join("client")).arg(&self.key).args(&names);
        let start = Instant::now();
        run::must(&mut script)?;
        let took = start.elapsed();
        run::must(self.server.command().args(["delete", "--force"]).args(&names))?;
        Ok(took)
    }

    fn end(self) -> Result<()> {
        let Self { companion, server, monitor, .. } = self;
        companion.stop()?;
        drop(monitor);
        drop(server);
        Ok(())
    }
}

/// The server's own word of what happens, beside the companion.
struct Monitor {
    child: Child,
    events: PathBuf,
}

impl Monitor {
    fn start(server: &IncusServer, events: PathBuf) -> Result<Self> {
        let mut monitor = server.command();
        monitor.args(["monitor", "--type", "lifecycle", "--format", "json"]);
        let child = monitor.stdin(Stdio::null()).stdout(File::create(&events)?).spawn()?;
        Ok(Self { child, events })
    }

    /// When each guest said that it is ready, in milliseconds since 1970.
    fn ready(&self) -> Result<BTreeMap<String, u64>> {
        let mut ready = BTreeMap::new();
        for line in fs::read_to_string(&self.events)?.lines() {
            // Lines are apart by empty ones, and the last may be half written.
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            if event["metadata"]["action"] != "instance-ready" {
                continue;
            }
            let name = event["metadata"]["source"].as_str().and_then(|path| path.rsplit('/').next());
            let at = event["timestamp"].as_str().context("an event has a time")?;
            let at = run::must(&mut run::command(["date", "--date", at, "+%s%3N"]))?.trim().parse()?;
            ready.insert(name.context("an event names an instance")?.to_owned(), at);
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

/// From the event to the end of the wait. A report that came over the network first is there before the event.
fn reaction(guest: &Value, ready: &BTreeMap<String, u64>) -> Option<Duration> {
    let told = ready.get(guest["name"].as_str()?)?;
    let step = guest["steps"].as_array()?.iter().find(|step| step["name"] == "await-report")?;
    let end = step["started_at_ms"].as_u64()? + step["duration_ms"].as_u64()?;
    Some(Duration::from_millis(end.saturating_sub(*told)))
}
