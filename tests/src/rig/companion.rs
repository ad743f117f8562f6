//! `firstlight serve` as a child.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{run, wait};

#[derive(Debug)]
pub struct Companion {
    child: Child,
    log: PathBuf,
}

impl Companion {
    /// Starts the daemon and waits until its socket answers. Its log goes beside the state folder, where its configuration
    /// may be (`STATE.toml`).
    pub fn start(program: &Path, state: &Path, listen: SocketAddr) -> Result<Self> {
        let log = state.with_extension("companion.log");
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", &listen.to_string()]);
        let configuration = state.with_extension("toml");
        if configuration.is_file() {
            command.arg("--config").arg(configuration);
        }
        let child = command
            .env("FIRSTLIGHT_STATE", state)
            .process_group(0) // Ctrl-C is for the one who started us, who then stops the daemon in order
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut companion = Self { child, log };
        let answers = wait::until("the companion's socket", Duration::from_secs(30), || {
            let ended = companion.child.try_wait().ok().flatten();
            (ended.is_some() || UnixStream::connect(state.join("control.sock")).is_ok()).then_some(ended)
        });
        match answers {
            Ok(None) => Ok(companion),
            Ok(Some(status)) => bail!("the companion ended at once ({status}):\n{}", companion.log()),
            Err(error) => {
                let log = companion.log();
                companion.kill();
                Err(error).context(log)
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its last words.
    pub fn log(&self) -> String {
        run::tail(&fs::read_to_string(&self.log).unwrap_or_default(), 40)
    }

    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and the end must come in time.
    pub fn stop(mut self) -> Result<()> {
        terminate(self.child.id());
        let ended = wait::until("the companion to stop", Duration::from_secs(30), || {
            self.child.try_wait().ok().flatten()
        });
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!("the companion stopped with {status}:\n{}", self.log()),
            Err(error) => {
                let log = self.log();
                self.kill();
                Err(error).context(log)
            }
        }
    }
}

/// SIGTERM to one process.
pub fn terminate(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM); // it may be gone already
    }
}
