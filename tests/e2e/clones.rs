//! Three clones of a golden that kept every identity: each must have its own.

use std::collections::BTreeSet;
use std::fs;

use firstlight_shared::ids::MachineId;
use firstlight_tests::demo::shared_identities;
use firstlight_tests::golden::{BAKED_HOSTNAME, BAKED_MACHINE_ID, Variant};
use firstlight_tests::paths;
use firstlight_tests::rig::Rig;
use firstlight_tests::run;
use serde_json::json;

use crate::support::fields;

#[test]
fn clones_of_a_golden_with_baked_identities_differ_from_it_and_from_each_other() {
    let rig = Rig::serving();
    let guests =
        rig.up(&rig.spec("web-{n}", Variant::Baked, "count = 3\n[guest.readiness]\ntimeout = \"90s\""));
    assert_eq!(fields(&guests, "name"), ["web-01", "web-02", "web-03"]);
    assert_eq!(fields(&guests, "state"), ["done", "done", "done"]);
    assert_eq!(fields(&guests, "hostname"), ["web-01", "web-02", "web-03"]);
    assert_eq!(shared_identities(&json!({"guests": guests, "duplicates": []})), Vec::<String>::new());

    let golden_id: MachineId = BAKED_MACHINE_ID.parse().unwrap();
    let ids: BTreeSet<String> = fields(&guests, "machine_id").into_iter().collect();
    assert_eq!(ids.len(), 3);
    assert!(!ids.contains(&golden_id.derived().to_string()), "a clone kept the golden's machine-id: {ids:?}");
    assert!(!fields(&guests, "hostname").contains(&BAKED_HOSTNAME.to_owned()));

    let golden_keys = golden_fingerprints();
    for guest in &guests {
        let keys = guest["ssh_host_keys"].as_array().unwrap();
        let kinds: BTreeSet<&str> = keys.iter().filter_map(|key| key["type"].as_str()).collect();
        assert!(kinds.is_superset(&BTreeSet::from(["ecdsa-sha2-nistp256", "ssh-ed25519"])), "{kinds:?}");
        for key in keys {
            let fingerprint = key["fingerprint"].as_str().unwrap();
            assert!(
                !golden_keys.contains(fingerprint),
                "{} kept the golden's key {fingerprint}",
                guest["name"]
            );
        }
        assert_what_is_told_is_what_is_there(&rig, guest, &golden_keys);
    }
}

/// OpenSSH itself reads the keys in the clone, and systemd derives the machine-id.
fn assert_what_is_told_is_what_is_there(
    rig: &Rig,
    guest: &serde_json::Value,
    golden_keys: &BTreeSet<String>,
) {
    let root = rig.guest_root(guest["name"].as_str().unwrap());
    let told: BTreeSet<&str> = guest["ssh_host_keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|key| key["fingerprint"].as_str())
        .collect();
    for entry in fs::read_dir(root.join("etc/ssh")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("ssh_host_") && name.ends_with(".pub") {
            let fingerprint = fingerprint(&entry.path());
            assert!(!golden_keys.contains(&fingerprint), "{name} is still the golden's");
            let pending_rsa = name.contains("rsa");
            assert!(
                pending_rsa || told.contains(&*fingerprint),
                "{name} ({fingerprint}) is not among {told:?}"
            );
        }
    }
    let machine_id: MachineId = fs::read_to_string(root.join("etc/machine-id")).unwrap().parse().unwrap();
    assert_eq!(guest["machine_id"], machine_id.derived().to_string());
}

fn golden_fingerprints() -> BTreeSet<String> {
    let keys = paths::given(paths::GOLDENS_VARIABLE).join("baked/etc/ssh");
    let public = fs::read_dir(keys).unwrap().flatten().map(|entry| entry.path());
    let found: BTreeSet<String> = public
        .filter(|path| path.extension().is_some_and(|end| end == "pub"))
        .map(|path| fingerprint(&path))
        .collect();
    assert_eq!(found.len(), 3);
    found
}

fn fingerprint(public_key: &std::path::Path) -> String {
    let line = run::must(run::command(["ssh-keygen", "-lf"]).arg(public_key)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn without_a_daemon_the_same_command_brings_a_guest_up() {
    let rig = Rig::new();
    let guests = rig.up(&rig.spec("alone", Variant::Agent, ""));
    assert_eq!(fields(&guests, "state"), ["done"]);
    assert!(rig.leader("alone").alive());
}

#[test]
fn bring_ups_repeat_and_leave_nothing() {
    let rounds = if paths::full() { 20 } else { 1 };
    let rig = Rig::serving();
    for round in 0..rounds {
        let guests = rig.up(&rig.spec("again-{n}", Variant::Agent, "count = 2"));
        assert_eq!(fields(&guests, "state"), ["done", "done"], "round {round}");
        let destroyed = rig.run(&["destroy", "again-01", "again-02"]);
        assert!(destroyed.ok(), "round {round}: {}", destroyed.said());
        assert!(!rig.guest_root("again-01").exists() && !rig.guest_root("again-02").exists());
    }
}
