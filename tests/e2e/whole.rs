//! What must hold of a guest that has become a machine of its own, in every image and every scenario.

use std::fs;

use firstlight_tests::golden::BAKED_MACHINE_ID;
use firstlight_tests::guest::bare::{Booted, Root};
use firstlight_tests::guest::{Boot, Leader};
use firstlight_tests::paths;

/// What the guest says itself.
pub(crate) fn status(guest: Leader) -> serde_json::Value {
    let ran = guest.run(&["/usr/bin/firstlight-guest", "status", "--json"]).unwrap();
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.said()))
}

pub(crate) fn problems(guest: Leader) -> String {
    status(guest)["identity"]["identity"]["problems"].to_string()
}

/// Boots a root whose golden had keys and a machine-id, and demands that it has keys of its own, serves them, and
/// that systemd found no ordering cycle on the way.
pub(crate) fn boot_with_own_keys(root: &Root, boot: &Boot) -> (Booted, Leader) {
    let booted = root.boot_as(boot).unwrap();
    let (guest, _) = booted.settled().unwrap();
    let state = guest.final_unit_state("firstlight-identity.service").unwrap();
    assert_eq!(state, "active", "{}", booted.console());
    assert_no_ordering_cycle(guest);
    let served = served_key(guest);
    assert!(!baked_keys().contains(&served), "the golden's key is served");
    assert_eq!(served, key_in(guest, "/etc/ssh/ssh_host_ed25519_key.pub"));
    (booted, guest)
}

/// The same, and the machine-id too is its own.
pub(crate) fn boot_as_own_machine(root: &Root, boot: &Boot) -> (Booted, Leader) {
    let (booted, guest) = boot_with_own_keys(root, boot);
    let id = machine_id(guest);
    assert!(id.len() == 32 && id != BAKED_MACHINE_ID, "the machine-id is {id}");
    (booted, guest)
}

pub(crate) fn machine_id(guest: Leader) -> String {
    guest.run(&["/bin/cat", "/etc/machine-id"]).unwrap().stdout.trim().to_owned()
}

/// The ed25519 key that sshd really gives to a client, as OpenSSH's own tool sees it.
pub(crate) fn served_key(guest: Leader) -> String {
    let scan = || {
        let ran = guest.run(&["/usr/bin/ssh-keyscan", "-T", "5", "-t", "ed25519", "127.0.0.1"]).ok()?;
        let line = ran.stdout.lines().find(|line| line.contains("ssh-ed25519"))?.to_owned();
        Some(line.split_whitespace().nth(2)?.to_owned())
    };
    firstlight_tests::wait::until("a key from sshd", std::time::Duration::from_secs(60), scan)
        .unwrap_or_else(|error| panic!("{error}: {:#}", status(guest)))
}

fn key_in(guest: Leader, path: &str) -> String {
    let line = guest.run(&["/bin/cat", path]).unwrap().stdout;
    line.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

/// The public keys that the golden `baked` carries.
pub(crate) fn baked_keys() -> Vec<String> {
    let folder = paths::given(paths::GOLDENS_VARIABLE).join("baked/etc/ssh");
    let read = |kind| fs::read_to_string(folder.join(format!("ssh_host_{kind}_key.pub"))).unwrap();
    ["ed25519", "ecdsa", "rsa"].map(|kind| read(kind).split_whitespace().nth(1).unwrap().to_owned()).to_vec()
}

pub(crate) fn assert_no_ordering_cycle(guest: Leader) {
    // Of all machine-ids: where it was renewed, this boot's journal is still kept under the old one.
    let journal = guest.run(&["/usr/bin/journalctl", "--merge", "--no-pager", "-o", "cat"]).unwrap().stdout;
    assert!(!journal.is_empty(), "the journal cannot be read, so nothing was proved");
    let cycles: Vec<&str> = journal.lines().filter(|line| line.contains("ordering cycle")).collect();
    assert!(cycles.is_empty(), "{cycles:#?}");
}

/// A drop-in of a unit, in the root.
pub(crate) fn drop_in(root: &Root, unit: &str, text: &str) {
    put(root, &format!("etc/systemd/system/{unit}.d/zz-test.conf"), text);
}

/// A file in the root, and its folder.
pub(crate) fn put(root: &Root, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    fs::write(path, text).unwrap();
}

/// `systemctl` of the root's own systemd, on the files only.
pub(crate) fn systemctl(root: &Root, words: &[&str]) {
    let mut command = firstlight_tests::run::command(["chroot"]);
    command.arg(root.path()).args(["systemctl", "--quiet"]).args(words);
    firstlight_tests::run::must(&mut command).unwrap();
}

/// No socket of ssh's, whoever holds it.
pub(crate) fn assert_nobody_listens_for_ssh(guest: Leader) {
    let listening = guest.run(&["/usr/bin/ss", "-Hltnx"]).unwrap();
    assert!(listening.ok(), "{}", listening.said());
    let open: Vec<&str> =
        listening.stdout.lines().filter(|line| line.contains(":22 ") || line.contains("ssh")).collect();
    assert!(open.is_empty(), "{open:#?}");
}

/// What no two guests may share, as the guest has it on its disk.
pub(crate) fn machine_id_and_keys(guest: Leader) -> (String, Vec<String>) {
    let keys = guest.run(&["/bin/sh", "-c", "grep -h . /etc/ssh/ssh_host_*_key.pub"]).unwrap().stdout;
    let keys: Vec<String> = keys.lines().map(str::to_owned).collect();
    assert!(!keys.is_empty(), "no host keys");
    (machine_id(guest), keys)
}
