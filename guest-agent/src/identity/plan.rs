//! From observation to plan: pure, so that `plan` shows exactly what `identity` does.

use firstlight_shared::ids::{DerivedMachineId, MachineId};
use firstlight_shared::wire::{Decision, Intent, MachineIdState};
use serde::Serialize;

use super::decide::{Judgement, Word, decide};
use super::hosts::{self, HostnameOwner};
use super::machine_id::{MachineIdFile, Renewed};
use super::observe::{CloudInit, Observation};
use super::stamp::{StampState, Unfinished};
use crate::items::Scan;
use crate::keys::{KeyFile, KeyType, Private};

/// What happens to the machine-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MachineIdPlan {
    /// Valid and this machine's own.
    Keep,
    /// Made by systemd in this boot: nothing to do.
    Fresh,
    /// The golden's or another machine's: replaced.
    Renew,
    /// Unset in a root that does not run: systemd fills it at the first boot.
    LeaveToSystemd,
    /// None and not ours to make, or unreadable: reported.
    Report,
}

impl MachineIdPlan {
    pub(crate) fn state(self) -> MachineIdState {
        match self {
            Self::Keep => MachineIdState::Kept,
            Self::Fresh => MachineIdState::Fresh,
            Self::Renew => MachineIdState::Renewed,
            Self::LeaveToSystemd | Self::Report => MachineIdState::Invalid,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct HostnamePlan {
    pub expected: Option<String>,
    pub write_file: bool,
    pub set_kernel: bool,
    /// The golden's old name in /etc/hosts is replaced.
    pub write_hosts: bool,
    /// What becomes of our word to cloud-init about the name.
    pub cloud_init: CloudInitPlan,
    pub owner: HostnameOwner,
}

/// Whether cloud-init may give this guest a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CloudInitPlan {
    /// It is not there, or is told already.
    #[default]
    Leave,
    /// A claim or the configuration names this guest: cloud-init would name it otherwise, in this boot or the next.
    TellToLeaveName,
    /// Told so in the machine that this one was cloned from, and here nobody else names it.
    TakeBack,
}

/// What `identity` will do. Holds nothing secret: `plan --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Plan {
    pub decision: Decision,
    pub reason: String,
    /// An old stamp that must not outlive the start of a renewal.
    pub drop_stamp: bool,
    /// Temporary files of an earlier run, in /etc/ssh.
    pub leftovers: Vec<String>,
    /// Private key file names whose whole sets go.
    pub remove_keys: Vec<String>,
    /// Key types made now.
    pub make_keys: Vec<String>,
    /// Key types left to the report phase.
    pub pending_keys: Vec<String>,
    /// Private key file names whose public half or mode is put right.
    pub repair_keys: Vec<String>,
    /// sshd has no key unless this run makes one: a failure to do so must stop it.
    pub needs_keys: bool,
    pub machine_id: MachineIdPlan,
    /// D-Bus's own copy becomes a symlink.
    pub link_dbus: bool,
    /// Fresh bytes go into the kernel's random pool.
    pub stir: bool,
    pub hostname: HostnamePlan,
    /// Names of items that the report phase has made anew by their owner's program.
    pub pending_items: Vec<String>,
    /// What else of the golden is there; looked for where everything is renewed.
    pub items: Scan,
    /// The stamp is written when all is verified.
    pub restamp: bool,
    pub problems: Vec<String>,
}

impl Plan {
    pub(crate) fn changes_nothing(&self) -> bool {
        let lists = [&self.leftovers, &self.remove_keys, &self.make_keys, &self.repair_keys];
        let hostname = self.hostname.write_file
            || self.hostname.set_kernel
            || self.hostname.write_hosts
            || self.hostname.cloud_init != CloudInitPlan::Leave;
        lists.iter().all(|list| list.is_empty())
            && !hostname
            && !self.drop_stamp
            && !self.restamp
            && !self.link_dbus
            && !self.stir
            && self.machine_id != MachineIdPlan::Renew
    }

    pub(crate) fn made_types(&self) -> impl Iterator<Item = KeyType> {
        self.make_keys.iter().filter_map(|name| KeyType::parse(name))
    }
}

pub(crate) fn plan(seen: &Observation) -> Plan {
    let claim = seen.claim.as_ref();
    let word = Word { intent: claim.and_then(|c| c.intent), claim_id: claim.map(|c| c.id.as_str()) };
    // A stamp that was made in an image says nothing of the clones that now run from it.
    let of_an_image = seen.runs && seen.stamp.valid().is_some_and(|stamp| stamp.in_image);
    let stamp = if of_an_image { &StampState::None } else { &seen.stamp };
    let judged = decide(stamp, &seen.evidence, word, seen.settings.suspect_clone);
    let Judgement { decision, reason, other_generation } = judged;
    let mut problems = seen.problems.clone();
    match decision {
        Decision::UnknownHistory => problems.push(format!("unknown history: {reason}")),
        Decision::SuspectClone => problems.push(reason.clone()),
        _ => {}
    }
    // Elsewhere everything is renewed, or was proved before.
    if seen.golden.is_none() && matches!(decision, Decision::UnknownHistory | Decision::RestoreFirst) {
        problems
            .push("no golden.json says what the golden had: what is left of it cannot be known".to_owned());
    }
    let keys = plan_keys(seen, decision);
    let machine_id = plan_machine_id(seen, decision, &mut problems);
    let mut hostname = plan_hostname(seen, decision, &mut problems);
    hostname.cloud_init = plan_cloud_init(seen, decision, hostname.expected.is_some());
    let changes_keys = !(keys.remove.is_empty() && keys.make.is_empty() && keys.repair.is_empty());
    let pending_keys: Vec<_> = keys.pending.iter().map(|kind| kind.as_str().to_owned()).collect();
    let restamp = match decision {
        // Left for the operator to judge; it may be a newer version's.
        Decision::UnknownHistory => false,
        Decision::Renew | Decision::RestoreFirst | Decision::Restamp => true,
        // The evidence stays as it was stamped, so that every boot says it again.
        Decision::SuspectClone => changes_keys,
        Decision::Keep | Decision::AlreadyProvisioned => {
            changes_keys || machine_id == MachineIdPlan::Renew || learns(seen, &pending_keys)
        }
    };
    let link_dbus = plan_dbus_link(seen, decision, machine_id, &mut problems);
    Plan {
        decision,
        reason,
        drop_stamp: decision == Decision::Renew && seen.stamp != StampState::None,
        leftovers: seen.keys.leftovers.clone(),
        remove_keys: keys.remove,
        make_keys: keys.make.iter().map(|kind| kind.as_str().to_owned()).collect(),
        pending_keys,
        repair_keys: keys.repair,
        needs_keys: keys.needed,
        machine_id,
        link_dbus,
        stir: other_generation,
        hostname,
        pending_items: Vec::new(),
        items: Scan::default(),
        restamp,
        problems,
    }
}

/// Whether the stamp of a machine that is still the same is not up to date: a signal that it lacked, another card, a new
/// claim, a key made in the meantime, something unfinished.
fn learns(seen: &Observation, pending: &[String]) -> bool {
    let Some(stamp) = seen.stamp.valid() else { return false };
    let new_claim = seen.claim.as_ref().is_some_and(|claim| Some(&claim.id) != stamp.claim_id.as_ref());
    seen.evidence.or(&stamp.evidence) != stamp.evidence
        || new_claim
        || stamp.pending != pending
        || !stamp.unfinished.is_empty()
}

/// A copy of the golden's id, or of the one that is replaced, would come back by way of systemd; see [`paths`].
///
/// [`paths`]: crate::paths::DBUS_MACHINE_ID
fn plan_dbus_link(
    seen: &Observation,
    decision: Decision,
    machine_id: MachineIdPlan,
    problems: &mut Vec<String>,
) -> bool {
    let Some(copy) = seen.dbus_copy else { return false };
    let is_due = is_unfinished(seen, Unfinished::DbusCopy);
    if decision == Decision::Renew || machine_id == MachineIdPlan::Renew || is_due {
        return true;
    }
    let is_goldens = copy.valid().is_some_and(|id| is_goldens_id(seen, id.derived()));
    let differs = seen.machine_id.valid().zip(copy.valid()).is_some_and(|(own, copy)| own != copy);
    if differs && !is_goldens {
        problems.push("D-Bus keeps a machine-id of its own that is another one".to_owned());
    }
    is_goldens
}

#[derive(Debug, Default)]
struct KeyPlan {
    remove: Vec<String>,
    make: Vec<KeyType>,
    pending: Vec<KeyType>,
    repair: Vec<String>,
    needed: bool,
}

fn plan_keys(seen: &Observation, decision: Decision) -> KeyPlan {
    let needed = seen.has_sshd || !seen.keys.keys.is_empty();
    let goes = |key: &KeyFile| decision == Decision::Renew || is_goldens(seen, key);
    let is_missing = |kind: KeyType| match seen.keys.of_type(kind) {
        Some(key) => goes(key) || matches!(key.private, Private::Absent | Private::Torn),
        None => true,
    };
    let types = seen.settings.host_key_types(&seen.keys);
    // Where only slow types are wanted, sshd waits for them rather than stay without any key.
    let only_slow = types.iter().all(|kind| kind.is_slow());
    let (late, early): (Vec<_>, Vec<_>) =
        types.iter().copied().partition(|kind| kind.is_slow() && !only_slow);
    let missing = |kinds: Vec<KeyType>| -> Vec<KeyType> {
        kinds.into_iter().filter(|kind| needed && is_missing(*kind)).collect()
    };
    let (make, pending) = (missing(early), missing(late));
    let mut plan = KeyPlan { make, pending, needed, ..KeyPlan::default() };
    for key in &seen.keys.keys {
        let remade =
            plan.make.iter().chain(&plan.pending).any(|kind| seen.keys.place_of(*kind).name == key.name);
        if goes(key) || remade {
            plan.remove.push(key.name.clone());
        } else if matches!(key.private, Private::Readable(_)) && !key.is_whole() {
            plan.repair.push(key.name.clone());
        }
    }
    plan
}

pub(crate) fn is_goldens(seen: &Observation, key: &KeyFile) -> bool {
    let known = |fingerprint: String| {
        seen.golden.as_ref().is_some_and(|golden| golden.host_keys.contains(&fingerprint))
    };
    key.fingerprint().is_some_and(known)
}

pub(super) fn is_goldens_id(seen: &Observation, id: DerivedMachineId) -> bool {
    seen.golden.as_ref().is_some_and(|golden| golden.machine_ids.contains(&id))
}

fn plan_machine_id(seen: &Observation, decision: Decision, problems: &mut Vec<String>) -> MachineIdPlan {
    if seen.machine_id_is_mounted {
        problems.push("/etc/machine-id is a mount: what it holds is not on the disk, and may be another at the next boot".to_owned());
    }
    let MachineIdFile::Valid(id) = seen.machine_id else {
        if !seen.live && seen.machine_id != MachineIdFile::Invalid {
            return MachineIdPlan::LeaveToSystemd;
        }
        problems.extend(seen.machine_id.problem().map(str::to_owned));
        return MachineIdPlan::Report;
    };
    let unfinished =
        seen.stamp.valid().is_some_and(|stamp| stamp.unfinished.contains(&Unfinished::MachineId));
    let renew = is_goldens_id(seen, id.derived());
    if !renew && seen.machine_id_is_fresh {
        // One that an earlier run of this boot wrote looks fresh too: the marker tells.
        return MachineIdPlan::Fresh;
    }
    if !renew && !unfinished && decision != Decision::Renew {
        return MachineIdPlan::Keep;
    }
    problems.extend(renewed_id(seen).problem);
    MachineIdPlan::Renew
}

fn is_unfinished(seen: &Observation, item: Unfinished) -> bool {
    seen.stamp.valid().is_some_and(|stamp| stamp.unfinished.contains(&item))
}

/// What a renewal writes.
pub(super) fn renewed_id(seen: &Observation) -> Renewed {
    let mut taken: Vec<DerivedMachineId> = seen.machine_id.valid().iter().map(MachineId::derived).collect();
    taken.extend(seen.stamp.valid().and_then(|stamp| stamp.evidence.machine_id));
    taken.extend(seen.golden.iter().flat_map(|golden| &golden.machine_ids));
    seen.origins.renewed(&taken)
}

fn plan_hostname(seen: &Observation, decision: Decision, problems: &mut Vec<String>) -> HostnamePlan {
    let claimed = seen.claim.as_ref().and_then(|claim| claim.hostname.as_ref());
    let expected = claimed.or(seen.settings.hostname.as_ref()).map(|name| name.as_str().to_owned());
    let present = seen.kernel_hostname.as_ref().or(seen.hostname_file.as_ref());
    let owner = seen.hostname_owner;
    let Some(name) = &expected else {
        if let Some(problem) = present.and_then(|name| hostname_problem(seen, name)) {
            problems.push(problem);
        }
        return HostnamePlan { owner, ..HostnamePlan::default() };
    };
    // After the first time a claim names it, the name belongs to the administrator.
    let stamp = seen.stamp.valid();
    let unfinished = is_unfinished(seen, Unfinished::Hostname);
    let settled = matches!(decision, Decision::Keep | Decision::AlreadyProvisioned | Decision::SuspectClone)
        && seen.claim.as_ref().map(|claim| &claim.id) == stamp.and_then(|stamp| stamp.claim_id.as_ref())
        && claimed.is_some()
        && !unfinished;
    let restored_word =
        seen.claim.as_ref().and_then(|c| c.intent) == Some(Intent::Restore) && claimed.is_none();
    if settled || restored_word || owner == HostnameOwner::Proxmox {
        return HostnamePlan { expected, owner, ..HostnamePlan::default() };
    }
    let set_kernel = seen.kernel_hostname.as_ref().is_some_and(|kernel| kernel != name);
    // Where the hypervisor sets the name and the image has no file, nothing is written.
    let write_file = match &seen.hostname_file {
        Some(file) => file != name,
        None => set_kernel || !seen.live,
    };
    let write_hosts = renamed_hosts(seen, name, write_file).is_some();
    HostnamePlan { write_file, set_kernel, write_hosts, owner, expected, ..HostnamePlan::default() }
}

/// A name that was given once stays ours: a claim may be gone at the next boot.
fn plan_cloud_init(seen: &Observation, decision: Decision, is_named: bool) -> CloudInitPlan {
    match seen.cloud_init {
        CloudInit { is_there: true, leaves_name: false } if is_named => CloudInitPlan::TellToLeaveName,
        CloudInit { leaves_name: true, .. } if !is_named && decision == Decision::Renew => {
            CloudInitPlan::TakeBack
        }
        _ => CloudInitPlan::Leave,
    }
}

/// /etc/hosts with the new name in place of those that are known to be old: the golden's, and the replaced one.
pub(super) fn renamed_hosts(seen: &Observation, name: &str, file_is_replaced: bool) -> Option<String> {
    let mut old: Vec<String> = seen
        .golden
        .iter()
        .flat_map(|golden| &golden.hostnames)
        .filter(|known| *known != name)
        .cloned()
        .collect();
    if file_is_replaced {
        old.extend(seen.hostname_file.clone());
    }
    hosts::rename(seen.hosts.as_deref()?, &old, name)
}

/// Why a name cannot be this guest's own, where nobody says what it should be.
pub(crate) fn hostname_problem(seen: &Observation, name: &str) -> Option<String> {
    let golden = seen.golden.as_ref();
    if golden.is_some_and(|golden| golden.hostnames.iter().any(|known| known == name)) {
        return Some("the host name is the golden's".to_owned());
    }
    matches!(name, "localhost" | "localhost.localdomain" | "(none)")
        .then(|| format!("the host name is `{name}`: nobody gave this guest one"))
}
