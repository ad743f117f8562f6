//! Roots made in memory, as folders and as archives.

use std::collections::BTreeMap;
use std::path::Path;

use firstlight_shared::items::EntryKind;

use super::collect::{Collector, Facts, Leads, Limits, Raw};
use super::finding::{Finding, Target};
use super::rules;

pub(super) const LIMITS: Limits = Limits { bytes: 1 << 30, entries: 1 << 20 };

#[derive(Debug, Clone)]
pub(super) enum What {
    File(Vec<u8>),
    Program(Vec<u8>),
    Symlink(String),
    /// To an earlier path.
    HardLink(String),
    Folder,
    Pipe,
}

/// A root by its paths.
#[derive(Debug, Clone, Default)]
pub(super) struct Image(pub(super) BTreeMap<String, What>);

pub(super) fn elf(machine: u8, rest: &str) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(18, 0);
    bytes.extend([machine, 0]);
    bytes.resize(64, 0);
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

impl Image {
    /// One that nothing is to be said of, for any target.
    pub(super) fn sealed() -> Self {
        const UNITS: &str = "usr/lib/systemd/system";
        const WANTS: &str = "etc/systemd/system";
        let gate = "[Unit]\nRequires=firstlight-gate.target\nAfter=firstlight-gate.target\n";
        let agent = format!("{}\0firstlight-guest {}\n\0", "x".repeat(200_000), env!("CARGO_PKG_VERSION"));
        Self::default()
            .file("etc/machine-id", "")
            .file("etc/hosts", "127.0.0.1 localhost\n")
            .link("etc/os-release", "../usr/lib/os-release")
            .file("usr/lib/os-release", "ID=debian\nVERSION_ID=\"13\"\n")
            .with("usr/lib/systemd/systemd", What::Program(elf(62, "")))
            .with("usr/sbin/ifup", What::Program(elf(62, "")))
            .file("etc/network/interfaces", "auto lo\niface lo inet loopback\n")
            .file(&format!("{UNITS}/networking.service"), "")
            .link(
                &format!("{WANTS}/multi-user.target.wants/networking.service"),
                &format!("/{UNITS}/networking.service"),
            )
            .file(&format!("{UNITS}/ssh.service"), "")
            .link(&format!("{WANTS}/sshd.service"), &format!("/{UNITS}/ssh.service"))
            .file(&format!("{UNITS}/ssh.service.d/10-firstlight.conf"), gate)
            .with("usr/bin/firstlight-guest", What::Program(elf(62, &agent)))
            .file(&format!("{UNITS}/firstlight-gate.target"), "[Unit]\nAfter=firstlight-identity.service\n")
            .file(
                &format!("{UNITS}/firstlight-identity.service"),
                "[Service]\nExecStart=/usr/bin/firstlight-guest identity\n",
            )
            .file(
                &format!("{UNITS}/firstlight-report.service"),
                "[Service]\nExecStart=/usr/bin/firstlight-guest report\n",
            )
            .link(
                &format!("{UNITS}/sysinit.target.wants/firstlight-gate.target"),
                "../firstlight-gate.target",
            )
            .link(
                &format!("{WANTS}/firstlight-gate.target.requires/firstlight-identity.service"),
                &format!("/{UNITS}/firstlight-identity.service"),
            )
            .link(
                &format!("{WANTS}/multi-user.target.wants/firstlight-report.service"),
                &format!("/{UNITS}/firstlight-report.service"),
            )
            .link("var/lib/dbus/machine-id", "/etc/machine-id")
            .link("var/spool/mail", "../mail")
            .link("lib", "usr/lib")
    }

    #[must_use]
    pub(super) fn with(mut self, path: &str, what: What) -> Self {
        self.0.insert(path.to_owned(), what);
        self
    }

    #[must_use]
    pub(super) fn file(self, path: &str, text: &str) -> Self {
        self.with(path, What::File(text.as_bytes().to_vec()))
    }

    #[must_use]
    pub(super) fn link(self, path: &str, target: &str) -> Self {
        self.with(path, What::Symlink(target.to_owned()))
    }

    #[must_use]
    pub(super) fn without(mut self, start: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|path, _| !path.starts_with(start));
        assert!(self.0.len() < before, "{start} was not there");
        self
    }

    /// As if a reader had handed it over; links lead as far as one pass sees.
    pub(super) fn facts(&self) -> Facts {
        let mut collector = Collector::new(LIMITS, Leads::default());
        for (path, what) in &self.0 {
            let (kind, mode, bytes, link): (_, _, &[u8], _) = match what {
                What::File(bytes) => (EntryKind::File, 0o644, bytes, None),
                What::Program(bytes) => (EntryKind::File, 0o755, bytes, None),
                What::Symlink(link) => (EntryKind::Symlink, 0o777, b"", Some(link.as_str())),
                What::HardLink(link) => (EntryKind::File, 0o644, b"", Some(link.as_str())),
                What::Folder => (EntryKind::Folder, 0o755, b"", None),
                What::Pipe => (EntryKind::Other, 0o644, b"", None),
            };
            let mut body = bytes;
            collector.take(&Raw { path, kind, mode, size: bytes.len() as u64, link }, &mut body).unwrap();
        }
        collector.facts
    }

    pub(super) fn judge(&self, target: Target) -> Vec<Finding> {
        rules::judge(&self.facts(), target)
    }

    pub(super) fn put(&self, root: &Path) {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        for (path, what) in &self.0 {
            let place = root.join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            match what {
                What::File(bytes) => std::fs::write(&place, bytes).unwrap(),
                What::Program(bytes) => {
                    std::fs::write(&place, bytes).unwrap();
                    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
                }
                What::Pipe => nix::unistd::mkfifo(&place, nix::sys::stat::Mode::S_IRUSR).unwrap(),
                What::Symlink(link) if !place.exists() => symlink(link, &place).unwrap(),
                What::Symlink(_) => {}
                What::HardLink(link) => std::fs::hard_link(root.join(link), &place).unwrap(),
                What::Folder => std::fs::create_dir_all(&place).unwrap(),
            }
        }
    }

    /// Below `prefix`, as GNU tar names entries.
    pub(super) fn tar(&self, prefix: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        self.append(&mut builder, prefix);
        builder.into_inner().unwrap()
    }

    pub(super) fn append(&self, builder: &mut tar::Builder<Vec<u8>>, prefix: &str) {
        for (path, what) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            let name = format!("{prefix}{path}");
            match what {
                What::File(bytes) | What::Program(bytes) => {
                    header.set_size(bytes.len() as u64);
                    if matches!(what, What::Program(_)) {
                        header.set_mode(0o755);
                    }
                    builder.append_data(&mut header, &name, bytes.as_slice()).unwrap();
                }
                What::Symlink(link) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, &name, link).unwrap();
                }
                What::HardLink(link) => {
                    header.set_entry_type(tar::EntryType::Link);
                    header.set_size(0);
                    builder.append_link(&mut header, &name, format!("{prefix}{link}")).unwrap();
                }
                What::Pipe => {
                    header.set_entry_type(tar::EntryType::Fifo);
                    header.set_size(0);
                    builder.append_data(&mut header, &name, &b""[..]).unwrap();
                }
                What::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    builder.append_data(&mut header, format!("{name}/"), &b""[..]).unwrap();
                }
            }
        }
    }
}

pub(super) fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.rule).collect()
}
