//! What an archive carries into a restore.
//!
//! Archives of a backup server (`pbs:backup/ct/9100/2026-11-21T11:14:04Z`) are archives like others: Proxmox reads their
//! configuration and restores from them with the same calls.

use std::fmt;
use std::time::Duration;

use firstlight_shared::text::escape;
use tokio::time::Instant;

use super::client::endpoint::guest::Kind;
use super::client::endpoint::node::{ArchiveConfig, ReadArchiveConfig};
use super::client::properties::Properties;
use crate::backend::GuestPlan;
use crate::outcome::Fault;

/// How long a configuration is used that was read from an archive. Whoever replaces an archive under its own name waits
/// for that long, or for the next look at its mark.
pub(super) const FRESH: Duration = Duration::from_secs(60);

/// A volume that guests are restored from, as its name has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Golden<'a> {
    pub(super) storage: &'a str,
    pub(super) kind: Kind,
    /// The guest that it was made of. None: a name that vzdump would not have given.
    pub(super) owner: Option<u32>,
}

/// Reads `STORAGE:backup/vzdump-lxc-9100-...tar.zst` and `STORAGE:backup/ct/9100/...`.
pub(super) fn golden(volume: &str) -> Result<Golden<'_>, Fault> {
    parse(volume).ok_or_else(|| {
        Fault::new(
            "not-an-archive",
            format!("golden: `{}` is not a backup of a guest on a storage of Proxmox", escape(volume, 160)),
        )
        .with_hint(
            "as `pvesm list STORAGE --content backup` shows them: `local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst`",
        )
    })
}

fn parse(volume: &str) -> Option<Golden<'_>> {
    let (storage, path) = volume.split_once(':')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let named = storage.len() >= 2
        && storage.starts_with(|c: char| c.is_ascii_alphabetic())
        && storage.chars().all(is_name);
    let shown = !path.chars().any(|c| c.is_whitespace() || c.is_control());
    let file = path.strip_prefix("backup/").filter(|_| named && shown)?;
    if let Some((group, rest)) = file.split_once('/') {
        let kind = match group {
            "ct" => Kind::Lxc,
            "vm" => Kind::Qemu,
            _ => return None,
        };
        let (id, time) = rest.split_once('/')?;
        return (!id.is_empty() && !time.is_empty()).then(|| Golden {
            storage,
            kind,
            owner: id.parse().ok(),
        });
    }
    let (kind, rest) = match file.strip_prefix("vzdump-")?.split_once('-')? {
        ("lxc", rest) => (Kind::Lxc, rest),
        ("qemu", rest) => (Kind::Qemu, rest),
        _ => return None,
    };
    let owner = rest.split('-').next().and_then(|id| id.parse().ok());
    Some(Golden { storage, kind, owner })
}

/// A disk of a machine that a restore brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    /// `scsi0`
    pub(super) key: String,
    pub(super) properties: Properties,
    /// As it was when the archive was made.
    pub(super) bytes: Option<u64>,
    /// The one that the machine boots from.
    pub(super) boots: bool,
}

/// The configuration in an archive. `Debug` shows no value of it: containers' environments are in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Archive {
    volume: String,
    config: ArchiveConfig,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("volume", &self.volume).finish_non_exhaustive()
    }
}

/// Buses of machines' disks, in the order in which Proxmox looks for one to boot from.
const BUSES: [&str; 4] = ["ide", "scsi", "virtio", "sata"];
/// How the environment of a container stands in its file.
const ENVIRONMENT: &str = "lxc.environment.runtime";

impl Archive {
    pub(super) fn new(volume: &str, config: ArchiveConfig) -> Self {
        Self { volume: volume.to_owned(), config }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.config.get(key)
    }

    /// Outside of snapshots, in their order.
    pub(super) fn values(&self) -> Vec<(&str, &str)> {
        self.config.values()
    }

    /// Absent is no.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|text| matches!(text, "1" | "yes" | "on" | "true"))
    }

    fn properties(&self, key: &str) -> Option<Properties> {
        let Ok(properties) = self.get(key)?.parse();
        Some(properties)
    }

    /// `netN`, in the order of their numbers.
    pub(super) fn nets(&self) -> Vec<(u32, Properties)> {
        self.family("net")
    }

    /// `mpN`, in the order of their numbers.
    pub(super) fn mounts(&self) -> Vec<(u32, Properties)> {
        self.family("mp")
    }

    fn family(&self, stem: &str) -> Vec<(u32, Properties)> {
        let mut found: Vec<(u32, Properties)> = self
            .config
            .values()
            .into_iter()
            .filter_map(|(key, text)| {
                let number = key.strip_prefix(stem)?.parse().ok()?;
                let Ok(properties) = text.parse();
                Some((number, properties))
            })
            .collect();
        found.sort_by_key(|(number, _)| *number);
        found
    }

    pub(super) fn rootfs(&self) -> Option<Properties> {
        self.properties("rootfs")
    }

    /// Of the root file system's volume when the archive was made.
    pub(super) fn rootfs_bytes(&self) -> Option<u64> {
        size_of(&self.rootfs()?)
    }

    /// Empty if there are none.
    pub(super) fn features(&self) -> Properties {
        self.properties("features").unwrap_or_default()
    }

    /// Variables that every guest of this archive gets, as `NAME=TEXT`.
    pub(super) fn environment(&self) -> Vec<&str> {
        self.config
            .values()
            .into_iter()
            .filter(|(key, _)| *key == ENVIRONMENT)
            .map(|(_, value)| value)
            .collect()
    }

    /// Lines that Proxmox hands to LXC as they are, as far as they are no environment. A restore by a token drops them.
    pub(super) fn raw_lines(&self) -> Vec<&str> {
        let raw = |key: &str| key.starts_with("lxc.") && key != ENVIRONMENT;
        self.config.values().into_iter().map(|(key, _)| key).filter(|key| raw(key)).collect()
    }

    /// The disks that a restore brings, in the order in which Proxmox looks for one to boot from. Not CD-ROMs, cloud-init
    /// drives, and disks that were kept out of the backup.
    pub(super) fn disks(&self) -> Vec<Disk> {
        let mut disks: Vec<Disk> = Vec::new();
        for bus in BUSES {
            let volumes = self.family(bus).into_iter().filter(|(_, properties)| is_disk(properties));
            disks.extend(volumes.map(|(number, properties)| Disk {
                key: format!("{bus}{number}"),
                bytes: size_of(&properties),
                properties,
                boots: false,
            }));
        }
        let first = self.boot_disk(&disks);
        if let Some(place) = first {
            disks[place].boots = true;
        }
        disks
    }

    /// A line that gives a machine a device of the node itself, which Proxmox lets no token do.
    pub(super) fn host_device(&self) -> Option<String> {
        let host = |stem: &str, is_host: fn(&Properties) -> bool| {
            let found = self.family(stem).into_iter().find(|(_, properties)| is_host(properties));
            found.map(|(number, _)| format!("{stem}{number}"))
        };
        let named = |properties: &Properties| properties.get("mapping").is_none();
        let usb = |properties: &Properties| {
            properties.get("host").or(properties.unnamed()).is_some_and(|host| host != "spice")
                && properties.get("mapping").is_none()
        };
        host("hostpci", named).or_else(|| host("usb", usb))
    }

    /// A drive for it, or values that only it reads.
    pub(super) fn has_cloud_init(&self) -> bool {
        const VALUES: [&str; 5] = ["cicustom", "cipassword", "citype", "ciuser", "sshkeys"];
        let is_drive = |key: &str, text: &str| {
            BUSES.iter().any(|bus| key.starts_with(bus)) && text.contains("cloudinit")
        };
        self.config
            .values()
            .into_iter()
            .any(|(key, text)| VALUES.contains(&key) || key.starts_with("ipconfig") || is_drive(key, text))
    }

    fn boot_disk(&self, disks: &[Disk]) -> Option<usize> {
        let place = |key: &str| disks.iter().position(|disk| disk.key == key);
        let boot = self.properties("boot").unwrap_or_default();
        match boot.get("order") {
            Some(order) => order.split([';', ' ']).find_map(place),
            // Of before 6.2: letters in `boot`, the disk in `bootdisk`.
            None => self.get("bootdisk").and_then(place).or(if disks.is_empty() { None } else { Some(0) }),
        }
    }
}

fn is_disk(properties: &Properties) -> bool {
    let volume = properties.unnamed().or_else(|| properties.get("file")).unwrap_or_default();
    let file = volume.rsplit(['/', ':']).next().unwrap_or_default();
    let name = file.split('.').next().unwrap_or_default();
    let cd = properties.get("media") == Some("cdrom") || name == "cloudinit" || name.ends_with("-cloudinit");
    let kept_out = properties.get("backup").is_some_and(|flag| matches!(flag, "0" | "no" | "off" | "false"));
    volume.contains(':') && !cd && !kept_out
}

/// Of a volume: what is before the colon.
pub(super) fn storage_of(properties: &Properties) -> Option<&str> {
    let volume =
        properties.unnamed().or_else(|| properties.get("volume")).or_else(|| properties.get("file"))?;
    Some(volume.split_once(':')?.0)
}

/// In bytes; None if it is not said.
pub(super) fn size_of(properties: &Properties) -> Option<u64> {
    bytes(properties.get("size")?)
}

/// `4G`, `1536M`, `0.5T`, or bytes: units of 1024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let units = [('K', 1_u64 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
    let unit = units.iter().find(|(letter, _)| text.ends_with(*letter));
    let (number, unit) = match unit {
        Some((letter, unit)) => (text.strip_suffix(*letter).unwrap_or(text), *unit),
        None => (text, 1),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 9 {
        return None;
    }
    let ten: u64 = 10;
    let scale = ten.pow(u32::try_from(part.len()).ok()?);
    let part: u64 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let part = u64::try_from(u128::from(part) * u128::from(unit) / u128::from(scale)).ok()?;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part)
}

/// One that was read lately.
#[derive(Debug)]
pub(super) struct Read {
    at: Instant,
    archive: Archive,
}

impl super::Proxmox {
    /// The configuration in the plan's archive, as this node reads it. Read again after a minute, and when the mark of
    /// the archive has changed.
    ///
    /// # Errors
    /// The golden is no archive, is not there, or the token may not read it.
    pub(super) async fn archive(&self, plan: &GuestPlan, node: &str) -> Result<Archive, Fault> {
        golden(&plan.golden)?;
        let key = (node.to_owned(), plan.golden.clone());
        // Held while it is asked: a burst of guests from one archive asks once.
        let mut known = self.cluster.archives.lock().await;
        known.retain(|_, read| read.at.elapsed() < FRESH);
        if let Some(read) = known.get(&key) {
            return Ok(read.archive.clone());
        }
        let ask = ReadArchiveConfig { node: node.to_owned(), volume: plan.golden.clone() };
        let config = self.ask(&ask).await?;
        let archive = Archive::new(&plan.golden, config);
        known.insert(key, Read { at: Instant::now(), archive: archive.clone() });
        Ok(archive)
    }

    /// The archive is read again by whoever asks next.
    pub(super) async fn forget_archive(&self, volume: &str) {
        self.cluster.archives.lock().await.retain(|(_, known), _| known != volume);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(text: &str) -> Archive {
        Archive::new("local:backup/x", ArchiveConfig(text.to_owned()))
    }

    #[test]
    fn goldens_are_backups_of_guests() {
        let of = |storage, kind, owner| Some(Golden { storage, kind, owner });
        for (volume, expected) in [
            ("local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst", of("local", Kind::Lxc, Some(9100))),
            (
                "nfs-1:backup/vzdump-qemu-9200-2026_11_21-12_00_00.vma.zst",
                of("nfs-1", Kind::Qemu, Some(9200)),
            ),
            ("local:backup/vzdump-lxc-golden.tar", of("local", Kind::Lxc, None)),
            ("pbs:backup/ct/9100/2026-11-21T11:14:04Z", of("pbs", Kind::Lxc, Some(9100))),
            ("pbs:backup/vm/9200/2026-11-21T11:14:04Z", of("pbs", Kind::Qemu, Some(9200))),
            ("pbs:backup/host/web/2026-11-21T11:14:04Z", None),
            ("pbs:backup/ct/9100", None),
            ("local:vztmpl/debian-13.tar.zst", None),
            ("local:backup/vzdump-openvz-100-2012_01_01-00_00_00.tgz", None),
            ("local:backup/vzdump-lxc", None),
            ("/var/lib/vz/dump/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst", None),
            ("l:backup/vzdump-lxc-9100-x.tar", None),
            ("-rf:backup/vzdump-lxc-9100-x.tar", None),
            ("local:backup/vzdump-lxc-9100 x.tar", None),
            ("", None),
        ] {
            assert_eq!(golden(volume).ok(), expected, "{volume}");
        }
    }

    #[test]
    fn a_containers_archive_is_read_by_meaning() {
        let archive = archive(
            "#golden\n#hookscript: not a line\nfeatures: nesting=1,keyctl=1\nmp10: local:x,mp=/b,size=1G\n\
             mp2: local:y,mp=/a\nnet0: name=eth0,hwaddr=BC:24:11:AA:BB:CC\nnetmask: 1\nprotection: 1\n\
             rootfs: local:9100/vm-9100-disk-0.raw,size=4G\nlxc.environment.runtime: A=1\n\
             lxc.environment.runtime: B=hunter2\nlxc.mount.entry: /x y none bind\nlxc.cgroup2.devices.allow = a\n\
             [snap]\nmp3: local:z,mp=/c\nlxc.apparmor.profile: unconfined\n",
        );
        let mounts: Vec<_> =
            archive.mounts().iter().map(|(number, mount)| format!("{number} {mount}")).collect();
        assert_eq!(mounts, ["2 local:y,mp=/a", "10 local:x,mp=/b,size=1G"]);
        assert_eq!(archive.nets().len(), 1);
        assert_eq!(archive.nets()[0].1.mac(), Some("BC:24:11:AA:BB:CC"));
        assert_eq!(archive.rootfs_bytes(), Some(4 << 30));
        assert_eq!(archive.features().get("keyctl"), Some("1"));
        assert_eq!(archive.environment(), ["A=1", "B=hunter2"]);
        assert_eq!(archive.raw_lines(), ["lxc.mount.entry", "lxc.cgroup2.devices.allow"]);
        assert_eq!((archive.flag("protection"), archive.flag("onboot")), (true, false));
        assert_eq!(archive.get("hookscript"), None);
        assert!(!format!("{archive:?}").contains("hunter2"));
    }

    #[test]
    fn disks_are_what_a_restore_brings_and_one_boots() {
        const DRIVES: &str = "ide2: local:iso/debian.iso,media=cdrom\nide0: local:9200/vm-9200-cloudinit.qcow2\n\
            scsi0: local:9200/vm-9200-disk-0.raw,size=1536M\nscsi1: local:9200/b.raw,backup=0,size=1G\n\
            sata0: file=local:9200/c.raw,size=8G\nefidisk0: local:9200/e.raw,size=4M\nvirtio0: none\n";
        for (boot, expected) in [
            ("boot: order=scsi0;net0\n", "scsi0"),
            ("boot: order=net0;sata0;scsi0\n", "sata0"),
            ("boot: cdn\nbootdisk: sata0\n", "sata0"),
            ("", "scsi0"),
            ("boot: order=net0\n", ""),
            ("boot: order=scsi9\n", ""),
        ] {
            let disks = archive(&format!("{boot}{DRIVES}")).disks();
            let keys: Vec<_> = disks.iter().map(|disk| (disk.key.as_str(), disk.bytes)).collect();
            assert_eq!(keys, [("scsi0", Some(1536 << 20)), ("sata0", Some(8 << 30))]);
            let boots: Vec<_> =
                disks.iter().filter(|disk| disk.boots).map(|disk| disk.key.as_str()).collect();
            assert_eq!(boots.concat(), expected, "{boot}");
        }
        assert!(archive("").disks().is_empty());
    }

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, expected) in [
            ("4G", Some(4 << 30)),
            ("1536M", Some(1536 << 20)),
            ("1.5G", Some(1536 << 20)),
            ("0.5T", Some(512 << 30)),
            ("528K", Some(528 << 10)),
            ("4096", Some(4096)),
            ("", None),
            ("G", None),
            ("-1G", None),
            ("1.0000000001G", None),
            ("99999999999T", None),
            ("4g", None),
            ("4GG", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
