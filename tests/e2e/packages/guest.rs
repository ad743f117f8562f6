//! The guest's package on a machine that lives: it changes nothing until it is enabled, and never touches sshd.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use firstlight_tests::dist::Product;
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;

use super::{apt, changed, everything, install, is_enabled, must, property};
use crate::support::unpacked;
use crate::whole::served_key;

const UNITS: [&str; 3] =
    ["firstlight-identity.service", "firstlight-report.service", "firstlight-evidence.timer"];
const PROGRAM: &str = "usr/bin/firstlight-guest";

/// Host keys, machine-id and host name as they are on the disk.
fn identity(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let keys = fs::read_dir(root.join("etc/ssh")).unwrap().flatten();
    let keys = keys.map(|entry| format!("etc/ssh/{}", entry.file_name().to_string_lossy()));
    let keys = keys.filter(|path| path.contains("ssh_host_"));
    for path in keys.chain(["etc/machine-id".to_owned(), "etc/hostname".to_owned()]) {
        if let Ok(bytes) = fs::read(root.join(&path)) {
            found.insert(path, bytes);
        }
    }
    assert!(found.len() >= 7, "three pairs of keys and a machine-id: {:?}", found.keys());
    found
}

fn sshd(guest: Leader) -> String {
    let pid = property(guest, "ssh.service", "MainPID");
    assert_ne!(pid, "0", "sshd does not run");
    pid
}

/// Nothing of ours is enabled, and nothing ran.
fn assert_at_rest(guest: Leader) {
    for unit in UNITS {
        assert_eq!(is_enabled(guest, unit), "disabled", "{unit}");
        assert_eq!(guest.unit_state(unit).unwrap(), "inactive", "{unit}");
    }
}

#[test]
fn installed_and_booted_it_renews_nothing_upgraded_and_removed_it_leaves_sshd_alone_and_purged_it_is_gone() {
    let root = unpacked(Variant::Stock);
    let booted = root.boot("packed").unwrap();
    let (guest, _) = booted.settled().unwrap();
    let (before, ours, first) = (everything(&root.path()), identity(&root.path()), sshd(guest));

    install(&root, guest, Product::Guest, 1);
    assert_at_rest(guest);
    assert_eq!(sshd(guest), first);
    // The drop-ins count by now: the gate is open.
    assert!(property(guest, "ssh.service", "Requires").contains("firstlight-gate.target"));
    must(guest, &["/usr/bin/systemctl", "restart", "ssh.service"]);
    assert_eq!(property(guest, "firstlight-gate.target", "ActiveState"), "active");
    booted.shut_down().unwrap();

    let booted = root.boot("packed").unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(state, "running", "{}", booted.console());
    assert_at_rest(guest);
    assert_eq!(identity(&root.path()), ours);
    assert!(!root.path().join("var/lib/firstlight").exists());
    let served = served_key(guest);
    assert!(String::from_utf8_lossy(&ours["etc/ssh/ssh_host_ed25519_key.pub"]).contains(&served));

    // As docs/install.md says it for a machine that lives.
    must(guest, &["/usr/bin/firstlight-guest", "adopt"]);
    must(guest, &["/usr/bin/firstlight-guest", "install", "--live"]);
    must(guest, &["/usr/bin/systemctl", "start", UNITS[0]]);
    let pid = sshd(guest);
    install(&root, guest, Product::Guest, 2);
    assert_eq!(sshd(guest), pid, "an upgrade restarted sshd");
    for unit in [UNITS[0], UNITS[1]] {
        assert_eq!(is_enabled(guest, unit), "enabled", "{unit}");
    }
    assert_eq!(guest.unit_state(UNITS[0]).unwrap(), "active");

    apt(guest, &["remove", "firstlight-guest"]);
    assert_eq!(sshd(guest), pid, "the removal restarted sshd");
    assert!(!root.path().join(PROGRAM).exists());
    assert!(root.path().join("var/lib/firstlight").exists(), "the stamp is kept");
    assert!(!property(guest, "ssh.service", "Requires").contains("firstlight"));
    must(guest, &["/usr/bin/systemctl", "restart", "ssh.service"]);

    install(&root, guest, Product::Guest, 2);
    assert_eq!(is_enabled(guest, UNITS[0]), "enabled", "what was enabled is so again");
    let pid = sshd(guest);
    apt(guest, &["purge", "firstlight-guest"]);
    assert_eq!(sshd(guest), pid, "the purge restarted sshd");
    must(guest, &["/usr/bin/systemctl", "restart", "ssh.service"]);
    assert_eq!(served_key(guest), served);
    assert_eq!(identity(&root.path()), ours);
    assert_eq!(changed(&before, &everything(&root.path())), Vec::<String>::new());
}
