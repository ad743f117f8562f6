//! Starts processes that outlive the companion, and ends them: in cgroups of ours, or as transient units where systemd
//! is PID 1 (there the companion's own cgroup dies with its service, and systemd owns the tree).

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::cgroup::{self, Hierarchy};
use super::exec::{self, ExecError};
use super::names::Names;
use super::stamp::file_fault;
use crate::outcome::Fault;

/// Enters the cgroup named first. `0` stands for the writing process.
const ENTER: &str = r#"echo 0 >"$1" && shift"#;
/// Shows cgroup2 alone, as systemd-nspawn wants it, in the private mount namespace that it runs in.
const PURE: &str = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup";
/// Becomes the rest.
const EXEC: &str = r#"exec "$@""#;
/// Runs the rest again and again as long as it asks for that: a guest that reboots.
const AGAIN: &str = r#"while :; do "$@"; status=$?; [ "$status" -eq 133 ] || exit "$status"; done"#;
/// systemd-nspawn's exit code when its guest reboots. Source: systemd-nspawn(1), "Exit status"; systemd-nspawn@.service.
const REBOOT: u8 = 133;

/// What a process needs to see of cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Any,
    /// cgroup2 at /sys/fs/cgroup, and a new start after a reboot: a guest.
    Pure,
}

/// Knows where this machine keeps long-lived processes.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    names: Names,
    hierarchy: Hierarchy,
    systemd: bool,
}

impl Keeper {
    /// Looks at the machine.
    pub(super) fn detect(names: &Names) -> Result<Self, Fault> {
        let systemd = Path::new("/run/systemd/system").is_dir();
        Ok(Self { names: names.clone(), hierarchy: cgroup::find()?, systemd })
    }

    /// The cgroup of something started, if there is one now.
    pub(super) async fn cgroup(&self, what: &str) -> Result<Option<PathBuf>, Fault> {
        let path = if self.systemd {
            let unit = self.names.unit(what);
            let arguments = ["show", "--property=ControlGroup", "--value", "--", &unit];
            let shown = exec::run_text("systemctl", &arguments).await?;
            let shown = String::from_utf8_lossy(&shown).trim().trim_start_matches('/').to_owned();
            if shown.is_empty() {
                return Ok(None);
            }
            self.hierarchy.mount.join(shown)
        } else {
            self.own_cgroup(what)
        };
        Ok(path.is_dir().then_some(path))
    }

    fn own_cgroup(&self, what: &str) -> PathBuf {
        self.hierarchy.mount.join(self.names.cgroup()).join(what)
    }

    /// Whether anything of it runs.
    pub(super) async fn runs(&self, what: &str) -> Result<bool, Fault> {
        Ok(self.cgroup(what).await?.is_some_and(|cgroup| cgroup::populated(&cgroup)))
    }

    /// Names of all that runs.
    pub(super) async fn running(&self) -> Result<Vec<String>, Fault> {
        if self.systemd {
            let pattern = self.names.unit("*");
            let list = [
                "list-units",
                "--plain",
                "--no-legend",
                "--full",
                "--state=active,activating",
                "--",
                &pattern,
            ];
            let shown = exec::run_text("systemctl", &list).await?;
            return Ok(parse_units(&String::from_utf8_lossy(&shown), &pattern));
        }
        let folder = self.hierarchy.mount.join(self.names.cgroup());
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let populated = entries.filter(|entry| cgroup::populated(&entry.path()));
        Ok(populated.filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// Starts a tool; what it says is appended to `output`. Gives back when it is in its cgroup, or has ended already.
    pub(super) async fn launch(
        &self,
        what: &str,
        view: View,
        command: &[OsString],
        output: &Path,
    ) -> Result<(), Fault> {
        let make_pure = view == View::Pure && !self.hierarchy.pure;
        if self.systemd {
            let arguments = unit_arguments(&self.names.unit(what), view, make_pure, command, output);
            let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
            exec::run("systemd-run", &arguments).await?;
            return Ok(());
        }
        let cgroup = self.own_cgroup(what);
        fs::create_dir_all(&cgroup).map_err(|error| file_fault("make a cgroup", &cgroup, &error))?;
        let mut child = spawn_detached(&cgroup_arguments(&cgroup, view, make_pure, command), output)?;
        // Until it has entered its cgroup nobody could tell it from one that has ended.
        while !cgroup::populated(&cgroup) && matches!(child.try_wait(), Ok(None)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Reaps it, should it end while we live.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Kills it whole and waits until nothing is left of it. Repeatable.
    pub(super) async fn end(&self, what: &str) -> Result<(), Fault> {
        if !self.systemd {
            cgroup::remove(&self.own_cgroup(what)).await?;
            cgroup::remove_if_empty(&self.hierarchy.mount.join(self.names.cgroup()));
            return Ok(());
        }
        if let Some(path) = self.cgroup(what).await? {
            // If this does not kill, the check below says so.
            let _ = fs::write(path.join("cgroup.kill"), "1");
        }
        let unit = self.names.unit(what);
        for verb in ["stop", "reset-failed"] {
            // Fails for a unit that is gone, which is what is wanted.
            let _ = exec::run_text("systemctl", &[verb, "--", &unit]).await;
        }
        if self.runs(what).await? {
            return Err(Fault::new("unit-stuck", format!("{unit} does not end"))
                .with_hint(format!("systemctl status {unit}")));
        }
        Ok(())
    }

    /// Commands for people: how to look at it, and how to end it.
    pub(super) fn manual(&self, what: &str) -> Vec<String> {
        if self.systemd {
            let unit = self.names.unit(what);
            return vec![format!("systemctl status {unit}"), format!("systemctl kill --signal=KILL {unit}")];
        }
        let cgroup = self.own_cgroup(what);
        let cgroup = cgroup.display();
        vec![
            format!("cat {cgroup}/cgroup.events"),
            format!("echo 1 > {cgroup}/cgroup.kill"),
            format!("find {cgroup} -depth -type d -exec rmdir {{}} +"),
        ]
    }
}

/// The names within unit names, the first word of each line of `systemctl list-units`.
fn parse_units(list: &str, pattern: &str) -> Vec<String> {
    let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
    let units = list.lines().filter_map(|line| line.split_whitespace().next());
    units.filter_map(|unit| unit.strip_prefix(before)?.strip_suffix(after)).map(ToOwned::to_owned).collect()
}

fn cgroup_arguments(cgroup: &Path, view: View, make_pure: bool, command: &[OsString]) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["setsid".into()];
    if make_pure {
        line.extend(["unshare", "--mount", "--propagation", "slave"].map(OsString::from));
    }
    let run = if view == View::Pure { AGAIN } else { EXEC };
    let script = if make_pure { format!("{ENTER} && {PURE} && {run}") } else { format!("{ENTER} && {run}") };
    line.extend(["sh", "-c", &script, "sh"].map(OsString::from));
    line.push(cgroup.join("cgroup.procs").into_os_string());
    line.extend_from_slice(command);
    line
}

fn unit_arguments(
    unit: &str,
    view: View,
    make_pure: bool,
    command: &[OsString],
    output: &Path,
) -> Vec<OsString> {
    let mut line: Vec<OsString> =
        ["--quiet", "--collect", "--service-type=exec"].map(OsString::from).to_vec();
    line.push(format!("--unit={unit}").into());
    line.push(format!("--description=Firstlight: {}", unit.trim_end_matches(".service")).into());
    let properties = ["Delegate=yes", "KillMode=mixed", "TasksMax=16384", "OOMPolicy=continue"];
    line.extend(properties.map(|property| OsString::from(format!("--property={property}"))));
    if view == View::Pure {
        line.push(format!("--property=SuccessExitStatus={REBOOT}").into());
        line.push(format!("--property=RestartForceExitStatus={REBOOT}").into());
    }
    let mut appended = OsString::from("--property=StandardOutput=append:");
    appended.push(output);
    line.extend([appended, "--property=StandardInput=null".into(), "--".into()]);
    if make_pure {
        let script = format!("{PURE} && {EXEC}");
        let wrapper = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", &script, "sh"];
        line.extend(wrapper.map(|word| escape_dollars(OsStr::new(word))));
    }
    line.extend(command.iter().map(|word| escape_dollars(word)));
    line
}

/// A service's command line has its variables expanded; `$$` is a plain dollar.
fn escape_dollars(word: &OsStr) -> OsString {
    match word.to_str() {
        Some(text) => text.replace('$', "$$").into(),
        None => word.to_owned(),
    }
}

fn spawn_detached(line: &[OsString], output: &Path) -> Result<Child, Fault> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(output);
    let log = opened.and_then(|log| Ok((log.try_clone()?, log)));
    let (stdout, stderr) = log.map_err(|error| file_fault("open the log", output, &error))?;
    let [tool, arguments @ ..] = line else {
        return Err(Fault::new("empty-command", "there is nothing to start"));
    };
    let name = tool.to_string_lossy();
    let program = exec::find(&name).ok_or_else(|| ExecError::Missing { tool: name.clone().into_owned() })?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(exec::environment())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|source| ExecError::Start { tool: name.into_owned(), source })?;
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &[OsString]) -> String {
        line.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn guests_start_again_after_a_reboot_and_see_pure_cgroups() {
        assert!(AGAIN.contains(&REBOOT.to_string()));
        let command = [OsString::from("tool"), OsString::from("--x=$HOME")];
        let shared = text(&cgroup_arguments(Path::new("/c"), View::Any, false, &command));
        assert_eq!(shared, format!("setsid sh -c {ENTER} && {EXEC} sh /c/cgroup.procs tool --x=$HOME"));
        let guest = text(&cgroup_arguments(Path::new("/c"), View::Pure, true, &command));
        assert!(guest.starts_with("setsid unshare --mount --propagation slave sh -c"), "{guest}");
        assert!(guest.contains(PURE) && guest.contains(AGAIN), "{guest}");
    }

    #[test]
    fn running_units_are_known_by_their_names() {
        let list = "firstlight-ab12-web-01.19c0.service loaded active running Firstlight: x\n\
                    firstlight-ab12-.fabric.service loaded active running\n  other.service loaded\n\n";
        assert_eq!(parse_units(list, "firstlight-ab12-*.service"), ["web-01.19c0", ".fabric"]);
    }

    #[test]
    fn units_keep_dollars_and_have_no_terminal() {
        let command = [OsString::from("tool"), OsString::from("--x=$HOME")];
        let line =
            text(&unit_arguments("u.service", View::Pure, false, &command, Path::new("/a b/console.log")));
        assert!(line.ends_with("--property=StandardInput=null -- tool --x=$$HOME"), "{line}");
        assert!(line.contains("RestartForceExitStatus=133"), "{line}");
        assert!(line.contains("--unit=u.service") && line.contains("append:/a b/console.log"), "{line}");
    }
}
