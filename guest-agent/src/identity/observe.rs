//! Everything that the decision and the plan look at, read once. Changes nothing.

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::ids::{MacAddress, MachineId};
use firstlight_shared::wire::Claim;

use super::hosts::{self, HostnameOwner};
use super::machine_id::{MachineIdFile, Origins, classify};
use super::stamp::{self, Evidence, StampState};
use crate::config::{self, Settings};
use crate::golden::{self, Golden};
use crate::keys::{self, HostKeys};
use crate::paths;
use crate::sys::{Kind, Machine};
use crate::{claim, virtualization};

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
    /// The machine-id is on a mount of its own, as where /etc was read-only when systemd made it.
    pub machine_id_is_mounted: bool,
    /// systemd booted from this root: no image that is being made, and no chroot.
    pub runs: bool,
    pub origins: Origins,
    /// /var/lib/dbus/machine-id is a file of its own; what it holds.
    pub dbus_copy: Option<MachineIdFile>,
    /// An earlier run of this boot replaced the machine-id that PID 1 uses.
    pub reboot_required: bool,
    pub keys: HostKeys,
    pub has_sshd: bool,
    pub kernel_hostname: Option<String>,
    pub hostname_file: Option<String>,
    pub hostname_owner: HostnameOwner,
    pub hosts: Option<String>,
    pub cloud_init: CloudInit,
    pub problems: Vec<String>,
}

/// What tells cloud-init to leave the name alone. Source: cc_set_hostname and cc_update_hostname of cloud-init.
pub(super) const NAME_IS_OURS: &str =
    "# Firstlight: this guest's name is given by its bring-up.\npreserve_hostname: true\n";

/// The other one who names guests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CloudInit {
    pub is_there: bool,
    /// It was told so by an earlier run, perhaps of the machine that this one was cloned from.
    pub leaves_name: bool,
}

/// Never fails: what cannot be read is absent, and a problem where that matters.
pub(crate) fn observe(machine: &Machine) -> Observation {
    observe_within(machine, Duration::ZERO)
}

/// As [`observe`], with patience for a claim's source that does not answer now ([`claim::find`]).
pub(crate) fn observe_within(machine: &Machine, patience: Duration) -> Observation {
    let root = &machine.root;
    let mut problems = Vec::new();
    let settings = config::load(root, &mut problems);
    let claim = claim::find(machine, patience, &mut problems).map(|found| found.claim);
    let golden = golden::load(root, &mut problems);
    let machine_id = read_machine_id(machine, &mut problems);
    let is_mounted = root.is_mount(paths::MACHINE_ID);
    let is_fresh = is_fresh(machine);
    let origins = origins(machine, machine_id, is_fresh);
    let evidence = Evidence {
        // A mount over the file is gone at the next boot, and its id with it.
        machine_id: machine_id.valid().filter(|_| !is_mounted).map(|id| id.derived()),
        container_uuid: origins.container_uuid.map(|id| id.derived()),
        product_uuid: virtualization::product_uuid(machine).map(|id| id.derived()),
        vm_generation: virtualization::vm_generation(machine).map(|id| id.derived()),
        macs: cards(machine),
    };
    let keys = keys::scan(root).unwrap_or_else(|error| {
        problems.push(Chain(&error).to_string());
        HostKeys::default()
    });
    problems.extend(keys.problems.iter().cloned());
    let hostname_file = root.read_text(paths::HOSTNAME).ok().flatten().and_then(|text| first_name(&text));
    let kernel_hostname = machine.kernel_hostname();
    let hosts = root.read_text(paths::HOSTS).unwrap_or_else(|error| {
        problems.push(Chain(&error).to_string());
        None
    });
    Observation {
        live: machine.live,
        settings,
        claim,
        golden,
        stamp: stamp::load(root),
        evidence,
        machine_id,
        machine_id_is_fresh: is_fresh,
        machine_id_is_mounted: is_mounted,
        runs: machine.is_booted(),
        origins,
        dbus_copy: (root.kind(paths::DBUS_MACHINE_ID) == Some(Kind::File))
            .then(|| classify(root.read(paths::DBUS_MACHINE_ID).ok().flatten().as_deref())),
        reboot_required: machine.live && root.kind(paths::REBOOT_REQUIRED).is_some(),
        keys,
        has_sshd: paths::SSHD_SIGNS.iter().any(|path| root.kind(path).is_some()),
        hostname_owner: hostname_owner(machine, kernel_hostname.as_deref(), hosts.as_deref()),
        kernel_hostname,
        hostname_file,
        hosts,
        cloud_init: CloudInit {
            is_there: root.kind(paths::CLOUD_CONFIG) == Some(Kind::Folder),
            leaves_name: root.read_text(paths::CLOUD_NAME).ok().flatten().as_deref() == Some(NAME_IS_OURS),
        },
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

/// What systemd would make a machine-id of. systemd-nspawn hands the root's own id back as `container_uuid`: that is no
/// word of the host's.
fn origins(machine: &Machine, present: MachineIdFile, is_fresh: bool) -> Origins {
    let parse = |text: &str| text.trim().parse::<MachineId>().ok();
    let credential = machine.system_credential("system.machine_id").ok().flatten();
    let is_nspawn = virtualization::container(machine).as_deref() == Some("systemd-nspawn");
    Origins {
        credential: credential.and_then(|bytes| parse(&String::from_utf8_lossy(&bytes))),
        container_uuid: machine
            .pid1_variable("container_uuid")
            // In a virtual machine it is a word of the kernel's command line, so of a boot loader on the root disk.
            .filter(|_| virtualization::is_container(machine))
            .and_then(|text| parse(&text))
            .filter(|uuid| !(is_nspawn && !is_fresh && present.valid() == Some(*uuid))),
        product_uuid: virtualization::machine_id_of_product(machine),
    }
}

/// The MAC addresses of the machine's cards. Where some interfaces have hardware behind them, only those count: bridges
/// and the ends of containers' cables come and go, and systemd gives some the same address in every clone.
fn cards(machine: &Machine) -> Vec<MacAddress> {
    let interfaces = machine.interfaces();
    let is_hardware = |name: &str| {
        let device = format!("{}/{name}/device", paths::NETWORK_CARDS);
        !name.contains('/') && machine.root.kind(&device).is_some()
    };
    let some_hardware = interfaces.iter().any(|interface| is_hardware(&interface.name));
    let counts = |name: &str| !some_hardware || is_hardware(name);
    interfaces.iter().filter(|one| counts(&one.name)).filter_map(|one| one.mac).collect()
}

fn hostname_owner(machine: &Machine, kernel_hostname: Option<&str>, hosts: Option<&str>) -> HostnameOwner {
    let root = &machine.root;
    let Some(container) = virtualization::container(machine) else { return HostnameOwner::Guest };
    let resolv_conf = root.read_text(paths::RESOLV_CONF).ok().flatten();
    hosts::owner(&hosts::Signs {
        container: Some(&container),
        kernel_hostname,
        hosts,
        resolv_conf: resolv_conf.as_deref(),
        ignores_hostname: root.kind(paths::PVE_IGNORES_HOSTNAME) == Some(Kind::File),
        ignores_hosts: root.kind(paths::PVE_IGNORES_HOSTS) == Some(Kind::File),
        ignores_resolv_conf: root.kind(paths::PVE_IGNORES_RESOLV_CONF) == Some(Kind::File),
    })
}

/// Whether /etc/machine-id was written after PID 1 started.
///
/// There is no tolerance, on purpose. The start of PID 1 comes out up to 10 ms too early (its unit is a clock tick),
/// and systemd needs longer than that from its start to the machine-id, so an id that it made is always later. An id
/// from the golden was written before the unpacking ended, so before anybody could start PID 1: even a root that was
/// unpacked right before the boot is earlier. A clock set forward in between makes a fresh id look old, and it is then
/// renewed without need. One set back beyond the time of the unpacking makes the golden's look later than now, which is
/// no sign of anything.
fn is_fresh(machine: &Machine) -> bool {
    let fresh = || {
        let now = machine.clock().now();
        let started = now.checked_sub(machine.age_of_boot()?)?;
        let written = machine.root.written_at(paths::MACHINE_ID)?;
        Some(started <= written && written <= now)
    };
    fresh().unwrap_or(false)
}

/// The first line of /etc/hostname that is no comment.
fn first_name(text: &str) -> Option<String> {
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(name.to_owned())
}
