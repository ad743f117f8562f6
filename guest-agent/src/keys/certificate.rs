//! Host certificates: what the host's CA made of this machine's keys, verified and put beside them.
//!
//! sshd serves a certificate only where a `HostCertificate` line names it: a drop-in of ours does. It is kept only if
//! sshd accepts the whole. Source of the format: PROTOCOL.certkeys of OpenSSH.

mod parse;

use firstlight_shared::error::Chain;

use super::{HostKeys, KeyFile, scan};
use crate::bus::Bus;
use crate::paths;
use crate::sshd::{self, SshdConfig};
use crate::sys::{Machine, Root, SysError};
use parse::HostCertificate;

/// A host has three keys; more lines than this are none of them.
const MAX_CERTIFICATES: usize = 8;
const HEADER: &str =
    "# Made by firstlight-guest: the certificates that the host's CA made of this machine's keys.\n";

/// What became of the certificates of an acknowledgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Installed {
    /// Names of the keys that now have a certificate.
    pub keys: Vec<String>,
    /// sshd has something new to read.
    pub changed: bool,
    /// What was not installed, or is odd; one line each.
    pub problems: Vec<String>,
}

/// Verifies and installs the lines of an acknowledgement, and lets sshd read them. The same lines again do nothing.
async fn install(machine: &Machine, lines: &[String]) -> Installed {
    let hostname = machine.kernel_hostname().unwrap_or_default();
    let now = machine.clock().now().as_secs();
    let mut installed =
        install_if(&machine.root, lines, now, &hostname, async || sshd::accepts_configuration(machine).await)
            .await;
    if installed.changed
        && let Err(error) = sshd::let_sshd_read_configuration(machine, &Bus::default()).await
    {
        let problem = format!("sshd does not serve the host certificates yet: {}", Chain(&error));
        installed.problems.push(problem);
    }
    installed
}

/// The same, and says what was not installed: to the log, and to whoever looks at the console.
pub(crate) async fn install_and_tell(machine: &Machine, lines: &[String]) {
    let installed = install(machine, lines).await;
    for problem in &installed.problems {
        eprintln!("warning: {problem}");
        machine.tell_console(problem);
    }
    if installed.changed {
        eprintln!("host certificates installed: {}", installed.keys.join(", "));
    }
}

/// As [`install`], with another judge in place of the running sshd.
async fn install_if(
    root: &Root,
    lines: &[String],
    now: u64,
    hostname: &str,
    accepts: impl AsyncFnOnce() -> Result<(), String>,
) -> Installed {
    let mut installed = Installed::default();
    if lines.is_empty() {
        return installed;
    }
    let found = match scan(root) {
        Ok(found) => found,
        Err(error) => {
            installed.problems.push(format!("no host certificate is installed: {}", Chain(&error)));
            return installed;
        }
    };
    if !SshdConfig::load(root).would_include(&format!("/{}", paths::SSHD_DROP_IN)) {
        let problem =
            "no host certificate is installed: sshd_config does not include /etc/ssh/sshd_config.d/*.conf";
        installed.problems.push(problem.to_owned());
        return installed;
    }
    let fitting = choose(lines, &found, now, hostname, &mut installed.problems);
    let files = files_of(&fitting);
    installed.keys = fitting.iter().map(|(key, _)| key.name.clone()).collect();
    let is_there = |(path, bytes): &(String, Vec<u8>)| root.read(path).ok().flatten().as_ref() == Some(bytes);
    if fitting.is_empty() || files.iter().all(is_there) {
        return installed;
    }
    if let Err(problem) = replace_all(root, &files, accepts).await {
        installed.keys.clear();
        installed.problems.push(format!("no host certificate is installed: {problem}"));
        return installed;
    }
    installed.changed = true;
    installed
}

/// The certificates that may be installed, with their keys; why the others may not.
fn choose<'k>(
    lines: &[String],
    found: &'k HostKeys,
    now: u64,
    hostname: &str,
    problems: &mut Vec<String>,
) -> Vec<(&'k KeyFile, HostCertificate)> {
    let mut chosen: Vec<(&KeyFile, HostCertificate)> = Vec::new();
    if lines.len() > MAX_CERTIFICATES {
        problems.push(format!("only {MAX_CERTIFICATES} of {} host certificates are looked at", lines.len()));
    }
    for (number, line) in lines.iter().take(MAX_CERTIFICATES).enumerate() {
        let mut refuse = |reason: String| problems.push(format!("host certificate {}: {reason}", number + 1));
        let certificate = match HostCertificate::parse(line) {
            Ok(certificate) => certificate,
            Err(error) => {
                refuse(Chain(&error).to_string());
                continue;
            }
        };
        if let Err(reason) = certificate.check(now, hostname) {
            refuse(reason);
            continue;
        }
        let is_own = |key: &&KeyFile| {
            key.is_whole() && key.key().is_some_and(|own| own.key_data() == certificate.key.key_data())
        };
        match found.keys.iter().find(is_own) {
            None => refuse("its key is no host key of this machine".to_owned()),
            Some(key) if chosen.iter().any(|(known, _)| known.name == key.name) => {
                refuse(format!("{} has one already", key.name));
            }
            Some(key) => {
                certificate.notes(now).into_iter().for_each(&mut refuse);
                chosen.push((key, certificate));
            }
        }
    }
    chosen
}

/// Path and content of everything to write: certificates, then the drop-in that names them.
fn files_of(chosen: &[(&KeyFile, HostCertificate)]) -> Vec<(String, Vec<u8>)> {
    let certificate = |(key, certificate): &(&KeyFile, HostCertificate)| {
        (key.place.certificate.clone(), certificate.line.clone().into_bytes())
    };
    let mut files: Vec<_> = chosen.iter().map(certificate).collect();
    // Paths may hold spaces; quotes and backslashes in them are nobody's.
    let names = files.iter().map(|(path, _)| format!("HostCertificate \"/{path}\"\n"));
    let drop_in = format!("{HEADER}{}", names.collect::<String>());
    files.push((paths::SSHD_DROP_IN.to_owned(), drop_in.into_bytes()));
    files
}

/// Writes all files, or leaves all as they were.
async fn replace_all(
    root: &Root,
    files: &[(String, Vec<u8>)],
    accepts: impl AsyncFnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let said = |error: SysError| Chain(&error).to_string();
    let mut before = Vec::new();
    for (path, _) in files {
        before.push((path, root.read(path).map_err(said)?));
    }
    let mut done = files.iter().try_for_each(|(path, bytes)| root.replace(path, 0o644, bytes)).map_err(said);
    if done.is_ok() {
        done = accepts().await;
    }
    let Err(mut problem) = done else { return Ok(()) };
    // The drop-in first: it must not name what is gone.
    for (path, bytes) in before.into_iter().rev() {
        let back = match bytes {
            Some(bytes) => root.replace(path, 0o644, &bytes),
            None => root.remove(path),
        };
        if let Err(error) = back {
            problem = format!("{problem}; and not taken back: {}", Chain(&error));
        }
    }
    Err(problem)
}

/// The key that a certificate certifies; none if it is no host certificate that its CA signed.
pub(super) fn key_of(line: &str) -> Option<ssh_key::PublicKey> {
    HostCertificate::parse(line).ok().map(|certificate| certificate.key)
}

/// Removes the drop-in once none of the certificates that it names is there.
///
/// # Errors
/// It cannot be read or removed.
pub(super) fn remove_stale_drop_in(root: &Root) -> Result<(), SysError> {
    let Some(text) = root.read_text(paths::SSHD_DROP_IN)? else { return Ok(()) };
    let named = text.lines().filter_map(|line| line.strip_prefix("HostCertificate \"/")?.strip_suffix('"'));
    if named.into_iter().any(|path| root.kind(path).is_some()) {
        return Ok(());
    }
    root.remove(paths::SSHD_DROP_IN)?;
    root.sync_folder_of(paths::SSHD_DROP_IN)
}

#[cfg(test)]
mod tests;
