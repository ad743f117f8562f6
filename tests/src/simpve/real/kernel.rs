//! Cgroups, namespaces and processes of a rig.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{run, wait};

/// Enters the cgroup named first (`0` is the writer itself), and becomes the rest.
const ENTER: &str = r#"echo 0 > "$1" && shift && exec "$@""#;

/// A command that runs in a cgroup of its own from its first moment on, apart from our terminal.
pub(super) fn within(cgroup: &Path, line: &[OsString]) -> Result<Command> {
    fs::create_dir_all(cgroup).with_context(|| format!("{} cannot be made", cgroup.display()))?;
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", ENTER, "enter"]).arg(cgroup.join("cgroup.procs")).args(line);
    command.stdin(Stdio::null());
    Ok(command)
}

/// Starts it; all it says goes to this file.
pub(super) fn spawn(cgroup: &Path, line: &[OsString], log: &Path) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = within(cgroup, line)?;
    command.stdout(log.try_clone()?).stderr(log);
    let mut child =
        command.spawn().with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    // Until it has entered its cgroup, whoever kills that would miss it.
    let entered = wait::until("a process to enter its cgroup", Duration::from_secs(20), || {
        (populated(cgroup) || !matches!(child.try_wait(), Ok(None))).then_some(())
    });
    if let Err(error) = entered {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(child)
}

fn populated(cgroup: &Path) -> bool {
    let events = fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "populated 1")
}

/// `ip`, in a namespace; the command is split at spaces.
pub(super) fn ip(namespace: &str, command: &str) -> Result<String> {
    run::must(run::command(["ip", "-n", namespace]).args(command.split(' ')))
}

pub(super) fn add_namespace(name: &str) -> Result<()> {
    run::must(&mut run::command(["ip", "netns", "add", name])).map(drop)
}

/// With all that is in it. One that is not there stays away.
pub(super) fn delete_namespace(name: &str) -> Result<()> {
    if !Path::new("/run/netns").join(name).exists() {
        return Ok(());
    }
    run::must(&mut run::command(["ip", "netns", "delete", name])).map(drop)
}

/// Words of a command line.
pub(super) fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(OsString::from).to_vec()
}
