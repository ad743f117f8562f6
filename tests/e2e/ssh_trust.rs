//! The real ssh trusts a clone by `firstlight known-hosts` alone, or by the one line of the host CA.

use std::fs;
use std::path::Path;
use std::time::Duration;

use firstlight_tests::golden::Variant;
use firstlight_tests::rig::{Rig, ssh};
use firstlight_tests::run::Ran;
use firstlight_tests::wait;
use serde_json::Value;

/// Guests' certificates hold ten minutes, and are due after two seconds.
const CA: &str = "[ssh_ca]\nvalidity = \"600s\"\nrenew_before = \"598s\"\ndomains = [\"lab.example\"]\n";
/// Where sshd's certificate and key are, in a guest.
const KEY: &str = "etc/ssh/ssh_host_ed25519_key";
const CERTIFICATE: &str = "etc/ssh/ssh_host_ed25519_key-cert.pub";

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

#[test]
fn one_line_for_the_ca_lets_ssh_in_and_the_key_of_a_guest_that_is_gone_stays_out() {
    let rig = Rig::configured(CA);
    let made = rig.run(&["ca", "init"]);
    assert!(made.ok(), "{}", made.said());
    let guests = rig.up(&rig.spec("web-{n}", Variant::Agent, "count = 2"));
    let authority = rig.path("known_hosts.authority");
    fs::write(&authority, rig.run(&["known-hosts", "--authority"]).stdout).unwrap();
    assert_eq!(fs::read_to_string(&authority).unwrap().lines().count(), 1);
    let log_in = |guest: &Value, more: &[&str]| -> Ran {
        ssh::log_in(&rig, guest, &authority, more, &["cat", "/etc/hostname"]).unwrap()
    };

    for guest in &guests {
        let name = guest["name"].as_str().unwrap();
        // Certificates come with the acknowledgement: sshd has them a moment after the guest is ready.
        await_certificate(&rig, guest, &authority);
        for alias in [name.to_owned(), format!("{name}.lab.example")] {
            let ran = log_in(guest, &["-o", &format!("HostKeyAlias={alias}")]);
            assert!(ran.ok() && ran.stdout.trim() == name, "{alias}: {}", ran.said());
        }
        let ran = log_in(guest, &["-o", "HostKeyAlias=web-99"]);
        assert_eq!(ran.code, 255, "its certificate holds for another name: {}", ran.said());
    }

    // What the timer starts renews them.
    let certificate = rig.guest_root("web-02").join(CERTIFICATE);
    let before = fs::read_to_string(&certificate).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let leader = rig.leader("web-02");
    let ran = leader.run(&["/usr/bin/systemctl", "start", "firstlight-evidence.service"]).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    let after = fs::read_to_string(&certificate).unwrap();
    let log =
        leader.run(&["/usr/bin/journalctl", "--merge", "-u", "firstlight-evidence.service"]).unwrap().stdout;
    assert_ne!(before, after, "{log}");
    assert!(log.contains("host certificates installed: ") && !log.contains("warning"), "{log}");
    let listed = rig.json(&["ca", "list", "web-02", "--json"]);
    let is_listed = |line: &str| {
        let known = listed["certificates"].as_array().unwrap().iter();
        known.into_iter().any(|one| one["certificate"] == line.trim())
    };
    assert!(is_listed(&before) && is_listed(&after), "{listed:#}");
    await_certificate(&rig, &guests[1], &authority);

    // Somebody has kept the key and the certificate of a guest, and puts them into another.
    let kept = |file: &str| fs::read(rig.guest_root("web-01").join(file)).unwrap();
    let (key, public, certificate) = (kept(KEY), kept(&format!("{KEY}.pub")), kept(CERTIFICATE));
    assert!(rig.run(&["destroy", "web-01"]).ok());
    for (file, bytes) in [(KEY, key), (&format!("{KEY}.pub"), public), (CERTIFICATE, certificate)] {
        fs::write(rig.guest_root("web-02").join(file), bytes).unwrap();
    }
    assert!(leader.run(&["/usr/bin/systemctl", "restart", "ssh.service"]).unwrap().ok());
    let list = rig.path("krl");
    let ran = rig.run(&["krl", "--out", list.to_str().unwrap()]);
    assert!(ran.ok(), "{}", ran.said());
    let stolen = ["-o", "HostKeyAlias=web-01", "-o", "HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com"];
    let revoked = format!("RevokedHostKeys={}", list.display());
    let ran =
        wait::until("sshd", Duration::from_secs(10), || Some(log_in(&guests[1], &stolen)).filter(Ran::ok));
    ran.expect("without the list it is believed: the control of the next assertion");
    let ran = log_in(&guests[1], &[&stolen[..], &["-o", &revoked]].concat());
    assert_eq!(ran.code, 255, "{}", ran.said());
    assert!(ran.stderr.contains("revoked"), "{}", ran.said());
}

/// Until ssh gets in with nothing but the line of the CA.
fn await_certificate(rig: &Rig, guest: &Value, authority: &Path) {
    let mut last = String::new();
    let got_in = wait::until("sshd's certificate", Duration::from_secs(10), || {
        let ran = ssh::log_in(rig, guest, authority, &[], &["true"]).unwrap();
        last = ran.said();
        ran.ok().then_some(())
    });
    let lines = rig.run(&["ca", "list"]).stdout;
    assert!(got_in.is_ok(), "ssh does not get in: {last}\n{lines}\n{}", rig.diagnosis());
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
