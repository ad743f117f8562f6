//! The real ssh trusts a clone by `firstlight known-hosts` alone.

use std::fs;

use firstlight_tests::golden::Variant;
use firstlight_tests::rig::{Rig, ssh};

#[test]
fn known_hosts_lines_let_ssh_in_and_a_swapped_key_keeps_it_out() {
    let rig = Rig::serving();
    let guests = rig.up(&rig.spec("web-{n}", Variant::Agent, "count = 2"));
    let printed = rig.run(&["known-hosts"]);
    assert!(printed.ok(), "{}", printed.said());
    let right = rig.path("known_hosts");
    fs::write(&right, &printed.stdout).unwrap();

    for guest in &guests {
        let ran = ssh::log_in(&rig, guest, &right, &[], &["cat", "/etc/hostname"]).unwrap();
        assert!(ran.ok(), "ssh did not get in with\n{}\n{}", printed.stdout, ran.said());
        assert_eq!(ran.stdout.trim(), guest["name"].as_str().unwrap());
    }

    // Only the ed25519 keys change places; the hosts' names stay.
    let swapped = rig.path("known_hosts.swapped");
    fs::write(&swapped, swap_keys(&printed.stdout, "ssh-ed25519")).unwrap();
    let only_ed25519 = ["-o", "HostKeyAlgorithms=ssh-ed25519"];
    let right_one = ssh::log_in(&rig, &guests[0], &right, &only_ed25519, &["true"]).unwrap();
    assert!(right_one.ok(), "the control of the next assertion failed: {}", right_one.said());
    let ran = ssh::log_in(&rig, &guests[0], &swapped, &only_ed25519, &["true"]).unwrap();
    assert_eq!(ran.code, 255, "{}", ran.said());
    assert!(ran.stderr.contains("Host key verification failed"), "{}", ran.said());

    let empty = rig.path("known_hosts.empty");
    fs::write(&empty, "").unwrap();
    let ran = ssh::log_in(&rig, &guests[0], &empty, &[], &["true"]).unwrap();
    assert_eq!(ran.code, 255, "ssh got in without any line: {}", ran.said());
}

/// Exchanges the keys of one type between the first two lines that have it.
fn swap_keys(lines: &str, kind: &str) -> String {
    let mut words: Vec<Vec<String>> =
        lines.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    let of_kind: Vec<usize> =
        (0..words.len()).filter(|row| words[*row].get(1).is_some_and(|word| word == kind)).collect();
    let [first, second] = of_kind[..] else { panic!("two {kind} lines are wanted in\n{lines}") };
    let key = std::mem::take(&mut words[first][2]);
    words[first][2] = std::mem::replace(&mut words[second][2], key);
    words.iter().map(|row| row.join(" ") + "\n").collect()
}
