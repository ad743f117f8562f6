//! The guest's package in an image, as docs/install.md says: installed in a chroot, sealed there, a clone booted.

use std::fs;
use std::path::Path;

use firstlight_tests::dist::Product;
use firstlight_tests::golden::Variant;
use firstlight_tests::{paths, run};
use serde_json::Value;

use super::{QUIETLY, apt, changed, deb, everything, install, is_enabled, property};
use crate::support::unpacked;
use crate::whole::{served_key, status};

/// What a command in an image prints, where nothing runs and nothing is mounted.
fn chroot(root: &Path, words: &[&str]) -> String {
    run::must(run::command(["chroot"]).arg(root).args(QUIETLY).args(words)).unwrap()
}

fn key(root: &Path) -> String {
    fs::read_to_string(root.join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap()
}

#[test]
fn installed_in_an_image_and_sealed_it_renews_a_clone_and_stays_dpkgs() {
    let root = unpacked(Variant::Stock);
    let path = root.path();
    fs::remove_dir_all(path.join("root/.ssh")).unwrap();
    let (before, golden) = (everything(&path), key(&path));
    fs::copy(deb(Product::Guest, 1), path.join("root/package.deb")).unwrap();
    chroot(&path, &["apt", "--yes", "install", "/root/package.deb"]);
    fs::remove_file(path.join("root/package.deb")).unwrap();

    let sealed = chroot(&path, &["firstlight-guest", "seal", "--json"]);
    let sealed: Value = serde_json::from_str(&sealed).unwrap();
    assert_eq!(sealed["state"], "done", "{sealed:#}");
    // The package's own program and units are what it would have put there.
    let written = sealed["changes"].as_array().unwrap();
    let again = |one: &&Value| matches!(one["item"].as_str(), Some("program" | "unit"));
    assert_eq!(written.iter().filter(again).collect::<Vec<_>>(), Vec::<&Value>::new());
    assert_eq!(chroot(&path, &["dpkg", "--verify", "firstlight-guest"]), "");
    let mut lint = std::process::Command::new(paths::given(paths::COMPANION_VARIABLE));
    run::must(lint.args(["golden", "lint"]).arg(&path)).unwrap();

    let booted = root.boot("clone").unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(state, "running", "{}", booted.console());
    assert_eq!(status(guest)["identity"]["identity"]["decision"], "renew");
    let served = served_key(guest);
    assert!(key(&path).contains(&served) && !golden.contains(&served));

    let pid = property(guest, "ssh.service", "MainPID");
    install(&root, guest, Product::Guest, 2);
    assert_eq!(is_enabled(guest, "firstlight-identity.service"), "enabled");
    apt(guest, &["purge", "firstlight-guest"]);
    assert_eq!(property(guest, "ssh.service", "MainPID"), pid);
    assert_eq!(served_key(guest), served);
    // What is new is of systemd's first boot, and of systemd-nspawn.
    let booted = ["+ etc/.updated", "+ etc/localtime", "+ etc/resolv.conf", "+ var/.updated"];
    let mut left = changed(&before, &everything(&path));
    left.retain(|line| !booted.contains(&line.as_str()));
    assert_eq!(left, Vec::<String>::new());
}
