//! Every parser of foreign bytes by name, for tests/fuzz. Not in the program: behind the feature `fuzzing`.
//!
//! To add one: a line in [`TARGETS`], and a folder of its name with a seed or two in tests/fuzz/corpus/host. What guests
//! send is parsed by the shared crate: see the guest's targets.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::Value;

use crate::backend::incus::client::{events, link::SERVERS, operation::OperationId};
use crate::backend::proxmox::client::endpoint::{
    Endpoint, access, agent, cluster, config as guest_config, guest, lxc, node, snapshot, storage, task,
};
use crate::backend::proxmox::client::properties::Properties;
use crate::backend::proxmox::client::upid::Upid;
use crate::golden::{Limits, bake, sarif};
use crate::{bringup, config, evidence, golden, http, ssh_trust};

/// Takes any bytes, and neither panics nor hangs; what a parser promises besides is asserted.
pub type Target = fn(&[u8]);

/// By the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("config", |bytes| {
        with_file(bytes, |path| {
            drop(config::load(&config::Sources { file: path.to_owned(), ..config::Sources::default() }));
        });
    }),
    ("evidence", |bytes| {
        // With the key of whoever signed it, as far as the file names one.
        let known = evidence::KnownKeys::parse(&String::from_utf8_lossy(bytes)).unwrap_or_default();
        drop(evidence::check(bytes, &known));
    }),
    ("golden", lint),
    ("incus-event", |bytes| text(bytes, events::fuzz_event)),
    ("known-hosts", known_hosts),
    ("places", |bytes| {
        text(bytes, |text| {
            drop((SERVERS.read(text), text.parse::<OperationId>(), text.parse::<Upid>()));
        });
    }),
    ("pve-answer", pve_answer),
    ("pve-properties", properties),
    ("recipe", |bytes| text(bytes, |text| drop(bake::Recipe::parse(text)))),
    ("report-listener", http::fuzz_report_listener),
    ("spec", |bytes| {
        text(bytes, |text| drop(bringup::parse_spec(text, Path::new("spec.toml"), Path::new("/"))));
    }),
];

const LIMITS: Limits = Limits { bytes: 4 << 20, entries: 2000 };

fn text(bytes: &[u8], take: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        take(text);
    }
}

/// A file of these bytes, in memory.
fn with_file(bytes: &[u8], take: impl FnOnce(&Path)) {
    let Ok(memory) = memfd_create("firstlight-fuzz", MFdFlags::MFD_CLOEXEC) else { return };
    let mut file = File::from(memory);
    if file.write_all(bytes).is_ok() {
        take(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    }
}

/// An archive or an image of any form. What is said of it can be shown anywhere.
fn lint(bytes: &[u8]) {
    with_file(bytes, |path| {
        if let Ok(report) = golden::lint(path, None, LIMITS) {
            let said = format!("{report:?}");
            assert!(!said.chars().any(|c| c.is_control()), "{said:?}");
            drop(sarif(&report));
        }
    });
}

/// Lines of others stay as they are, and once ours are there nothing changes.
fn known_hosts(bytes: &[u8]) {
    if let Ok(with) = ssh_trust::block::with_block(bytes, "web-01 ssh-ed25519 AAAA\n") {
        let again = ssh_trust::block::with_block(&with, "web-01 ssh-ed25519 AAAA\n");
        assert_eq!(again.as_deref().ok(), Some(&*with));
    }
}

/// `key=value,...`, as configurations carry them: what was read is written as it was meant.
fn properties(bytes: &[u8]) {
    text(bytes, |text| {
        let Ok(properties) = text.parse::<Properties>();
        let written = properties.to_string();
        assert_eq!(written.parse::<Properties>().as_ref(), Ok(&properties), "{written:?}");
    });
}

/// Any document as the answer to every question.
fn pve_answer(bytes: &[u8]) {
    fn read<E: Endpoint>(data: &Value) {
        drop(E::read(data.clone()));
    }
    let Ok(data) = serde_json::from_slice::<Value>(bytes) else { return };
    for read in [
        read::<access::ReadPermissions>,
        read::<access::ListAcl>,
        read::<access::ReadPool>,
        read::<agent::ReadAgentInterfaces>,
        read::<agent::ReadGuestFile>,
        read::<agent::ReadFilesystems>,
        read::<cluster::ReadVersion>,
        read::<cluster::ListNodes>,
        read::<cluster::NextId>,
        read::<cluster::ListGuests>,
        read::<cluster::ReadClusterStatus>,
        read::<cluster::ReadOptions>,
        read::<guest_config::ReadConfig>,
        read::<guest::ReadStatus>,
        read::<guest::ListNodeGuests>,
        read::<guest::Start>,
        read::<lxc::ReadInterfaces>,
        read::<node::ReadTime>,
        read::<node::ListBridges>,
        read::<node::ReadArchiveConfig>,
        read::<snapshot::ListSnapshots>,
        read::<storage::ListStorages>,
        read::<storage::ListContent>,
        read::<task::ListTasks>,
        read::<task::ReadTask>,
        read::<task::ReadTaskLog>,
    ] {
        read(&data);
    }
}

#[cfg(test)]
#[path = "../../tests/fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    #[test]
    fn every_target_has_seeds_and_takes_them_all() {
        super::corpus::is_taken("host", super::TARGETS, 400);
    }

    #[test]
    fn every_target_takes_what_lies_near_its_seeds() {
        super::corpus::is_taken_changed("host", super::TARGETS);
    }
}
