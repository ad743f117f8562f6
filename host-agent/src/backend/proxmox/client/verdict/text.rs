//! Proxmox's words, as they stand in its code.

use super::classify::writes_configuration;
use super::{Class, Code, Lock};
use crate::backend::proxmox::client::call::Method;

/// Where the words were said: the same ones are not the same everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Request {
        method: Method,
        path: &'a str,
    },
    /// The type of a task.
    Task(&'a str),
}

/// What the exit status of a task of this type means that did not end well.
pub fn classify_exit(kind: &str, text: &str) -> Class {
    judge(Place::Task(kind), text).unwrap_or(Class::Rejected { code: Code::ServerError, kept: false })
}

/// None for words that are not known.
pub(super) fn judge(place: Place<'_>, text: &str) -> Option<Class> {
    let text = without_prefix(text.trim());
    denied(text)
        .or_else(|| locked(text).map(Class::Locked))
        .or_else(|| text.ends_with("-locked command timed out - aborting").then_some(Class::MaybeApplied))
        .or_else(|| already_so(place, text).then_some(Class::AlreadySo))
        .or_else(|| is_gone(text).then_some(Class::Gone))
        .or_else(|| code(text).map(|code| Class::Rejected { code, kept: kept(place, code) }))
}

/// `unable to restore CT 100 - `, and what PVE::Exception puts before its text inside a task.
fn without_prefix(text: &str) -> &str {
    let inner = ["unable to create ", "unable to restore ", "unable to clone "]
        .iter()
        .find_map(|start| text.strip_prefix(start))
        .and_then(|rest| rest.strip_prefix("CT ").or_else(|| rest.strip_prefix("VM ")))
        .and_then(|rest| {
            let (vmid, rest) = rest.split_once(" - ")?;
            vmid.bytes().all(|byte| byte.is_ascii_digit()).then_some(rest)
        });
    inner.unwrap_or(text)
}

fn denied(text: &str) -> Option<Class> {
    let nothing = || Class::Denied { path: None, privileges: Vec::new() };
    // Some refusals are plain errors, with status 500.
    const PLAIN: [&str; 3] = ["only root can ", "Only root can ", "missing privileges to access "];
    if PLAIN.iter().any(|start| text.starts_with(start)) {
        return Some(nothing());
    }
    let rest = text.strip_prefix("403 ").unwrap_or(text).strip_prefix("Permission check failed")?;
    let inside = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let Some((path, privileges)) = inside.and_then(|inside| inside.split_once(", ")) else {
        return Some(nothing());
    };
    if !path.starts_with('/') {
        return Some(nothing());
    }
    Some(Class::Denied {
        path: Some(path.to_owned()),
        privileges: privileges.split('|').map(str::to_owned).collect(),
    })
}

fn locked(text: &str) -> Option<Lock> {
    if text.contains("no quorum") {
        return Some(Lock::Quorum);
    }
    if text.contains("cfs-lock '") && text.contains("got lock request timeout") {
        return Some(Lock::Storage);
    }
    let file = text.split_once("can't lock file '").or_else(|| text.split_once("can't aquire lock '"));
    if let Some((_, file)) = file
        && file.contains("got timeout")
    {
        return Some(if file.contains("/pve-storage-") { Lock::Storage } else { Lock::Guest });
    }
    let lock = text.strip_prefix("CT is locked (").or_else(|| text.strip_prefix("VM is locked ("))?;
    Some(Lock::Written(lock.split(')').next().unwrap_or_default().to_owned()))
}

fn already_so(place: Place<'_>, text: &str) -> bool {
    let wants = |ends: &[&str], kinds: &[&str]| match place {
        Place::Request { method, path } => method.changes() && ends.iter().any(|end| path.ends_with(end)),
        Place::Task(kind) => kinds.contains(&kind),
    };
    let of_guest = |end: &str| (text.starts_with("CT ") || text.starts_with("VM ")) && text.ends_with(end);
    (of_guest(" already running") && wants(&["/status/start"], &["vzstart", "qmstart"]))
        || (of_guest(" not running")
            && wants(
                &["/status/stop", "/status/shutdown"],
                &["vzstop", "vzshutdown", "qmstop", "qmshutdown"],
            ))
        || (text == "disk is already at specified size" && wants(&["/resize"], &["resize"]))
}

fn is_gone(text: &str) -> bool {
    (text.starts_with("Configuration file '") && text.ends_with("' does not exist"))
        || text.starts_with("unable to find configuration file for ")
        || text == "no such task"
}

/// What a text has to begin and to end with; the longer words come first where several fit.
const TEXTS: &[(&str, &str, Code)] = &[
    ("CT ", " already exists", Code::Exists), // on a node: its name is cut off
    ("VM ", " already exists", Code::Exists),
    ("", ": config file already exists", Code::Exists),
    ("close (rename) atomic file", "File exists", Code::Exists),
    ("QEMU guest agent is not running", "", Code::AgentSilent),
    ("No QEMU guest agent configured", "", Code::AgentAbsent),
    ("Agent error: failed to open file", "No such file or directory", Code::NoGuestFile),
    ("Agent error: ", "", Code::AgentError),
    ("VM ", " is running - destroy failed", Code::Running),
    ("unable to destroy CT ", " - container is running", Code::Running),
    ("can't overwrite running container", "", Code::Running),
    ("vm is running", "", Code::Running),
    ("CT ", " already running", Code::Running),
    ("VM ", " already running", Code::Running),
    ("CT ", " not running", Code::NotRunning),
    ("VM ", " not running", Code::NotRunning),
    ("can't remove ", " - protection mode enabled", Code::Protected),
    ("detected modified configuration - ", "", Code::ChangedMeanwhile),
    ("checksum mismatch ", "", Code::ChangedMeanwhile),
    ("storage '", "' does not exist", Code::NoStorage),
    ("storage '", "' is disabled", Code::StorageOffline),
    ("storage '", "' is not online", Code::StorageOffline),
    ("storage '", "' is not available", Code::StorageOffline), // on a node
    ("unable to activate storage '", "", Code::StorageOffline),
    ("connection check for storage '", "", Code::StorageOffline),
    ("storage '", " (Container)", Code::WrongContent), // does not allow content type 'rootdir'
    ("pool '", "' does not exist", Code::NoPool),
    ("no such pool '", "'", Code::NoPool),
    ("unable to get any free VMID in range ", "", Code::NoVmid),
    ("ERROR: file '", "' does not exist", Code::NoVolume),
    ("can't find file '", "", Code::NoVolume),
    ("volume '", "' does not exist", Code::NoVolume),
    ("bridge '", "' does not exist", Code::NoBridge),
    ("disk '", "' does not exist", Code::NoDisk),
    ("hostname lookup '", "", Code::NoNode),
    ("unable to shrink disk size", "", Code::CannotShrink),
    ("shrinking disks is not supported", "", Code::CannotShrink),
    ("", "received interrupt", Code::Interrupted),
    ("", "interrupted by signal", Code::Interrupted),
];

fn code(text: &str) -> Option<Code> {
    let text = text.split(" on node '").next().unwrap_or(text);
    let fits = |start: &str, end: &str| text.starts_with(start) && text.ends_with(end);
    TEXTS.iter().find_map(|(start, end, code)| fits(start, end).then_some(*code))
}

/// A bridge is looked for only after the new configuration has been written.
fn kept(place: Place<'_>, code: Code) -> bool {
    matches!(place, Place::Request { method, path } if writes_configuration(method, path))
        && code == Code::NoBridge
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of Proxmox's code that no recorded exchange has; those that were recorded are in `tests/proxmox`.
    #[test]
    fn words_that_were_not_recorded_are_known_too() {
        let put = Place::Request { method: Method::Put, path: "/nodes/pve1/lxc/104/config" };
        let read = Place::Request { method: Method::Get, path: "/nodes/pve1/vzdump/extractconfig" };
        for (place, text, expected) in [
            (put, "cfs-lock 'storage-nfs' error: got lock request timeout", "locked storage"),
            (put, "cfs-lock 'storage-nfs' error: no quorum!", "locked quorum"),
            (put, "cluster not ready - no quorum?", "locked quorum"),
            (put, "'storage-nfs'-locked command timed out - aborting", "maybe-applied"),
            (
                put,
                "can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout",
                "locked storage",
            ),
            (put, "storage 'nfs' is not available on node 'pve2'", "rejected storage-offline"),
            (put, "storage 'x' does not allow content type 'rootdir' (Container)", "rejected wrong-content"),
            (put, "connection check for storage 'nfs' failed - timeout", "rejected storage-offline"),
            (put, "pool 'lab' does not exist", "rejected no-pool"),
            (put, "no such pool 'lab'", "rejected no-pool"),
            (put, "bridge 'vmbr9' does not exist", "rejected no-bridge kept"),
            (Place::Task("vzstart"), "bridge 'vmbr9' does not exist", "rejected no-bridge"),
            (read, "missing privileges to access local:backup/x.tar.zst", "denied -"),
            (read, "ERROR: file '/var/lib/vz/dump/x.tar.zst' does not exist", "rejected no-volume"),
            (read, "unable to get any free VMID in range [100, 200]", "rejected no-vmid"),
            (
                put,
                "close (rename) atomic file '/etc/pve/nodes/a/lxc/101.conf' failed: File exists",
                "rejected exists",
            ),
            (
                put,
                "Permission check failed (/, Sys.Modify for modifying tag 'x')",
                "denied / Sys.Modify for modifying tag 'x'",
            ),
        ] {
            let class = judge(place, text).map(|class| class.to_string());
            assert_eq!(class.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_already_so_depends_on_what_was_wanted() {
        let wanted = |method, end: &str, text: &str| {
            let path = format!("/nodes/pve1/lxc/104{end}");
            judge(Place::Request { method, path: &path }, text).map(|class| class.to_string())
        };
        for (method, end, text, expected) in [
            (Method::Post, "/status/start", "CT 104 already running", "already-so"),
            (Method::Post, "/status/stop", "CT 104 already running", "rejected running"),
            (Method::Post, "/status/stop", "CT 104 not running", "already-so"),
            (Method::Post, "/status/shutdown", "VM 104 not running", "already-so"),
            (Method::Post, "/status/reset", "VM 104 not running", "rejected not-running"),
            (Method::Put, "/resize", "disk is already at specified size", "already-so"),
        ] {
            assert_eq!(wanted(method, end, text).as_deref(), Some(expected), "{end}: {text}");
        }
        assert_eq!(wanted(Method::Put, "/config", "disk is already at specified size"), None);
        assert_eq!(wanted(Method::Put, "/config", ""), None);
        // Not every word about the cluster's locks is one that waiting helps against.
        assert_eq!(wanted(Method::Put, "/config", "cfs-lock 'storage-nfs' error: no such directory"), None);
    }
}
