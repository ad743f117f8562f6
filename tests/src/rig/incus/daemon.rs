//! `incusd` as a child, in the namespaces of its holder.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::holder::Holder;
use crate::{run, wait};

/// Where Debian keeps it, and where upstream's own packages do.
const PROGRAMS: [&str; 2] = ["/usr/libexec/incus/incusd", "/opt/incus/bin/incusd"];

#[derive(Debug)]
pub(super) struct Daemon {
    /// It entered the namespaces and waits for the server.
    outer: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it on `directory`, and waits until it is asked in vain no more. Guests of an earlier one go on.
    pub(super) fn start(
        holder: &Holder,
        directory: &Path,
        log: &Path,
        environment: &[(&'static str, String)],
    ) -> Result<Self> {
        let Some(program) = PROGRAMS.iter().find(|program| Path::new(program).is_file()) else {
            bail!("there is no incusd in {}: install the package incus-base", PROGRAMS.join(" or "))
        };
        let file = File::options().create(true).append(true).open(log)?;
        let outer = holder
            .command(&["setsid", "--wait", program, "--group", "root"])
            .env("INCUS_DIR", directory)
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("incusd cannot be started")?;
        let mut daemon = Self { outer, log: log.to_owned() };
        let ready = wait::until("the Incus server", Duration::from_secs(60), || {
            let ended = daemon.outer.try_wait().ok().flatten();
            let answers = || {
                let mut asked = run::command(["incus", "admin", "waitready", "--timeout", "30"]);
                run::run(asked.env("INCUS_DIR", directory)).is_ok_and(|ran| ran.ok())
            };
            (ended.is_some() || answers()).then_some(ended)
        });
        match ready {
            Ok(None) => Ok(daemon),
            other => bail!("the Incus server does not start ({other:?}): {}", daemon.said()),
        }
    }

    /// Its last words.
    pub(super) fn said(&self) -> String {
        run::tail(&fs::read_to_string(&self.log).unwrap_or_default(), 30)
    }

    /// After its namespaces have ended.
    pub(super) fn bury(mut self) {
        let _ = self.outer.wait();
    }

    /// SIGKILL: its guests live on.
    pub(super) fn kill(mut self) -> Result<()> {
        let pid =
            wait::until("the server's process", Duration::from_secs(10), || server_below(self.outer.id()))?;
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL).context("the server cannot be killed")?;
        self.outer.wait().context("the server was lost")?;
        Ok(())
    }
}

/// It may be the child of the one who entered the namespaces, or of another in between.
fn server_below(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let child = children.split_whitespace().next()?.parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
    if name.trim() == "incusd" { Some(child) } else { server_below(child) }
}
