//! `adopt`: stamps a live machine as it is. Nothing is renewed; what would be found wrong at the next boot is refused now.

use firstlight_shared::error::{Chain, Code};
use firstlight_shared::wire::{Decision, HostKey};
use serde::Serialize;

use super::observe::{Observation, observe};
use super::plan::{hostname_problem, is_goldens, is_goldens_id, plan};
use super::stamp::{self, Stamp, StampState};
use crate::keys::{KeyFile, Private};
use crate::paths;
use crate::sys::{Machine, SysError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    #[error("systemd did not boot this root: a chroot, or an image that is being made, is not to be stamped")]
    NotBooted,
    #[error("this machine is stamped already, and the stamp fits it: there is nothing to adopt")]
    Stamped,
    #[error(
        "the stamp is another machine's ({reason}): `firstlight-guest plan` shows what the next boot will do"
    )]
    OtherMachine { reason: String },
    #[error("the host key {name} is known to be the golden's: renew it first")]
    GoldenKey { name: String },
    #[error("the host key {name} is not whole: {why}")]
    BrokenKey { name: String, why: &'static str },
    #[error("there is an SSH server, and no host key for it")]
    NoKey,
    #[error("the host keys cannot be read: {why}")]
    Unreadable { why: String },
    #[error("the machine-id is known to be the golden's: renew it first")]
    GoldenMachineId,
    #[error("there is no valid machine-id")]
    NoMachineId,
    #[error("the old stamp cannot be kept aside; move /{} away", paths::STAMP)]
    Aside(#[source] SysError),
    #[error("the stamp could not be written")]
    Stamp(#[source] SysError),
}

impl Code for AdoptError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotBooted => "not-booted",
            Self::Stamped => "stamped-already",
            Self::OtherMachine { .. } => "stamp-of-another-machine",
            Self::GoldenKey { .. } => "golden-host-key",
            Self::BrokenKey { .. } => "bad-key-pair",
            Self::NoKey => "no-host-key",
            Self::Unreadable { .. } => "host-keys-unreadable",
            Self::GoldenMachineId => "golden-machine-id",
            Self::NoMachineId => "no-machine-id",
            Self::Aside(error) | Self::Stamp(error) => error.code(),
        }
    }
}

impl AdoptError {
    /// Refused: nothing was changed. Otherwise something failed.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Aside(_) | Self::Stamp(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Adopted {
    pub ssh_host_keys: Vec<HostKey>,
    /// Where the old stamp of unknown history went.
    pub kept_aside: Option<String>,
    /// What is not as it should be and no reason to refuse.
    pub problems: Vec<String>,
}

/// # Errors
/// This machine cannot be stamped as it is; nothing was changed then, but for a copy of the old stamp.
pub(crate) fn adopt(machine: &Machine) -> Result<Adopted, AdoptError> {
    let _lock = machine.root.lock(paths::LOCK);
    let seen = observe(machine);
    let mut problems = refuse(machine, &seen)?;
    let mut kept_aside = None;
    if let StampState::Unknown(_) = seen.stamp {
        // A copy, not a rename: without any stamp the next boot would renew everything.
        let old = machine.root.read(paths::STAMP).map_err(AdoptError::Aside)?.unwrap_or_default();
        machine.root.replace(paths::OLD_STAMP, 0o600, &old).map_err(AdoptError::Aside)?;
        kept_aside = Some(format!("/{}", paths::OLD_STAMP));
    }
    let keys: Vec<HostKey> =
        seen.keys.keys.iter().filter_map(KeyFile::key).filter_map(|key| HostKey::of(key).ok()).collect();
    let stamp = Stamp {
        version: stamp::STAMP_VERSION,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        made_at_ms: machine.clock().now_ms(),
        decision: Decision::Keep,
        evidence: seen.evidence.clone(),
        claim_id: seen.claim.as_ref().map(|claim| claim.id.clone()),
        host_keys: keys.iter().map(|key| key.fingerprint.clone()).collect(),
        pending: Vec::new(),
        in_image: false,
        unfinished: Vec::new(),
    };
    stamp::save(&machine.root, &stamp).map_err(AdoptError::Stamp)?;
    problems.extend(machine.root.take_notes());
    Ok(Adopted { ssh_host_keys: keys, kept_aside, problems })
}

/// What is no reason to refuse, or the first reason.
fn refuse(machine: &Machine, seen: &Observation) -> Result<Vec<String>, AdoptError> {
    match (&seen.stamp, plan(seen).decision) {
        // The operator's word on a suspicion: this machine only has other cards.
        (StampState::Valid(_), Decision::SuspectClone) | (StampState::None | StampState::Unknown(_), _) => {}
        (StampState::Valid(_), Decision::Keep | Decision::AlreadyProvisioned) => {
            return Err(AdoptError::Stamped);
        }
        (StampState::Valid(_), _) => return Err(AdoptError::OtherMachine { reason: plan(seen).reason }),
    }
    // The observation takes keys that cannot be read for none.
    let unreadable = |error: SysError| AdoptError::Unreadable { why: Chain(&error).to_string() };
    crate::keys::scan(&machine.root).map_err(unreadable)?;
    let mut problems = seen.problems.clone();
    for key in &seen.keys.keys {
        let name = key.name.clone();
        if is_goldens(seen, key) {
            return Err(AdoptError::GoldenKey { name });
        }
        problems.extend(judge(key)?);
    }
    let has_private = |key: &KeyFile| matches!(key.private, Private::Readable(_) | Private::Opaque);
    if seen.has_sshd && !seen.keys.keys.iter().any(has_private) {
        return Err(AdoptError::NoKey);
    }
    match seen.machine_id.valid() {
        None => return Err(AdoptError::NoMachineId),
        Some(id) if is_goldens_id(seen, id.derived()) => return Err(AdoptError::GoldenMachineId),
        Some(_) => {}
    }
    let name = seen.kernel_hostname.as_ref().or(seen.hostname_file.as_ref());
    problems.extend(name.and_then(|name| hostname_problem(seen, name)));
    Ok(problems)
}

fn judge(key: &KeyFile) -> Result<Option<String>, AdoptError> {
    let name = key.name.clone();
    match (&key.private, &key.public) {
        (Private::Readable(own), Some(public)) if own.key_data() != public.key_data() => {
            Err(AdoptError::BrokenKey { name, why: "its halves do not belong together" })
        }
        (Private::Torn, _) => Err(AdoptError::BrokenKey { name, why: "the private half is torn" }),
        (Private::Opaque, _) => {
            Ok(Some(format!("the host key {name} has a form that cannot be verified here")))
        }
        (Private::Absent, _) => Ok(Some(format!("the host key {name} has no private half"))),
        (Private::Readable(_), None) => Ok(Some(format!("the host key {name} has no public half"))),
        (Private::Readable(_), Some(_)) => Ok((key.private_mode.is_none_or(|mode| mode & 0o077 != 0))
            .then(|| format!("the host key {name} can be read by others than root"))),
    }
}
