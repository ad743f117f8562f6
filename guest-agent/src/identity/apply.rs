//! Carries a plan out. Every effect may fail or be the last before a crash; what matters is then found by `verify`.

use firstlight_shared::error::Chain;
use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::ItemOutcome;
use zeroize::Zeroizing;

use super::observe::Observation;
use super::plan::{MachineIdPlan, Plan};
use crate::items;
use crate::keys::{self, KeyFile, MadeKey, Private, path_of};
use crate::paths;
use crate::sys::{Machine, SysError, random_bytes};

/// What was done, for `verify` and the report.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub made: Vec<MadeKey>,
    pub items: Vec<ItemOutcome>,
    pub problems: Vec<String>,
}

/// Never fails as a whole: each item that cannot be done is a problem.
pub(crate) fn apply(machine: &Machine, seen: &Observation, plan: &Plan) -> Applied {
    let mut applied = Applied::default();
    let root = &machine.root;
    if plan.drop_stamp {
        // First of all: a crash below must be followed by a whole renewal, whatever the evidence is then.
        let dropped = root.remove(paths::STAMP).and_then(|()| root.sync_folder_of(paths::STAMP));
        applied.note(dropped);
    }
    for kind in plan.made_types() {
        match keys::make(kind) {
            Ok(key) => applied.made.push(key),
            Err(error) => applied.problems.push(Chain(&error).to_string()),
        }
    }
    for leftover in &plan.leftovers {
        applied.note(root.remove(&path_of(leftover)));
    }
    let old: Vec<&KeyFile> = plan.remove_keys.iter().filter_map(|name| seen.keys.named(name)).collect();
    let installed = keys::install(root, &applied.made, &old);
    applied.note(installed);
    for name in &plan.repair_keys {
        applied.note(repair(machine, seen, name));
    }
    if plan.link_dbus {
        // Before the machine-id itself: a copy of its own would bring the old one back.
        applied.note(root.link(paths::DBUS_MACHINE_ID, "/etc/machine-id"));
    }
    if plan.machine_id == MachineIdPlan::Renew {
        applied.note(renew_machine_id(machine, seen));
    }
    if let Some(name) = &plan.hostname.expected {
        if plan.hostname.set_kernel {
            applied.note(machine.set_kernel_hostname(name));
        }
        if plan.hostname.write_file {
            applied.note(root.replace(paths::HOSTNAME, 0o644, format!("{name}\n").as_bytes()));
        }
    }
    let (outcomes, problems) = items::renew_found(root, &plan.items);
    applied.items = outcomes;
    applied.problems.extend(problems);
    applied
}

impl Applied {
    fn note(&mut self, done: Result<(), SysError>) {
        if let Err(error) = done {
            self.problems.push(Chain(&error).to_string());
        }
    }
}

/// Writes the public half anew from the private one, and gives the private file its mode.
fn repair(machine: &Machine, seen: &Observation, name: &str) -> Result<(), SysError> {
    let Some(Private::Readable(public)) = seen.keys.named(name).map(|key| &key.private) else {
        return Ok(());
    };
    let root = &machine.root;
    let private = path_of(name);
    if root.mode(&private) != Some(0o600)
        && let Some(bytes) = root.read(&private)?.map(Zeroizing::new)
    {
        root.replace(&private, 0o600, &bytes)?;
    }
    let line = public
        .to_openssh()
        .map_err(|error| SysError::new("write the public half of", &private, std::io::Error::other(error)))?;
    root.replace(&format!("{private}.pub"), 0o644, format!("{line}\n").as_bytes())
}

fn renew_machine_id(machine: &Machine, seen: &Observation) -> Result<(), SysError> {
    let root = &machine.root;
    if machine.live {
        // Before the change: after a crash, the next run must know that PID 1 still has the old one.
        root.replace(paths::REBOOT_REQUIRED, 0o644, b"machine-id\n")?;
    }
    let random = || MachineId::from_random(random_bytes());
    let id = seen.container_uuid.unwrap_or_else(random);
    root.replace(paths::MACHINE_ID, 0o444, Zeroizing::new(format!("{}\n", id.expose())).as_bytes())
}
