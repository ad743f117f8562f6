//! What everything of this instance is called, and where it is. Pure: no look at the machine.
//!
//! Each object that outlives a call carries the instance's tag (a digest of its folder) in its name, so that companions
//! with different folders never meet (those with the same folder serve the same guests), and the guest's name. Whose *job* it
//! is stands in the guest folder's stamp, and in the name of the guest's processes.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use firstlight_shared::ids::GuestName;
use firstlight_shared::wire::sha256_hex;

/// The bridge that all guests are plugged into, and the companion's address on it.
pub(super) const BRIDGE: &str = "flbr0";
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The guests' last octets.
pub(super) const GUEST_OCTETS: std::ops::RangeInclusive<u8> = 10..=250;
/// The guest's end of its cable.
pub(super) const GUEST_LINK: &str = "eth0";
/// Where `ip netns` keeps its namespaces.
pub(super) const NETNS_FOLDER: &str = "/run/netns";
const PARTIAL_ROOT: &str = "root.partial.";
/// Job ids are shorter; a stranger's is replaced by a digest.
const JOB_LIMIT: usize = 40;
/// The longest machine name that systemd takes.
const MACHINE_NAME_LIMIT: usize = 64;

/// Names of one instance.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub tag: String,
    folder: PathBuf,
}

impl Names {
    pub(super) fn new(folder: PathBuf) -> Self {
        let digest = sha256_hex(folder.as_os_str().as_encoded_bytes());
        Self { tag: cut(&digest, 8), folder }
    }

    /// The namespace with the bridge that all guests share.
    pub(super) fn fabric(&self) -> String {
        format!("fl-{}", self.tag)
    }

    /// Prefix of the guests' own namespaces.
    pub(super) fn guest_prefix(&self) -> String {
        format!("fl-{}-", self.tag)
    }

    pub(super) fn guest(&self, name: &GuestName) -> String {
        format!("{}{name}", self.guest_prefix())
    }

    /// Name of the parent of all cgroups of this instance.
    pub(super) fn cgroup(&self) -> String {
        format!("firstlight-{}", self.tag)
    }

    /// Transient unit, where systemd is PID 1.
    pub(super) fn unit(&self, what: &str) -> String {
        format!("firstlight-{}-{what}.service", self.tag)
    }

    /// The guest's processes towards the keeper. They carry the job: a late start of a job that is gone never meets those
    /// of the guest's next job.
    pub(super) fn process(name: &GuestName, job: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !job.is_empty() && job.len() <= JOB_LIMIT && job.chars().all(plain) {
            return format!("{name}.{job}");
        }
        format!("{name}.{}", cut(&sha256_hex(job.as_bytes()), 16))
    }

    /// Guest and job of a name that [`Self::process`] gave.
    pub(super) fn parse_process(what: &str) -> Option<(&str, &str)> {
        what.split_once('.').filter(|(name, job)| !name.is_empty() && !job.is_empty())
    }

    /// Changes of what all guests share go one at a time, whichever companion makes them.
    pub(super) fn fabric_lock(&self) -> PathBuf {
        self.folder.join("fabric.lock")
    }

    /// Name for `systemd-nspawn -M`: unique on the machine, at most 64 characters.
    pub(super) fn machine(&self, name: &GuestName) -> String {
        let full = self.guest(name);
        if full.len() <= MACHINE_NAME_LIMIT {
            return full;
        }
        format!("{}{}", self.guest_prefix(), cut(&sha256_hex(name.as_str().as_bytes()), 32))
    }

    /// The fabric's end of a guest's cable; interface names have 15 characters at most.
    pub(super) fn cable(&self, name: &GuestName) -> String {
        format!("v{}", cut(&sha256_hex(name.as_str().as_bytes()), 12))
    }

    pub(super) fn fabric_folder(&self) -> PathBuf {
        self.folder.join("fabric")
    }

    pub(super) fn guests_folder(&self) -> PathBuf {
        self.folder.join("guests")
    }

    pub(super) fn folder(&self, name: &GuestName) -> GuestFolder {
        GuestFolder { path: self.guests_folder().join(name.as_str()) }
    }

    /// A folder on its way in or out, recognisable as the job's by its name alone. No guest's name begins with a dot.
    pub(super) fn transit(&self, name: &GuestName, job: &str, way: &str) -> PathBuf {
        let job = cut(&sha256_hex(job.as_bytes()), 16);
        self.guests_folder().join(format!(".{name}.{job}.{way}"))
    }
}

pub(super) fn netns_file(namespace: &str) -> PathBuf {
    Path::new(NETNS_FOLDER).join(namespace)
}

fn cut(hex: &str, digits: usize) -> String {
    hex.chars().take(digits).collect()
}

/// What lies in a guest's folder.
#[derive(Debug, Clone)]
pub(super) struct GuestFolder {
    pub path: PathBuf,
}

impl GuestFolder {
    pub(super) fn stamp(&self) -> PathBuf {
        self.path.join("stamp.json")
    }
    pub(super) fn root(&self) -> PathBuf {
        self.path.join("root")
    }
    /// The root while it is unpacked; renamed when it is whole. Each attempt has its own: one that was given up may still
    /// be unpacked by a process that was only stopped.
    pub(super) fn partial_root(&self, attempt: u32) -> PathBuf {
        self.path.join(format!("{PARTIAL_ROOT}{attempt:08x}"))
    }
    /// The roots of attempts that were given up.
    pub(super) fn partial_roots(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let partial = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(PARTIAL_ROOT);
        entries.filter(|entry| partial(&entry.file_name())).map(|entry| entry.path()).collect()
    }
    pub(super) fn console(&self) -> PathBuf {
        self.path.join("console.log")
    }
    pub(super) fn claim(&self) -> PathBuf {
        self.path.join("claim")
    }
    pub(super) fn mounts(&self) -> PathBuf {
        self.path.join("mounts")
    }
    pub(super) fn mount(&self, index: usize) -> PathBuf {
        self.mounts().join(index.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_where_they_go() {
        let names = Names::new("/var/lib/x".into());
        let long: GuestName = "a".repeat(63).parse().unwrap();
        let short: GuestName = "web-01".parse().unwrap();
        assert_eq!(names.tag.len(), 8);
        assert_eq!(names.machine(&short), format!("fl-{}-web-01", names.tag));
        assert!(names.machine(&long).len() <= MACHINE_NAME_LIMIT);
        assert!(names.cable(&long).len() < 16);
        assert_ne!(names.cable(&long), names.cable(&short));
        assert_ne!(Names::new("/var/lib/y".into()).tag, names.tag);
        let process = Names::process(&short, "19c0ffee");
        assert_eq!(Names::parse_process(&process), Some(("web-01", "19c0ffee")));
        assert_eq!(Names::process(&short, "../x").len(), "web-01.".len() + 16);
        assert_eq!(Names::parse_process(".fabric"), None);
        let transit = names.transit(&short, "../../etc", "gone");
        assert_eq!(transit.parent(), Some(names.guests_folder().as_path()));
    }
}
