//! A second boot does nothing.

use std::collections::BTreeMap;
use std::fs;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::guest::bare::Root;
use firstlight_tests::rig::Rig;
use firstlight_tests::wait;

use crate::support::{host_keys, unpacked};

/// Every file whose bytes or inode a second boot could change.
fn identity_files(root: &Root) -> BTreeMap<String, (u64, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt as _;
    let keys = host_keys(root).into_iter().map(|name| format!("etc/ssh/{name}"));
    let others = ["var/lib/firstlight/stamp.json", "etc/machine-id"].map(str::to_owned);
    let read = |name: String| {
        let path = root.path().join(&name);
        let inode = fs::metadata(&path).unwrap_or_else(|error| panic!("{name}: {error}")).ino();
        (name, (inode, fs::read(path).unwrap()))
    };
    keys.chain(others).map(read).collect()
}

fn status(guest: Leader) -> serde_json::Value {
    let ran = guest.run(&["/usr/bin/firstlight-guest", "status", "--json"]).unwrap();
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.said()))
}

#[test]
fn a_second_boot_keeps_stamp_and_keys_to_the_byte() {
    let root = unpacked(Variant::Baked);
    let booted = root.boot("twice").unwrap();
    let (guest, _) = booted.settled().unwrap();
    wait::until("a stamp with nothing pending", std::time::Duration::from_secs(60), || {
        (status(guest)["stamp"]["pending"] == serde_json::json!([])).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; keys: {:?}; status: {:#}", host_keys(&root), status(guest)));
    assert_eq!(host_keys(&root).len(), 6, "{:?}", host_keys(&root));
    booted.shut_down().unwrap();
    let before = identity_files(&root);

    let booted = root.boot("twice").unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active", "{}", booted.console());
    assert_eq!(guest.unit_state("firstlight-identity.service").unwrap(), "active");
    let after = identity_files(&root);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, content) in &before {
        assert!(after[name] == *content, "{name} was changed; status: {:#}", status(guest));
    }
}

#[test]
fn a_guest_that_reboots_comes_back_as_the_same() {
    let rig = Rig::serving();
    rig.up(&rig.spec("again", Variant::Agent, ""));
    let known = rig.json(&["known-hosts", "--json"]);
    let first = rig.leader("again");
    let asked = first.run(&["/usr/bin/systemctl", "reboot"]).unwrap();
    assert!(asked.ok(), "{}", asked.said());
    let second = wait::until("the guest's next life", std::time::Duration::from_secs(60), || {
        Leader::of(&rig.guest_root("again")).filter(|leader| *leader != first)
    })
    .unwrap();
    assert_eq!(second.settled().unwrap(), "running");
    assert_eq!(second.final_unit_state("ssh.service").unwrap(), "active");
    assert_eq!(status(second)["stamp"]["pending"], serde_json::json!([]));
    let keys = second.run(&["/bin/sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub"]).unwrap().stdout;
    let listed = known["hosts"][0]["keys"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    for key in listed {
        assert!(keys.contains(key["public_key"].as_str().unwrap()), "{key} is not in\n{keys}");
    }
}
