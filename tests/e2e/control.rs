//! The trouble from the field that the project exists for, and that it is gone.

use firstlight_tests::golden::Variant;

use crate::support::{host_keys, unpacked};

#[test]
fn without_the_agent_a_cleaned_golden_boots_with_failed_ssh_and_no_keys() {
    let root = unpacked(Variant::Control);
    let booted = root.boot("control").unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "failed");
    assert_eq!(guest.settled().unwrap(), "degraded");
    assert_eq!(host_keys(&root), Vec::<String>::new());
}

#[test]
fn with_the_agent_the_same_golden_boots_with_ssh_and_keys_of_its_own() {
    let root = unpacked(Variant::Agent);
    let booted = root.boot("with-agent").unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active", "{}", booted.console());
    assert_eq!(state, "running", "{}", guest.run(&["/usr/bin/systemctl", "--failed"]).unwrap().said());
    booted.await_ssh().unwrap();
    for kind in ["ecdsa", "ed25519"] {
        assert!(host_keys(&root).contains(&format!("ssh_host_{kind}_key")), "{:?}", host_keys(&root));
    }
}
