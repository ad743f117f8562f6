//! Everything that the decision and the plan look at, read once. Changes nothing.

use firstlight_shared::error::Chain;
use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::Claim;

use super::stamp::{self, Evidence, StampState};
use crate::config::{self, Settings};
use crate::golden::{self, Golden};
use crate::keys::{self, HostKeys};
use crate::paths;
use crate::sys::{Kind, Machine};
use crate::{claim, virtualization};

/// What stands in /etc/machine-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MachineIdFile {
    Absent,
    /// Empty or `uninitialized`: systemd fills it at the next boot.
    Unset,
    Invalid,
    Valid(MachineId),
}

impl MachineIdFile {
    pub(crate) fn valid(self) -> Option<MachineId> {
        match self {
            Self::Valid(id) => Some(id),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Observation {
    pub live: bool,
    pub settings: Settings,
    pub claim: Option<Claim>,
    pub golden: Option<Golden>,
    pub stamp: StampState,
    pub evidence: Evidence,
    pub machine_id: MachineIdFile,
    /// systemd made the machine-id in this very boot.
    pub machine_id_is_fresh: bool,
    /// A machine-id that the container manager gave and that is not the present one.
    pub container_uuid: Option<MachineId>,
    /// /var/lib/dbus/machine-id is a file of its own.
    pub dbus_copy: bool,
    /// An earlier run of this boot replaced the machine-id that PID 1 uses.
    pub reboot_required: bool,
    pub keys: HostKeys,
    pub has_sshd: bool,
    pub kernel_hostname: Option<String>,
    pub hostname_file: Option<String>,
    pub problems: Vec<String>,
}

/// Never fails: what cannot be read is absent, and a problem where that matters.
pub(crate) fn observe(machine: &Machine) -> Observation {
    let root = &machine.root;
    let mut problems = Vec::new();
    let settings = config::load(root, &mut problems);
    let claim = claim::load(machine, &mut problems);
    let golden = golden::load(root, &mut problems);
    let machine_id = read_machine_id(machine, &mut problems);
    let container_uuid = machine
        .pid1_variable("container_uuid")
        .and_then(|text| text.parse::<MachineId>().ok())
        .filter(|uuid| machine_id.valid() != Some(*uuid));
    let macs: Vec<_> = machine.interfaces().into_iter().filter_map(|interface| interface.mac).collect();
    let evidence = Evidence {
        machine_id: machine_id.valid().map(|id| id.derived()),
        container_uuid: container_uuid.map(|id| id.derived()),
        product_uuid: virtualization::product_uuid(machine).map(|id| id.derived()),
        macs,
    };
    let keys = keys::scan(root).unwrap_or_else(|error| {
        problems.push(Chain(&error).to_string());
        HostKeys::default()
    });
    problems.extend(keys.problems.iter().cloned());
    let hostname_file = root.read_text(paths::HOSTNAME).ok().flatten().and_then(|text| first_name(&text));
    Observation {
        live: machine.live,
        settings,
        claim,
        golden,
        stamp: stamp::load(root),
        evidence,
        machine_id,
        machine_id_is_fresh: is_fresh(machine),
        container_uuid,
        dbus_copy: root.kind(paths::DBUS_MACHINE_ID) == Some(Kind::File),
        reboot_required: machine.live && root.kind(paths::REBOOT_REQUIRED).is_some(),
        keys,
        has_sshd: paths::SSHD_SIGNS.iter().any(|path| root.kind(path).is_some()),
        kernel_hostname: machine.kernel_hostname(),
        hostname_file,
        problems,
    }
}

fn read_machine_id(machine: &Machine, problems: &mut Vec<String>) -> MachineIdFile {
    match machine.root.read(paths::MACHINE_ID) {
        Ok(bytes) => classify(bytes.as_deref()),
        Err(error) => {
            problems.push(Chain(&error).to_string());
            MachineIdFile::Invalid
        }
    }
}

pub(crate) fn classify(bytes: Option<&[u8]>) -> MachineIdFile {
    let Some(bytes) = bytes else { return MachineIdFile::Absent };
    let text = String::from_utf8_lossy(bytes);
    match text.trim() {
        "" | "uninitialized" => MachineIdFile::Unset,
        // machine-id(5) allows no dashes here.
        plain if plain.contains('-') => MachineIdFile::Invalid,
        plain => plain.parse().map_or(MachineIdFile::Invalid, MachineIdFile::Valid),
    }
}

/// Whether /etc/machine-id was written after PID 1 started.
///
/// There is no tolerance, on purpose. The start of PID 1 comes out up to 10 ms too early (its unit is a clock tick),
/// and systemd needs longer than that from its start to the machine-id, so an id that it made is always later. An id
/// from the golden was written before the unpacking ended, so before anybody could start PID 1: even a root that was
/// unpacked right before the boot is earlier. A clock set forward in between makes a fresh id look old, and it is then
/// renewed without need; the other error, a duplicate, takes a clock set back beyond the time of the unpacking.
fn is_fresh(machine: &Machine) -> bool {
    let fresh = || {
        let started = machine.clock().now().checked_sub(machine.age_of_boot()?)?;
        Some(machine.root.changed_at(paths::MACHINE_ID)? >= started)
    };
    fresh().unwrap_or(false)
}

/// The first line of /etc/hostname that is no comment.
fn first_name(text: &str) -> Option<String> {
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_states_of_a_machine_id_are_told_apart() {
        assert_eq!(classify(None), MachineIdFile::Absent);
        for unset in ["", "\n", "uninitialized\n"] {
            assert_eq!(classify(Some(unset.as_bytes())), MachineIdFile::Unset);
        }
        for wrong in
            ["7be0", "7be07251-d758-4360-bfa2-0bcb52311efb", "\0", "00000000000000000000000000000000"]
        {
            assert_eq!(classify(Some(wrong.as_bytes())), MachineIdFile::Invalid, "{wrong}");
        }
        assert!(classify(Some(b"7be07251d7584360bfa20bcb52311efb\n")).valid().is_some());
    }
}
