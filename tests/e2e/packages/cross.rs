//! The guest's program for arm64, run by QEMU's user emulation. It is built for minutes: with `--full` only.

use std::fs;
use std::process::Command;

use firstlight_tests::dist::{Product, VERSION};
use firstlight_tests::{packages, page, paths, run};

use super::folder;

#[test]
fn the_guest_for_arm64_runs_and_gives_a_root_its_own_identity() {
    if !paths::full() {
        return;
    }
    let package = folder("arm64").join(format!("{}_{VERSION}-1_arm64.deb", Product::Guest.name()));
    let place = tempfile::tempdir().unwrap();
    run::must(run::command(["dpkg-deb", "--extract"]).arg(&package).arg(place.path())).unwrap();
    let fields = run::must(run::command(["dpkg-deb", "--field"]).arg(&package).arg("Architecture")).unwrap();
    assert_eq!(fields.trim(), "arm64");
    let program = place.path().join("usr/bin/firstlight-guest");
    page::assert_size(
        "docs/guest-size.md",
        "For arm64 it is one of",
        fs::metadata(&program).unwrap().len(),
        3,
    );
    let qemu = packages::qemu_arm64().unwrap();
    let guest = |words: &[&str]| {
        let mut guest = Command::new(&qemu);
        guest.arg(&program).args(words);
        guest
    };
    assert!(run::must(&mut guest(&["--version"])).unwrap().contains(VERSION));

    // An image of that machine: what says so is its systemd, of which only the head is looked at.
    let root = place.path().join("root");
    for inside in
        ["etc/ssh", "etc/systemd/system", "var/lib", "usr/bin", "usr/sbin", "usr/lib/systemd/system", "run"]
    {
        fs::create_dir_all(root.join(inside)).unwrap();
    }
    fs::copy(&program, root.join("usr/lib/systemd/systemd")).unwrap();
    fs::copy(&program, root.join("usr/sbin/sshd")).unwrap();
    fs::write(root.join("etc/ssh/sshd_config"), "").unwrap();
    fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::write(root.join("etc/hostname"), "golden\n").unwrap();
    fs::write(root.join("etc/os-release"), "ID=debian\nVERSION_ID=13\n").unwrap();
    let at = root.to_string_lossy().into_owned();
    let sealed = run::run(&mut guest(&["--root", &at, "seal", "--json"])).unwrap();
    assert!(sealed.ok(), "{}", sealed.said());
    let sealed: serde_json::Value = serde_json::from_str(&sealed.stdout).unwrap();
    assert_eq!(sealed["state"], "done", "{sealed:#}");
    assert_eq!(fs::read(root.join("usr/bin/firstlight-guest")).unwrap(), fs::read(&program).unwrap());
    assert_eq!(fs::read_to_string(root.join("etc/machine-id")).unwrap(), "");
    let gate = "etc/systemd/system/firstlight-gate.target.requires/firstlight-identity.service";
    assert!(root.join(gate).is_symlink());

    // A clone of it.
    let ran = run::run(&mut guest(&["--root", &at, "identity"])).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    let key = root.join("etc/ssh/ssh_host_ed25519_key");
    let shown = run::must(run::command(["ssh-keygen", "-l", "-f"]).arg(&key)).unwrap();
    assert!(shown.contains("ED25519"), "{shown}");
    let status = run::must(&mut guest(&["--root", &at, "status", "--json"])).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["stamp"]["decision"], "renew", "{status:#}");
    let keys = status["stamp"]["host_keys"].as_array().unwrap();
    let fingerprint = shown.split(' ').nth(1).unwrap();
    assert!(keys.iter().any(|key| key == fingerprint), "{shown}: {status:#}");
}
