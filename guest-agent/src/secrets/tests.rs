use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::*;
use crate::sys::MadeUp;

fn claim(secrets: &[(&str, &str, &str)]) -> Claim {
    let list: Vec<String> = secrets
        .iter()
        .map(|(path, mode, owner)| format!(r#"{{"path":"{path}","mode":"{mode}","owner":"{owner}"}}"#))
        .collect();
    serde_json::from_str(&format!(r#"{{"version":1,"id":"c","secrets":[{}]}}"#, list.join(","))).unwrap()
}

/// A root whose only accounts are this test's own: nobody else's file can be made without being root.
fn root() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("etc")).unwrap();
    let own = fs::metadata(folder.path()).unwrap();
    fs::write(folder.path().join("etc/passwd"), format!("root:x:0:0::/:\nme:x:{}:1::/:\n", own.uid()))
        .unwrap();
    fs::write(folder.path().join("etc/group"), format!("root:x:0:\nus:x:{}:\n", own.gid())).unwrap();
    (folder, format!("{}:{}", own.uid(), own.gid()))
}

fn settled(folder: &Path, claim: &Claim) -> Vec<SecretOutcome> {
    let machine = MadeUp::default().with("container", "lxc").machine(folder);
    settle(&machine, Some(claim))
}

fn pass(folder: &Path, variables: &str) {
    fs::create_dir_all(folder.join("proc/1")).unwrap();
    fs::write(folder.join("proc/1/environ"), format!("container=lxc\0{variables}\0")).unwrap();
}

#[test]
fn what_lies_there_is_told_by_digest_mode_and_owner() {
    let (folder, ids) = root();
    let at = |name: &str| folder.path().join("etc").join(name);
    for (name, mode) in [("key", 0o400), ("open", 0o644)] {
        fs::write(at(name), "abc").unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("key", at("link")).unwrap();
    let outcomes = settled(
        folder.path(),
        &claim(&[
            ("/etc/key", "0400", "me:us"),
            ("/etc/open", "0400", "4294967294:4294967294"),
            ("/etc/none", "0400", "me:us"),
            ("/etc/link", "0400", "me:us"),
            ("/etc/key", "0400", "nobody-here:us"),
            ("etc/key", "0400", "me:us"),
        ]),
    );
    let told: Vec<_> = outcomes
        .iter()
        .map(|one| {
            (one.sha256_prefix.as_deref(), one.mode.as_deref(), one.owner.as_deref(), one.problem.as_deref())
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("ba7816bf"), Some("0400"), Some("me:us"), None),
            (Some("ba7816bf"), Some("0644"), Some(ids.as_str()), None),
            (None, None, None, Some("it is not there")),
            (None, None, None, Some("it is no regular file")),
            (None, None, None, Some("/etc/passwd has no `nobody-here`")),
            (None, None, None, Some("its path is not absolute")),
        ]
    );
    assert_eq!(problems(&outcomes).count(), 4);
    assert!(is_delivered(Some(&claim(&[("/etc/key", "", "")])), "etc/key"));
    assert!(
        !is_delivered(Some(&claim(&[("/etc/key", "", "")])), "etc/other") && !is_delivered(None, "etc/key")
    );
}

#[test]
fn what_was_passed_is_put_in_place_once() {
    let (folder, _) = root();
    fs::create_dir_all(folder.path().join("run/credentials/@system")).unwrap();
    fs::write(folder.path().join("run/credentials/@system/firstlight.secret.0"), b"abc\n\0").unwrap();
    pass(
        folder.path(),
        "FIRSTLIGHT_SECRET_1=YWJj\0FIRSTLIGHT_SECRET_2=!!!\0FIRSTLIGHT_SECRET_0=bm90IHRoaXM=",
    );
    symlink("/etc/passwd", folder.path().join("etc/two")).unwrap();
    let claim = claim(&[
        ("/var/lib/deep/one", "0440", "me:us"),
        ("/etc/two", "0400", "me:us"),
        ("/etc/three", "0400", "me:us"),
    ]);
    let outcomes = settled(folder.path(), &claim);
    assert_eq!(outcomes[0].problem, None);
    let one = folder.path().join("var/lib/deep/one");
    assert_eq!(fs::read(&one).unwrap(), b"abc\n\0");
    assert_eq!(fs::metadata(&one).unwrap().mode() & 0o7777, 0o440);
    // Not through the link.
    assert_eq!(fs::read(folder.path().join("etc/two")).unwrap(), b"abc");
    assert!(fs::symlink_metadata(folder.path().join("etc/two")).unwrap().is_file());
    assert!(fs::read_to_string(folder.path().join("etc/passwd")).unwrap().contains("root"));
    assert_eq!(outcomes[1].sha256_prefix.as_deref(), Some("ba7816bf"));
    let problem = outcomes[2].problem.as_deref().unwrap();
    assert!(problem.contains("base64") && !problem.contains("!!!"), "{problem}");
    assert!(!folder.path().join("etc/three").exists());

    let before = fs::metadata(&one).unwrap().ino();
    settled(folder.path(), &claim);
    assert_eq!(fs::metadata(&one).unwrap().ino(), before, "it was so already");
    fs::set_permissions(&one, fs::Permissions::from_mode(0o644)).unwrap();
    settled(folder.path(), &claim);
    assert_eq!(fs::metadata(&one).unwrap().mode() & 0o7777, 0o440);
}

#[test]
fn nothing_is_taken_from_where_others_write() {
    let (folder, _) = root();
    let wanted = claim(&[("/etc/key", "0400", "me:us")]);
    pass(folder.path(), "FIRSTLIGHT_SECRET_0=YWJj");
    // In a machine PID 1's variables are the kernel command line's, which the root disk writes.
    let machine = MadeUp::default().machine(folder.path());
    assert_eq!(settle(&machine, Some(&wanted))[0].problem.as_deref(), Some("it is not there"));
    fs::write(folder.path().join("proc/cmdline"), "quiet FIRSTLIGHT_SECRET_0=YWJj").unwrap();
    let machine = MadeUp::default().with("container", "lxc").machine(folder.path());
    let outcome = settle(&machine, Some(&wanted)).remove(0);
    assert!(outcome.problem.unwrap().contains("command line"));
    assert!(!folder.path().join("etc/key").exists());
    let dead = Machine::open(folder.path()).unwrap();
    assert_eq!(settle(&dead, Some(&wanted)), []);
}
