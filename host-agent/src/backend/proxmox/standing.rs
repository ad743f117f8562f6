//! Whose the guest with a VMID is: read, and decided.
//!
//! Ours is what carries the job's stamp. While it is being restored a guest carries nothing: a container shows `lock:
//! create` (or nothing at all, to a token with rights on a pool), a machine an empty configuration; then it is ours if a
//! restore of ours works on it, or worked on it and ended badly. Which restore is ours: the one that an answer named; and
//! while an answer is missing, any of this token's on this VMID since it was chosen, until its end shows the stamp. Anything
//! else is somebody else's.

mod read;
mod recent;

pub(super) use read::{RESTORE, target};
pub(super) use recent::Recent;

use super::client::endpoint::config::GuestConfig;
use super::client::endpoint::guest::{Guest, Kind};
use super::client::task::Exit;
use super::client::upid::Upid;
use super::client::verdict::{Class, Code, classify_exit};
use super::stamp;
use crate::outcome::Fault;

/// How things stand with the VMID of a placement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    /// No guest has it, and no restore of ours is at work.
    Free,
    Ours(Ours),
    /// A restore of ours is at work on it.
    Making(Upid),
    Unfinished(Unfinished),
    /// A restore of ours ended well, and the token may not see (any more) what it made.
    Hidden(Fault),
    /// Nobody has written anything into it and no task is known that makes it, while an answer to a request of ours is
    /// missing: in a moment it is known whose it is.
    Nascent(String),
    /// Somebody else's: whose it seems to be.
    Other(String),
}

/// A guest with the job's stamp. It may have been moved to another node since it was made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ours {
    pub(super) guest: Guest,
    pub(super) config: GuestConfig,
}

/// A restore of ours ended badly and left it there: it can only be removed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unfinished {
    pub(super) guest: Guest,
    /// How the restore ended.
    pub(super) task: Upid,
    pub(super) exit: String,
    /// Whether the token may remove it. A written lock is cleared by root alone; and what the token cannot see, it
    /// cannot remove.
    pub(super) removable: bool,
}

impl Unfinished {
    /// For people: what it is, and how it goes away.
    pub(super) fn fault(&self) -> Fault {
        let (tool, vmid, node) = (tool(&self.guest), self.guest.vmid, &self.guest.node);
        let fault = Fault::new(
            "unfinished-guest",
            format!("the restore of {} ended with `{}` and left it unfinished", self.guest, self.exit),
        );
        match self.removable {
            true => fault,
            false => fault.with_hint(format!(
                "on {node}, as root: `{tool} unlock {vmid}` and `{tool} destroy {vmid} --purge`; what no token may unlock, we cannot remove"
            )),
        }
    }
}

/// `pct` or `qm`.
pub(super) fn tool(guest: &Guest) -> &'static str {
    match guest.kind {
        Kind::Lxc => "pct",
        Kind::Qemu => "qm",
    }
}

/// What was read. The configuration was read after the task: a task that had ended then changes nothing any more.
#[derive(Debug, Clone, PartialEq)]
struct Facts {
    config: Seen,
    restoring: Restoring,
    /// No guest in the cluster has the VMID.
    free: bool,
    /// An answer to a request of ours is missing.
    doubt: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Config(Guest, GuestConfig),
    /// The token may not read it, or it is not there: Proxmox tells a token without rights the same.
    Hidden(String),
    Missing,
}

#[derive(Debug, Clone, PartialEq)]
enum Restoring {
    Never,
    Running(Upid),
    Ended(Upid, String),
}

/// What the configuration alone decides. None: the task has to be looked at.
fn by_stamp(job: &str, seen: &Seen) -> Option<Standing> {
    let Seen::Config(guest, config) = seen else { return None };
    let found = stamp::job_of(config.description().unwrap_or_default())?;
    if found != job {
        return Some(Standing::Other(format!("{guest} carries the stamp of job {found}")));
    }
    let made = config.lock() != Some("create");
    made.then(|| Standing::Ours(Ours { guest: guest.clone(), config: config.clone() }))
}

fn decide(job: &str, target: &Guest, facts: Facts) -> Standing {
    let Facts { config, restoring, free, doubt } = facts;
    if let Restoring::Running(upid) = restoring {
        return Standing::Making(upid);
    }
    if let Some(decided) = by_stamp(job, &config) {
        return decided;
    }
    if free {
        return Standing::Free;
    }
    if let (Seen::Hidden(why), Restoring::Ended(upid, exit)) = (&config, &restoring)
        && matches!(Exit::parse(Some(exit)), Exit::Ok | Exit::Warnings(_))
    {
        let message = format!("{target} was made by {upid}, and the token may not see it: {why}");
        return Standing::Hidden(Fault::new("proxmox-denied", message));
    }
    let failed = match restoring {
        Restoring::Ended(upid, exit) if left_something(&upid, &exit) => Some((upid, exit)),
        _ => None,
    };
    let (guest, removable) = match (config, &failed) {
        (Seen::Config(guest, config), Some(_)) if is_bare(&config) => {
            let removable = config.lock().is_none();
            (guest, removable)
        }
        (Seen::Config(guest, config), None) if doubt && is_bare(&config) => {
            return Standing::Nascent(format!("{guest} is being made by somebody"));
        }
        (Seen::Config(guest, config), _) => {
            // With our stamp, and `lock: create`: the last write of a restore that was killed.
            if stamp::job_of(config.description().unwrap_or_default()) == Some(job) {
                return Standing::Ours(Ours { guest, config });
            }
            let name = config.get("hostname").or_else(|| config.get("name")).unwrap_or("without a name");
            return Standing::Other(format!("{guest} ({name}) was not made by this job"));
        }
        (Seen::Hidden(_), Some(_)) => (target.clone(), false),
        (Seen::Hidden(why), None) if doubt => {
            return Standing::Nascent(format!("{target} is there, and the token may not see it: {why}"));
        }
        (Seen::Hidden(why), None) => {
            return Standing::Other(format!("{target} is there, and the token may not see it: {why}"));
        }
        (Seen::Missing, _) => {
            return Standing::Other(format!("VMID {} is taken by another guest", target.vmid));
        }
    };
    match failed {
        Some((task, exit)) => Standing::Unfinished(Unfinished { guest, task, exit, removable }),
        None => Standing::Other(format!("{guest} was not made by this job")),
    }
}

/// Whether a restore that ended so may have left a guest that is not finished. One that met another guest left nothing.
fn left_something(upid: &Upid, exit: &str) -> bool {
    match Exit::parse(Some(exit)) {
        Exit::Ok | Exit::Warnings(_) => false,
        Exit::Unknown(_) => true,
        Exit::Failed(text) => {
            !matches!(classify_exit(&upid.kind, &text), Class::Rejected { code: Code::Exists, .. })
        }
    }
}

/// Nobody has written anything into it: a guest that somebody made has more.
fn is_bare(config: &GuestConfig) -> bool {
    config.keys().all(|key| matches!(key, "digest" | "lock" | "memory"))
}

#[cfg(test)]
mod tests;
