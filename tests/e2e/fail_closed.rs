//! No way in opens when the identity phase did not succeed.

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::run;

use crate::support::unpacked;

/// Everything by which somebody could come in, after boot and when started by hand.
fn assert_every_way_in_is_shut(guest: Leader) {
    assert_eq!(guest.unit_state("firstlight-identity.service").unwrap(), "failed");
    for unit in ["ssh.service", "ssh.socket", "sshd-unix-local.socket"] {
        assert_ne!(guest.unit_state(unit).unwrap(), "active", "{unit} is open after boot");
        let started = guest.run(&["/usr/bin/systemctl", "start", unit]).unwrap();
        assert!(!started.ok(), "{unit} could be started");
        assert_ne!(guest.unit_state(unit).unwrap(), "active", "{unit} is open");
    }
    let listening = guest.run(&["/usr/bin/ss", "-Hltnx"]).unwrap();
    assert!(listening.ok(), "{}", listening.said());
    let open: Vec<&str> =
        listening.stdout.lines().filter(|line| line.contains(":22 ") || line.contains("ssh")).collect();
    assert!(open.is_empty(), "{open:#?}");
}

#[test]
fn without_a_proven_identity_every_way_in_stays_shut() {
    let root = unpacked(Variant::Broken);
    let booted = root.boot("broken").unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(state, "degraded");
    assert_every_way_in_is_shut(guest);
}

/// The agent itself fails here, not its unit file: the golden's key is in place and cannot be removed.
#[test]
fn a_key_of_the_golden_that_cannot_be_removed_keeps_every_way_in_shut() {
    let root = unpacked(Variant::Baked);
    let key = root.path().join("etc/ssh/ssh_host_ed25519_key");
    run::must(run::command(["chattr", "+i"]).arg(&key)).unwrap();
    let outcome = std::panic::catch_unwind(|| {
        let booted = root.boot("stuck").unwrap();
        let (guest, _) = booted.settled().unwrap();
        assert_every_way_in_is_shut(guest);
    });
    run::must(run::command(["chattr", "-i"]).arg(&key)).unwrap(); // or the root could not be removed
    outcome.unwrap();
}
