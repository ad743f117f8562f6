//! Carries a plan out. Every effect may fail or be the last before a crash; what matters is then found by `verify`.

use firstlight_shared::error::Chain;
use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::ItemOutcome;
use zeroize::Zeroizing;

use super::observe::{NAME_IS_OURS, Observation};
use super::plan::{CloudInitPlan, MachineIdPlan, Plan, renamed_hosts, renewed_id};
use super::stamp::Unfinished;
use crate::items;
use crate::keys::{self, KeyFile, MadeKey, Private, path_of};
use crate::paths;
use crate::sys::{Machine, SysError, random_bytes};

/// What was done, for `verify` and the report.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub made: Vec<MadeKey>,
    /// The host keys are as planned and on the disk; otherwise there must be no stamp that vouches for them.
    pub keys_are_durable: bool,
    pub unfinished: Vec<Unfinished>,
    pub items: Vec<ItemOutcome>,
    pub problems: Vec<String>,
}

/// Never fails as a whole: each item that cannot be done is a problem.
pub(crate) fn apply(machine: &Machine, seen: &Observation, plan: &Plan) -> Applied {
    let mut applied = Applied::default();
    let root = &machine.root;
    if plan.stir {
        // First: what is made below must not be what was made before the rollback.
        applied.note(machine.stir_random_pool(&fresh_bytes(machine)));
    }
    if plan.drop_stamp {
        // Before all changes: a crash below must be followed by a whole renewal, whatever the evidence is then.
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
    applied.keys_are_durable = applied.note(keys::install(root, &seen.keys, &applied.made, &old));
    for name in &plan.repair_keys {
        applied.keys_are_durable &= applied.note(repair(machine, seen, name));
    }
    // Before the machine-id itself: a copy of its own would bring the old one back.
    if plan.link_dbus && !applied.note(root.link(paths::DBUS_MACHINE_ID, "/etc/machine-id")) {
        applied.unfinished.push(Unfinished::DbusCopy);
    }
    if plan.machine_id == MachineIdPlan::Renew && !applied.note(renew_machine_id(machine, seen)) {
        applied.unfinished.push(Unfinished::MachineId);
    }
    if !applied.rename(machine, seen, plan) {
        applied.unfinished.push(Unfinished::Hostname);
    }
    let (outcomes, problems) = items::renew_found(root, &plan.items);
    applied.items = outcomes;
    applied.problems.extend(problems);
    applied.problems.extend(root.take_notes());
    applied
}

impl Applied {
    /// Whether it was done.
    fn note(&mut self, done: Result<(), SysError>) -> bool {
        done.map_err(|error| self.problems.push(Chain(&error).to_string())).is_ok()
    }

    fn rename(&mut self, machine: &Machine, seen: &Observation, plan: &Plan) -> bool {
        let root = &machine.root;
        // Planned by what is there in each boot, so that a failure is made good by the next.
        let told = match plan.hostname.cloud_init {
            CloudInitPlan::Leave => Ok(()),
            CloudInitPlan::TellToLeaveName => root.replace(paths::CLOUD_NAME, 0o644, NAME_IS_OURS.as_bytes()),
            CloudInitPlan::TakeBack => root.remove(paths::CLOUD_NAME),
        };
        self.note(told);
        let Some(name) = &plan.hostname.expected else { return true };
        let mut whole = true;
        if plan.hostname.set_kernel {
            whole &= self.note(machine.set_kernel_hostname(name));
        }
        // Before the name's own file, which tells the old name to the next run if this one is cut off in between.
        if let Some(text) =
            renamed_hosts(seen, name, plan.hostname.write_file).filter(|_| plan.hostname.write_hosts)
        {
            let mode = root.mode(paths::HOSTS).unwrap_or(0o644);
            whole &= self.note(root.replace(paths::HOSTS, mode, text.as_bytes()));
        }
        if plan.hostname.write_file {
            whole &= self.note(root.replace(paths::HOSTNAME, 0o644, format!("{name}\n").as_bytes()));
        }
        whole
    }
}

/// Different after each rollback as far as this machine can make it: its generation, the time, what the generator gives.
fn fresh_bytes(machine: &Machine) -> Vec<u8> {
    let mut bytes = random_bytes::<32>().to_vec();
    bytes.extend(machine.clock().now().as_nanos().to_le_bytes());
    bytes.extend(
        crate::virtualization::vm_generation(machine).map(|id| id.expose().into_bytes()).unwrap_or_default(),
    );
    bytes
}

/// Writes the public half anew from the private one, and gives the private file its mode.
fn repair(machine: &Machine, seen: &Observation, name: &str) -> Result<(), SysError> {
    let Some(KeyFile { private: Private::Readable(public), place, .. }) = seen.keys.named(name) else {
        return Ok(());
    };
    let root = &machine.root;
    let private = &place.private;
    if root.mode(private) != Some(0o600)
        && let Some(bytes) = root.read(private)?.map(Zeroizing::new)
    {
        root.replace(private, 0o600, &bytes)?;
    }
    let line = public
        .to_openssh()
        .map_err(|error| SysError::new("write the public half of", private, std::io::Error::other(error)))?;
    root.replace(&place.public, 0o644, format!("{line}\n").as_bytes())
}

fn renew_machine_id(machine: &Machine, seen: &Observation) -> Result<(), SysError> {
    let root = &machine.root;
    if machine.live {
        // Before the change: after a crash, the next run must know that PID 1 still has the old one.
        root.replace(paths::REBOOT_REQUIRED, 0o644, b"machine-id\n")?;
    }
    let random = || MachineId::from_random(random_bytes());
    let id = renewed_id(seen).id.unwrap_or_else(random);
    root.replace(paths::MACHINE_ID, 0o444, Zeroizing::new(format!("{}\n", id.expose())).as_bytes())
}
