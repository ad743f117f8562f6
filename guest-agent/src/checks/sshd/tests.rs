//! The check on made-up roots against a real sshd that serves their keys, or others.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::bus::Bus;
use crate::config::Settings;
use crate::golden::Golden;
use crate::identity::{self, Outcome};
use crate::sshd::testbed::{Sshd, key_path};
use crate::sys::Machine;

/// A root after its identity phase.
struct Bed {
    folder: TempDir,
    machine: Machine,
    outcome: Outcome,
    golden: Golden,
}

impl Bed {
    fn new(guest_toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("usr/sbin/sshd", ""),
            ("etc/machine-id", ""),
            ("etc/hostname", "web-01\n"),
            ("etc/ssh/sshd_config", ""),
            ("etc/firstlight/guest.toml", guest_toml),
            ("var/lib/firstlight/x", ""),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine::open(folder.path()).unwrap();
        let outcome = identity::run(&machine);
        assert_eq!(outcome.failure, None);
        Self { folder, machine, outcome, golden: Golden::default() }
    }

    fn ssh(&self) -> std::path::PathBuf {
        self.folder.path().join("etc/ssh")
    }

    /// An sshd that serves the keys of a folder, and this root configured for its port.
    fn sshd(&self, keys: &Path, lines: &str) -> Sshd {
        let paths = KeyType::ALL.map(|kind| key_path(keys, kind));
        let there = paths.iter().filter(|path| path.exists());
        let host_keys: String = there.map(|path| format!("HostKey {}\n", path.display())).collect();
        let sshd = Sshd::start(tempfile::tempdir().unwrap(), &format!("{host_keys}{lines}"));
        self.configure(&format!("Port {}\n{lines}", sshd.address.port()));
        sshd
    }

    fn configure(&self, lines: &str) {
        fs::write(self.ssh().join("sshd_config"), lines).unwrap();
    }

    fn look(&self) -> Look {
        let (settings, bus) = (Settings::default(), Bus::default());
        let context = Context {
            machine: &self.machine,
            settings: &settings,
            golden: Some(&self.golden),
            outcome: Some(&self.outcome),
            bus: &bus,
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(look(&context))
    }
}

fn passes(look: &Look) -> &str {
    match look {
        Look::Final(Verdict::Pass, reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn not_yet(look: &Look) -> &str {
    match look {
        Look::NotYet(Verdict::Fail, reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_passes_only_when_every_key_is_served_as_made() {
    let bed = Bed::new("");
    {
        let sshd = bed.sshd(&bed.ssh(), "LogLevel DEBUG1\n");
        assert_eq!(not_yet(&bed.look()), "the rsa host key is still to be made");
        assert!(!sshd.log().contains("SSH-2.0-firstlight"), "what files can tell costs no connection");
    }
    let made = identity::make_pending(&bed.machine, &bed.outcome.identity.pending);
    assert!(made.made, "{made:?}");
    let sshd = bed.sshd(&bed.ssh(), "");
    let look = bed.look();
    let reason = passes(&look);
    let algorithms = "rsa-sha2-512 ecdsa-sha2-nistp256 ssh-ed25519";
    assert!(reason.starts_with(&format!("port {}: SSH-2.0-OpenSSH", sshd.address.port())), "{reason}");
    assert!(reason.ends_with(algorithms), "{reason}");
    assert!(sshd.has_logged("host key seen", 3), "{}", sshd.log());
}

#[test]
fn types_that_are_not_wanted_are_not_asked_for() {
    let bed = Bed::new("[ssh_host_keys]\ntypes = [\"ecdsa\"]\n");
    let _sshd = bed.sshd(&bed.ssh(), "");
    assert!(passes(&bed.look()).ends_with("ecdsa-sha2-nistp256"));
}

#[test]
fn other_keys_than_were_made_are_named() {
    let mut bed = Bed::new("[ssh_host_keys]\ntypes = [\"ed25519\"]\n");
    let other = Bed::new("[ssh_host_keys]\ntypes = [\"ed25519\"]\n");
    let _sshd = bed.sshd(&other.ssh(), "");
    let [ours, theirs] = [&bed, &other].map(|bed| bed.outcome.identity.ssh_host_keys[0].fingerprint.clone());
    let look = bed.look();
    let reason = not_yet(&look);
    assert!(reason.contains(&format!("ssh-ed25519 is {theirs}, a foreign key, {ours} was made")), "{reason}");
    bed.outcome.identity.removed_host_keys.push(theirs.clone());
    assert!(not_yet(&bed.look()).contains("a key that was removed"));
    bed.golden.host_keys.push(theirs);
    assert!(not_yet(&bed.look()).contains("a key of the golden"));
}

#[test]
fn a_key_that_another_program_made_since_is_told_and_an_old_one_never_passes() {
    let mut bed = Bed::new("[ssh_host_keys]\ntypes = [\"ed25519\"]\n");
    let other = Bed::new("[ssh_host_keys]\ntypes = [\"ed25519\"]\n");
    for name in ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"] {
        fs::copy(other.ssh().join(name), bed.ssh().join(name)).unwrap();
    }
    let _sshd = bed.sshd(&bed.ssh(), "");
    assert!(passes(&bed.look()).ends_with("(made by another program after the identity phase)"));
    let theirs = other.outcome.identity.ssh_host_keys[0].fingerprint.clone();
    bed.outcome.identity.removed_host_keys.push(theirs.clone());
    assert!(not_yet(&bed.look()).contains("is a key that was removed"));
    bed.golden.host_keys.push(theirs);
    assert!(not_yet(&bed.look()).contains("is a key of the golden"));
}

#[test]
fn what_cannot_be_seen_is_not_passed() {
    let bed = Bed::new("[ssh_host_keys]\ntypes = [\"ed25519\", \"ecdsa\"]\n");
    bed.configure("Port 1\n");
    assert!(not_yet(&bed.look()).contains("port 1: Connection refused"));
    {
        let _sshd = bed.sshd(&bed.ssh(), "KexAlgorithms diffie-hellman-group16-sha512\n");
        assert!(matches!(bed.look(), Look::Final(Verdict::Unknown, _)));
    }
    {
        let _sshd = bed.sshd(&bed.ssh(), "HostKeyAlgorithms ssh-ed25519\n");
        let look = bed.look();
        let reason = passes(&look);
        assert!(reason.contains("ecdsa-sha2-nistp256 (left out by HostKeyAlgorithms)"), "{reason}");
    }
    let _sshd = bed.sshd(&bed.ssh(), "HostKeyAlgorithms ssh-ed25519\n");
    let port = format!("Port {}\n", _sshd.address.port());
    bed.configure(&port);
    assert!(not_yet(&bed.look()).contains("sshd does not serve the ecdsa-sha2-nistp256 key yet"));
}
