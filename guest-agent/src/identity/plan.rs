//! From observation to plan: pure, so that `plan` shows exactly what `identity` does.

use firstlight_shared::wire::{Decision, Intent, MachineIdState};
use serde::Serialize;

use super::decide::{Word, decide};
use super::observe::{MachineIdFile, Observation};
use super::stamp::StampState;
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
    pub hostname: HostnamePlan,
    /// What else of the golden is there; looked for where everything is renewed.
    pub items: Scan,
    /// The stamp is written when all is verified.
    pub restamp: bool,
    pub problems: Vec<String>,
}

impl Plan {
    pub(crate) fn changes_nothing(&self) -> bool {
        let lists = [&self.leftovers, &self.remove_keys, &self.make_keys, &self.repair_keys];
        let hostname = self.hostname.write_file || self.hostname.set_kernel;
        lists.iter().all(|list| list.is_empty())
            && !hostname
            && !self.drop_stamp
            && !self.restamp
            && !self.link_dbus
            && self.machine_id != MachineIdPlan::Renew
    }

    pub(crate) fn made_types(&self) -> impl Iterator<Item = KeyType> {
        self.make_keys.iter().filter_map(|name| KeyType::parse(name))
    }
}

pub(crate) fn plan(seen: &Observation) -> Plan {
    let claim = seen.claim.as_ref();
    let word = Word { intent: claim.and_then(|c| c.intent), claim_id: claim.map(|c| c.id.as_str()) };
    let (decision, reason) = decide(&seen.stamp, &seen.evidence, word);
    let mut problems = seen.problems.clone();
    match decision {
        Decision::UnknownHistory => problems.push(format!("unknown history: {reason}")),
        Decision::SuspectClone => problems.push(reason.clone()),
        _ => {}
    }
    let keys = plan_keys(seen, decision);
    let machine_id = plan_machine_id(seen, decision, &mut problems);
    let hostname = plan_hostname(seen, decision, &mut problems);
    let changes_keys = !(keys.remove.is_empty() && keys.make.is_empty() && keys.repair.is_empty());
    let starts_history = matches!(decision, Decision::Renew | Decision::RestoreFirst | Decision::Restamp);
    // A stamp of unknown history is left for the operator to judge; it may be a newer version's.
    let restamp = decision != Decision::UnknownHistory && (starts_history || changes_keys);
    Plan {
        decision,
        reason,
        drop_stamp: decision == Decision::Renew && seen.stamp != StampState::None,
        leftovers: seen.keys.leftovers.clone(),
        remove_keys: keys.remove,
        make_keys: keys.make.iter().map(|kind| kind.as_str().to_owned()).collect(),
        pending_keys: keys.pending.iter().map(|kind| kind.as_str().to_owned()).collect(),
        repair_keys: keys.repair,
        needs_keys: keys.needed,
        machine_id,
        link_dbus: seen.dbus_copy && (machine_id == MachineIdPlan::Renew || decision == Decision::Renew),
        hostname,
        items: Scan::default(),
        restamp,
        problems,
    }
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
    let is_missing = |kind: KeyType| match seen.keys.named(&kind.file_name()) {
        Some(key) => goes(key) || matches!(key.private, Private::Absent | Private::Torn),
        None => true,
    };
    let types = &seen.settings.key_types;
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
        let remade = plan.make.iter().chain(&plan.pending).any(|kind| kind.file_name() == key.name);
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

fn plan_machine_id(seen: &Observation, decision: Decision, problems: &mut Vec<String>) -> MachineIdPlan {
    let MachineIdFile::Valid(id) = seen.machine_id else {
        if !seen.live && matches!(seen.machine_id, MachineIdFile::Absent | MachineIdFile::Unset) {
            return MachineIdPlan::LeaveToSystemd;
        }
        problems.push("there is no valid machine-id".to_owned());
        return MachineIdPlan::Report;
    };
    let goldens = seen.golden.as_ref().is_some_and(|golden| golden.machine_ids.contains(&id.derived()));
    if goldens {
        MachineIdPlan::Renew
    } else if seen.machine_id_is_fresh {
        // One that an earlier run of this boot wrote looks fresh too: the marker tells.
        MachineIdPlan::Fresh
    } else if decision == Decision::Renew {
        MachineIdPlan::Renew
    } else {
        MachineIdPlan::Keep
    }
}

fn plan_hostname(seen: &Observation, decision: Decision, problems: &mut Vec<String>) -> HostnamePlan {
    let claimed = seen.claim.as_ref().and_then(|claim| claim.hostname.as_ref());
    let expected = claimed.or(seen.settings.hostname.as_ref()).map(|name| name.as_str().to_owned());
    let present = seen.kernel_hostname.as_ref().or(seen.hostname_file.as_ref());
    let Some(name) = &expected else {
        if let Some(problem) = present.and_then(|name| hostname_problem(seen, name)) {
            problems.push(problem);
        }
        return HostnamePlan::default();
    };
    // After the first time a claim names it, the name belongs to the administrator.
    let stamped_claim = seen.stamp.valid().and_then(|stamp| stamp.claim_id.as_ref());
    let settled = matches!(decision, Decision::Keep | Decision::AlreadyProvisioned | Decision::SuspectClone)
        && seen.claim.as_ref().map(|claim| &claim.id) == stamped_claim
        && claimed.is_some();
    let restored_word =
        seen.claim.as_ref().and_then(|c| c.intent) == Some(Intent::Restore) && claimed.is_none();
    if settled || restored_word {
        return HostnamePlan { expected, ..HostnamePlan::default() };
    }
    let kernel_differs = seen.kernel_hostname.as_ref().is_some_and(|kernel| kernel != name);
    // Where the hypervisor sets the name and the image has no file, nothing is written.
    let file_differs = match &seen.hostname_file {
        Some(file) => file != name,
        None => kernel_differs || !seen.live,
    };
    HostnamePlan { write_file: file_differs, set_kernel: kernel_differs, expected }
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
