//! The real program is really killed (SIGKILL) before every effect of the identity phase; then it runs again.
//! OpenSSH's own tool judges the keys.

#![expect(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod golden;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use golden::{assert_pairs, files, guest_agent, keys_of};

/// Whether it was killed.
fn run(root: &Path, fuse: Option<u32>) -> (bool, Output) {
    let mut command = Command::new(guest_agent());
    command.arg("--root").arg(root).arg("identity");
    if let Some(effect) = fuse {
        command.env("FIRSTLIGHT_FUSE", effect.to_string());
    }
    let output = command.output().unwrap();
    (output.status.signal() == Some(9), output)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn killed_at_every_effect(shape: &golden::Golden, least: u32) {
    let baked = keys_of(shape.path());
    for effect in 0.. {
        let at = format!("killed before effect {effect}");
        let root = shape.copy();
        let (killed, first) = run(root.path(), Some(effect));
        assert_pairs(root.path(), &at);
        if root.path().join("var/lib/firstlight/stamp.json").exists() && killed {
            let left = keys_of(root.path());
            let old_stamp = shape.path().join("var/lib/firstlight/stamp.json").exists();
            assert!(
                old_stamp || left.iter().all(|key| !baked.contains(key)),
                "{at}: stamped with a baked key"
            );
        }
        let (_, second) = run(root.path(), None);
        assert!(second.status.success(), "{at}: {}", text(&second));
        let now = keys_of(root.path());
        assert_eq!(now.len(), 2, "{at}: {now:?}");
        assert!(now.iter().all(|key| !baked.contains(key)), "{at}: a baked key is left");
        assert_pairs(root.path(), &at);
        let stamp = std::fs::read_to_string(root.path().join("var/lib/firstlight/stamp.json")).unwrap();
        assert!(
            stamp.contains("\"rsa\"") && now.iter().all(|key| stamp.contains(key.as_str())),
            "{at}: {stamp}"
        );
        let before = files(root.path());
        let (_, third) = run(root.path(), None);
        assert!(third.status.success(), "{at}: {}", text(&third));
        assert_eq!(files(root.path()), before, "{at}: a run too many");
        if !killed {
            assert!(first.status.success(), "{at}: {}", text(&first));
            assert!(effect >= least, "only {effect} effects were seen");
            return;
        }
    }
}

#[test]
fn a_golden_with_everything_baked_in_always_ends_whole() {
    killed_at_every_effect(&golden::baked(), 25);
}

#[test]
fn a_golden_without_keys_always_ends_whole() {
    killed_at_every_effect(&golden::bare(), 12);
}

#[test]
fn a_clone_of_a_guest_that_had_booted_always_ends_whole() {
    let shape = golden::baked();
    assert!(run(shape.path(), None).1.status.success());
    golden::set_machine_id(shape.path(), &"9".repeat(32));
    killed_at_every_effect(&shape, 25);
}
