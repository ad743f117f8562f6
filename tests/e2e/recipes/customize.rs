//! packaging/virt-customize: what it asks of virt-customize, played on a real root; with `--full` the real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use firstlight_tests::golden::Variant;
use firstlight_tests::run::{self, Ran};
use firstlight_tests::{packages, paths};

use super::errors;
use crate::support::unpacked;

/// Inside virtual machines there is often a KVM that hangs.
const BACKEND: (&str, &str) = ("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");

fn script(path: &str, words: &[&Path], root: &Path) -> Ran {
    let mut script = Command::new(paths::root().join("packaging/virt-customize/golden-from-disk"));
    run::run(script.args(words).env("PATH", path).env("FAKE_ROOT", root).env(BACKEND.0, BACKEND.1)).unwrap()
}

fn with_fakes() -> String {
    format!("{}:/usr/bin:/bin:/usr/sbin", paths::root().join("tests/e2e/recipes/fakes").display())
}

#[test]
fn a_disk_that_virt_customize_opens_is_sealed_last() {
    let root = unpacked(Variant::Stock);
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.img");
    fs::write(&disk, "").unwrap();
    let agent = paths::given(paths::GUEST_VARIABLE);
    let words = [&agent, &disk, Path::new("--run-command"), Path::new("ssh-keygen -A; touch /ran")];
    let ran = script(&with_fakes(), &words, &root.path());
    assert!(ran.ok(), "{}", ran.said());
    assert!(root.path().join("ran").exists(), "the user's own step did not run");
    assert_eq!(errors(&root.path()), [""; 0], "{}", ran.said());
    assert!(ran.stdout.contains(&format!("firstlight golden lint {}", disk.display())), "{}", ran.said());
}

#[test]
fn what_is_missing_is_said_before_the_appliance_starts() {
    let agent = paths::given(paths::GUEST_VARIABLE);
    let missing = Path::new("/nowhere/disk.img");
    for (words, code, says) in [
        (&[agent.as_path(), missing][..], 1, "there is no /nowhere/disk.img"),
        (&[missing, missing], 1, "cannot be run"),
        (&[missing], 2, "usage"),
    ] {
        let ran = script(&with_fakes(), words, missing);
        assert_eq!(ran.code, code, "{}", ran.said());
        assert!(ran.stderr.contains(says), "{}", ran.said());
    }
}

/// A disk with one partition-less ext4, of a real root with a kernel: the appliance is started of this machine's own kernel.
#[test]
fn the_real_virt_customize_seals_a_disk() {
    if !paths::full() {
        return;
    }
    packages::ensure_guestfs().unwrap();
    let root = unpacked(Variant::Stock);
    let folder = tempfile::tempdir().unwrap();
    let disk = disk_of(&root.path(), folder.path());
    assert_ne!(errors(&disk), [""; 0], "the control: it is no golden yet");
    let agent = paths::given(paths::GUEST_VARIABLE);
    let ran = script("/usr/bin:/bin:/usr/sbin", &[&agent, &disk, Path::new("--no-network")], folder.path());
    assert!(ran.ok(), "{}", ran.said());
    assert_eq!(errors(&disk), [""; 0], "{}", ran.said());
}

fn disk_of(root: &Path, folder: &Path) -> PathBuf {
    let disk = folder.join("disk.img");
    fs::File::create(&disk).unwrap().set_len(1 << 30).unwrap();
    run::must(run::command(["mkfs.ext4", "-q", "-F", "-d"]).arg(root).arg(&disk)).unwrap();
    disk
}
