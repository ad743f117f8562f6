//! The namespaces that a server lives in: nothing outlives them, not even where this process is killed.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::guest::bare::cgroup_mount;
use crate::{run, wait};

#[derive(Debug)]
pub(super) struct Holder {
    script: Option<Child>,
    cgroup: PathBuf,
    /// The namespaces' first process, by its number on this machine.
    init: u32,
}

impl Holder {
    /// Makes them; `folder` is made, and removed in the end.
    pub(super) fn start(name: &str, folder: &Path) -> Result<Self> {
        let cgroup = cgroup_mount()?.join(name);
        let log = folder.with_extension("log");
        let said = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("hold.sh"), "hold"]).arg(&cgroup).arg(folder);
        // A group of its own: Ctrl-C is for the one who started us.
        command.process_group(0).stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said);
        let mut script = command.spawn().context("sh cannot be started")?;
        let ready = wait::until("the server's namespaces", Duration::from_secs(30), || {
            let ended = script.try_wait().ok().flatten();
            (ended.is_some() || folder.join("ready").exists()).then_some(ended)
        });
        let mut holder = Self { script: Some(script), cgroup, init: 0 };
        let failed = !matches!(ready, Ok(None));
        holder.init = holder.find_init().filter(|_| !failed).unwrap_or_default();
        let said = fs::read_to_string(&log).unwrap_or_default();
        fs::remove_file(&log)?;
        if holder.init == 0 {
            bail!("namespaces for a server cannot be made: {}", run::tail(&said, 5));
        }
        Ok(holder)
    }

    fn find_init(&self) -> Option<u32> {
        let processes = fs::read_to_string(self.cgroup.join("init.scope/cgroup.procs")).ok()?;
        processes.lines().filter_map(|line| line.parse().ok()).find(|pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            numbers.is_some_and(|numbers| numbers.split_whitespace().nth(1) == Some("1"))
        })
    }

    pub(super) fn init(&self) -> u32 {
        self.init
    }

    pub(super) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// A program that runs in there.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo 0 > "$1" && shift && exec nsenter "$@""#, "enter"]);
        command.arg(self.cgroup.join("init.scope/cgroup.procs"));
        command.args(["--all", "--target", &self.init.to_string(), "--"]).args(words);
        command
    }

    /// Ends all that runs in there, and waits until nothing is left. Repeatable.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some(mut script) = self.script.take() else { return Ok(()) };
        drop(script.stdin.take());
        let status = script.wait().context("the holder of the server's namespaces was lost")?;
        ensure!(status.success(), "something of a server is left: its holder ended with {status}");
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.end(); // whoever had a whole server has called it, and heard of the end
    }
}
