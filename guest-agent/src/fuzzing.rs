//! Every parser of foreign bytes by name, for tests/fuzz. Not in the program: behind the feature `fuzzing`.
//!
//! To add one: a line in [`TARGETS`], and a folder of its name with a seed or two in tests/fuzz/corpus/guest.

use std::net::IpAddr;

use firstlight_shared::items::{self, EntryKind};
use firstlight_shared::wire::{Ack, Claim, Envelope, Refusal, Report};

use crate::{channel, checks, config, dev_incus, golden, identity, keys, report, sshd, sys};

/// Takes any bytes, and neither panics nor hangs; what a parser promises besides is asserted.
pub type Target = fn(&[u8]);

/// By the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("acknowledgement", |bytes| {
        json::<Ack>(bytes);
        json::<Refusal>(bytes);
    }),
    ("beacon", beacon),
    ("checks", |bytes| text(bytes, checks::fuzz_file)),
    ("claim", claim),
    ("config", |bytes| text(bytes, |text| drop(config::parse(text, &mut Vec::new())))),
    ("dev-incus", |bytes| drop(dev_incus::parse(bytes))),
    ("dns", checks::fuzz_dns),
    ("envelope", |bytes| {
        if let Ok(envelope) = Envelope::parse(bytes) {
            drop(envelope.open());
        }
    }),
    ("golden", json::<golden::Golden>),
    ("host-key", |bytes| drop(keys::read_private(bytes))),
    ("hosts", |bytes| text(bytes, hosts)),
    ("items", items),
    ("listeners", |bytes| text(bytes, |text| drop(sys::parse_listeners(text, &[22])))),
    ("os-release", |bytes| text(bytes, |text| drop(report::pretty_name(text)))),
    ("outcome", json::<identity::Outcome>),
    ("report", json::<Report>),
    ("routes", |bytes| text(bytes, |text| _ = sys::has_default_route(text, text))),
    ("ssh-handshake", ssh_handshake),
    ("sshd-config", |bytes| drop(sshd::SshdConfig::read(&Everywhere(bytes), "/etc/ssh/sshd_config"))),
    ("stamp", |bytes| drop(identity::parse_stamp(bytes))),
    ("url", |bytes| text(bytes, url)),
    ("virtio-port", |bytes| {
        bytes.split(|byte| *byte == b'\n').for_each(|line| drop(channel::understand(line, "")))
    }),
];

fn text(bytes: &[u8], take: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        take(text);
    }
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) {
    drop(serde_json::from_slice::<T>(bytes));
}

/// A claim that was taken survives the line that it can be written as.
fn claim(bytes: &[u8]) {
    if let Ok(claim) = Claim::parse(bytes) {
        let line = claim.to_one_line();
        let again = Claim::parse(line.as_bytes());
        assert_eq!(again.map(|again| again.to_one_line()).ok().as_deref(), Some(&*line));
    }
}

/// The golden's name is gone from where it is replaced, and stays gone.
fn hosts(text: &str) {
    let signs = identity::Signs {
        container: Some("lxc"),
        kernel_hostname: Some("clone"),
        hosts: Some(text),
        resolv_conf: Some(text),
        ..identity::Signs::default()
    };
    _ = identity::hostname_owner(&signs);
    let rename = |text| identity::rename_hosts(text, &["golden".to_owned()], "clone");
    if let Some(renamed) = rename(text) {
        assert_eq!(rename(&renamed), None);
    }
}

/// A file of any content at every item's place.
fn items(bytes: &[u8]) {
    for item in items::all() {
        _ = item.detect.judge("name", EntryKind::File, Some(bytes));
    }
}

/// Sixteen bytes an address, as a hypervisor lists them.
fn beacon(bytes: &[u8]) {
    let addresses: Vec<_> = bytes.as_chunks::<16>().0.iter().map(|chunk| IpAddr::from(*chunk)).collect();
    drop(firstlight_shared::beacon::decode(&addresses));
}

/// A server that says these bytes, whatever it hears.
fn ssh_handshake(bytes: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    for algorithm in ["ssh-ed25519", "rsa-sha2-512"] {
        drop(runtime.block_on(sshd::served(tokio::io::join(bytes, tokio::io::sink()), algorithm)));
    }
}

/// The same file at every path: it may include itself.
struct Everywhere<'a>(&'a [u8]);

impl sshd::Files for Everywhere<'_> {
    fn read(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.0.to_vec()))
    }

    fn list(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(vec!["a.conf".to_owned(), "b.conf".to_owned()])
    }

    fn exists(&self, _: &str) -> bool {
        true
    }
}

fn url(url: &str) {
    let settings = config::Settings { channels: Some(vec![url.to_owned()]), ..config::Settings::default() };
    drop(channel::choose(None, &settings, |_| true));
}

#[cfg(test)]
#[path = "../../tests/fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    #[test]
    fn every_target_has_seeds_and_takes_them_all() {
        super::corpus::is_taken("guest", super::TARGETS, usize::MAX);
    }

    #[test]
    fn every_target_takes_what_lies_near_its_seeds() {
        super::corpus::is_taken_changed("guest", super::TARGETS);
    }
}
