//! packaging/packer: Packer itself, over SSH, on a Debian that runs.

use std::fs;
use std::path::Path;

use firstlight_tests::golden::{LOGIN_KEY, Variant};
use firstlight_tests::{packages, paths, run};

use super::{assert_clones_are_their_own, errors};
use crate::support::unpacked;

const BUILD: &str = "packaging/packer/golden.pkr.hcl";

#[test]
fn packer_seals_a_running_machine_last_and_its_clones_are_their_own() {
    let packer = packages::unpacked("packer", "usr/bin/packer").unwrap();
    let key = paths::given(paths::GOLDENS_VARIABLE).join(LOGIN_KEY);
    let guest_binary = paths::given(paths::GUEST_VARIABLE);
    let home = tempfile::tempdir().unwrap();
    let build = paths::root().join(BUILD);
    let said = |namespace: Option<&str>, words: &[&str]| {
        let mut command = match namespace {
            Some(name) => run::command(["ip", "netns", "exec", name]),
            None => run::command(["env"]),
        };
        command.arg(&packer).args(words);
        if words[0] != "fmt" {
            command.arg("-var").arg(format!("firstlight_guest={}", guest_binary.display()));
            command.arg("-var").arg(format!("ssh_private_key_file={}", key.display()));
            command.args(["-var", "host=10.77.9.2"]);
        }
        command.arg(&build).env("HOME", home.path()).env("CHECKPOINT_DISABLE", "1");
        run::run(&mut command).unwrap()
    };
    let formatted = said(None, &["fmt", "-check", "-diff"]);
    assert!(formatted.ok(), "{}", formatted.said());
    let valid = said(None, &["validate"]);
    assert!(valid.ok(), "{}", valid.said());

    let root = unpacked(Variant::Stock);
    let booted = root.boot("builder").unwrap();
    booted.settled().unwrap();
    booted.await_ssh().unwrap();
    let built = said(Some(booted.namespace()), &["build", "-color=false", "-only=null.machine"]);
    assert!(built.ok(), "{}", built.said());
    // What Packer's own builder does next.
    booted.shut_down().unwrap();
    assert_eq!(errors(&root.path()), [""; 0], "{}", built.said());
    assert!(!root.path().join("tmp/firstlight-guest").exists());
    assert_clones_are_their_own(&packed(&root.path(), home.path()));
}

fn packed(root: &Path, folder: &Path) -> std::path::PathBuf {
    let golden = folder.join("golden.tar");
    run::must(run::command(["tar", "-c", "--numeric-owner", "-f"]).arg(&golden).arg("-C").arg(root).arg("."))
        .unwrap();
    assert!(fs::metadata(&golden).is_ok_and(|about| about.len() > 0));
    golden
}
