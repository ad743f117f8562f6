//! By policy, one reboot where the machine-id had to be replaced: PID 1, journal and network still use the old one.
//!
//! Never a loop: it is journaled on the disk before, and as long as the machine-id that it was for is not found in place
//! there is no second one. Done from the early phase: nothing has used the new identity yet, and nobody can log in.

use firstlight_shared::error::Chain;
use firstlight_shared::ids::DerivedMachineId;
use firstlight_shared::wire::{Identity, MachineIdState};
use serde::{Deserialize, Serialize};

use crate::config::RebootPolicy;
use crate::paths;
use crate::sys::{Machine, SysError};

/// Stands on the disk from before the reboot until the machine-id is found in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rebooted {
    version: u32,
    at_ms: u64,
    machine_id: Option<DerivedMachineId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    No,
    Reboot,
    Refuse(&'static str),
}

/// What is known when the question comes.
#[derive(Debug, Clone, Copy)]
struct Facts {
    policy: RebootPolicy,
    /// The identity phase did its work: a machine whose sshd must stay down is for a person to look at.
    whole: bool,
    /// PID 1 uses a machine-id that was replaced in this boot.
    required: bool,
    journaled: bool,
    outlives: bool,
}

fn decide(facts: Facts) -> Answer {
    if facts.policy == RebootPolicy::Never || !facts.whole || !facts.required {
        return Answer::No;
    }
    if facts.journaled {
        return Answer::Refuse(
            "this machine was rebooted for it already, and the new machine-id did not stay",
        );
    }
    if !facts.outlives {
        return Answer::Refuse(
            "/var/lib/firstlight may be in memory: after the reboot nobody would know of it",
        );
    }
    Answer::Reboot
}

/// Whether the caller has to reboot; that is journaled then.
pub(super) fn wanted(machine: &Machine, policy: RebootPolicy, whole: bool, identity: &mut Identity) -> bool {
    let journal = load(machine);
    let in_place = identity.machine_id.derived;
    let required =
        identity.machine_id.reboot_required && identity.machine_id.state == MachineIdState::Renewed;
    if let Ok(Some(journal)) = &journal
        && !required
        && journal.machine_id == in_place
    {
        // The reboot did what it was for. A journal that cannot be removed only forbids the next one.
        let removed = machine.root.remove(paths::REBOOTED);
        identity.problems.extend(removed.err().map(|error| Chain(&error).to_string()));
        return false;
    }
    let facts = Facts {
        policy,
        whole,
        required,
        // One that cannot be read may well be there.
        journaled: !matches!(journal, Ok(None)),
        outlives: machine.state_outlives_a_reboot(),
    };
    match decide(facts) {
        Answer::No => false,
        Answer::Refuse(why) => {
            identity.problems.push(format!("not rebooted although guest.toml says so: {why}"));
            false
        }
        Answer::Reboot => match save(machine, in_place) {
            Ok(()) => true,
            Err(error) => {
                identity.problems.push(format!("not rebooted, it could not be noted: {}", Chain(&error)));
                false
            }
        },
    }
}

fn load(machine: &Machine) -> Result<Option<Rebooted>, ()> {
    let bytes = machine.root.read(paths::REBOOTED).map_err(drop)?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(drop)).transpose()
}

fn save(machine: &Machine, machine_id: Option<DerivedMachineId>) -> Result<(), SysError> {
    let journal = Rebooted { version: 1, at_ms: machine.clock().now_ms(), machine_id };
    let text = serde_json::to_vec(&journal)
        .map_err(|error| SysError::new("write", paths::REBOOTED, std::io::Error::other(error)))?;
    machine.root.replace(paths::REBOOTED, 0o600, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reboot_takes_a_policy_a_need_a_whole_machine_and_a_memory() {
        let yes = Facts {
            policy: RebootPolicy::Once,
            whole: true,
            required: true,
            journaled: false,
            outlives: true,
        };
        assert_eq!(decide(yes), Answer::Reboot);
        for no in [
            Facts { policy: RebootPolicy::Never, ..yes },
            Facts { whole: false, ..yes },
            Facts { required: false, ..yes },
            Facts { required: false, journaled: true, outlives: false, ..yes },
        ] {
            assert_eq!(decide(no), Answer::No, "{no:?}");
        }
        for refused in [Facts { journaled: true, ..yes }, Facts { outlives: false, ..yes }] {
            assert!(matches!(decide(refused), Answer::Refuse(_)), "{refused:?}");
        }
    }
}
