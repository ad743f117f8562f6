//! A root that is really mounted read-only, and later is not: what fails and what only degrades. Needs root.

#![expect(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod golden;

use std::path::Path;
use std::process::{Command, Output};

use golden::{assert_pairs, files, guest_agent, keys_of};

/// In a mount namespace of its own, with the root mounted read-only over itself.
fn run_read_only(root: &Path) -> Output {
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && ! touch \"$1/probe\" 2>/dev/null && \
        exec \"$0\" --root \"$1\" identity";
    Command::new("unshare").args(["-m", "sh", "-c", script, guest_agent()]).arg(root).output().unwrap()
}

fn run(root: &Path) -> Output {
    Command::new(guest_agent()).arg("--root").arg(root).arg("identity").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_key_of_its_own_it_fails_and_mends_itself_when_it_can() {
    for (root, reason) in [
        (golden::baked(), "a host key of the golden is still there"),
        (golden::bare(), "no fresh host key could be made"),
    ] {
        let before = files(root.path());
        let output = run_read_only(root.path());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(reason) && said(&output).contains("Read-only"), "{}", said(&output));
        assert_eq!(files(root.path()), before);
        assert!(run(root.path()).status.success());
        assert_eq!(keys_of(root.path()).len(), 2);
        assert_pairs(root.path(), reason);
    }
}

#[test]
fn a_machine_that_is_itself_boots_on() {
    let root = golden::baked();
    assert!(run(root.path()).status.success());
    let before = files(root.path());
    let output = run_read_only(root.path());
    assert!(output.status.success(), "{}", said(&output));
    // A key that is missing cannot be made: said, and no reason to stop the others.
    std::fs::remove_file(root.path().join("etc/ssh/ssh_host_ecdsa_key")).unwrap();
    let output = run_read_only(root.path());
    assert!(output.status.success() && said(&output).contains("Read-only"), "{}", said(&output));
    assert!(run(root.path()).status.success());
    assert_eq!(keys_of(root.path()).len(), 2);
    assert!(before.len() >= files(root.path()).len());
}
