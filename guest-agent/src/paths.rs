//! Every place that the guest agent reads or writes, relative to the root it works on.

/// What this machine's identity was when it was last proved; written last.
pub(crate) const STAMP: &str = "var/lib/firstlight/stamp.json";
/// Keeps two runs apart.
pub(crate) const LOCK: &str = "var/lib/firstlight/lock";
/// Folder of the stamp.
pub(crate) const STATE_DIR: &str = "var/lib/firstlight";
/// What the golden had, as `seal` recorded it; the first one found counts.
pub(crate) const GOLDEN: [&str; 2] = ["usr/lib/firstlight/golden.json", "var/lib/firstlight/golden.json"];
/// A stamp of unknown history that `adopt` put aside.
pub(crate) const OLD_STAMP: &str = "var/lib/firstlight/stamp.unknown.json";
/// That this machine was rebooted by policy, and for which machine-id; gone once that is in place.
pub(crate) const REBOOTED: &str = "var/lib/firstlight/rebooted.json";
/// The administrator's configuration; optional.
pub(crate) const CONFIG: &str = "etc/firstlight/guest.toml";
/// Folders of readiness checks; a file of the later one masks the same name in the earlier.
pub(crate) const CHECKS: [&str; 2] = ["usr/lib/firstlight/checks.d", "etc/firstlight/checks.d"];
/// Outcome of this boot's identity phase.
pub(crate) const IDENTITY: &str = "run/firstlight/identity.json";
/// Present when PID 1 still uses a machine-id that was replaced in this boot.
pub(crate) const REBOOT_REQUIRED: &str = "run/firstlight/reboot-required";
/// The signed report.
pub(crate) const REPORT: &str = "run/firstlight/report.json";
/// Log of the attempts to deliver the report, and the host's answer.
pub(crate) const DELIVERY: &str = "run/firstlight/delivery.json";
/// That the host has acknowledged this machine: no beacon on later boots.
pub(crate) const BEACON: &str = "var/lib/firstlight/beacon.json";
/// Who acknowledged this machine, for evidence that it sends by itself.
pub(crate) const COMPANION: &str = "var/lib/firstlight/companion.json";
/// Where systemd keeps the credentials that the hypervisor passed.
pub(crate) const SYSTEM_CREDENTIALS: &str = "run/credentials/@system";
pub(crate) const MACHINE_ID: &str = "etc/machine-id";
/// D-Bus's own copy: a regular file here brings an old machine-id back (machine-id-setup.c of systemd).
pub(crate) const DBUS_MACHINE_ID: &str = "var/lib/dbus/machine-id";
pub(crate) const HOSTNAME: &str = "etc/hostname";
pub(crate) const HOSTS: &str = "etc/hosts";
/// Folder of cloud-init's configuration; there only where cloud-init is.
pub(crate) const CLOUD_CONFIG: &str = "etc/cloud/cloud.cfg.d";
/// Ours: tells cloud-init that the name is not its to give.
pub(crate) const CLOUD_NAME: &str = "etc/cloud/cloud.cfg.d/96-firstlight-name.cfg";
pub(crate) const RESOLV_CONF: &str = "etc/resolv.conf";
/// Where one of these is, Proxmox VE leaves the file beside it alone (`ct_is_file_ignored` of pve-container).
pub(crate) const PVE_IGNORES_HOSTNAME: &str = "etc/.pve-ignore.hostname";
pub(crate) const PVE_IGNORES_HOSTS: &str = "etc/.pve-ignore.hosts";
pub(crate) const PVE_IGNORES_RESOLV_CONF: &str = "etc/.pve-ignore.resolv.conf";
pub(crate) const SSH_DIR: &str = "etc/ssh";
pub(crate) const SSHD_CONFIG: &str = "etc/ssh/sshd_config";
/// Ours, and it names the host certificates.
pub(crate) const SSHD_DROP_IN: &str = "etc/ssh/sshd_config.d/10-firstlight.conf";
/// Any of these means that the image has an SSH server.
pub(crate) const SSHD_SIGNS: [&str; 8] = [
    "usr/sbin/sshd",
    "usr/bin/sshd",
    "usr/lib/systemd/system/ssh.service",
    "usr/lib/systemd/system/sshd.service",
    "lib/systemd/system/ssh.service",
    "lib/systemd/system/sshd.service",
    "etc/systemd/system/ssh.service",
    "etc/systemd/system/sshd.service",
];
/// 0400 root; the machine's own only in a VM (in a container it is the node's).
pub(crate) const DMI_UUID: &str = "sys/class/dmi/id/product_uuid";
pub(crate) const DMI_VENDOR: &str = "sys/class/dmi/id/sys_vendor";
pub(crate) const DMI_PRODUCT: &str = "sys/class/dmi/id/product_name";
/// One page of QEMU's vmgenid device, as the kernel's qemu_fw_cfg driver shows it; 0400 root. The kernel's vmgenid
/// driver itself has no file.
pub(crate) const VM_GENERATION: &str = "sys/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw";
pub(crate) const NETWORK_CARDS: &str = "sys/class/net";
pub(crate) const CPUINFO: &str = "proc/cpuinfo";
pub(crate) const PID1_ENVIRONMENT: &str = "proc/1/environ";
/// 0400 root; in a container it is the node's.
pub(crate) const DMI_SERIAL: &str = "sys/class/dmi/id/product_serial";
/// In a container it is the node's.
pub(crate) const KERNEL_COMMAND_LINE: &str = "proc/cmdline";
/// Folder of the named virtio ports, as udev links them.
pub(crate) const VIRTIO_PORTS: &str = "dev/virtio-ports";
/// The same ports as the kernel lists them.
pub(crate) const VIRTIO_CLASS: &str = "sys/class/virtio-ports";
/// The guest's door to Incus, and the older one to LXD: the same protocol. Source: doc/dev-incus.md, doc/dev-lxd.md.
pub(crate) const DEV_INCUS: [&str; 2] = ["dev/incus/sock", "dev/lxd/sock"];
pub(crate) const PID1_STAT: &str = "proc/1/stat";
pub(crate) const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";
pub(crate) const CPU_INFO: &str = "proc/cpuinfo";
pub(crate) const ROUTES_V4: &str = "proc/net/route";
pub(crate) const ROUTES_V6: &str = "proc/net/ipv6_route";
pub(crate) const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
