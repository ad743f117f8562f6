//! `adopt` on made-up live machines: nothing is renewed, then or later.

use super::*;
use crate::sys::MadeUp;

fn live(folder: &Path) -> Machine {
    MadeUp::default().named("web-01").card(1).machine(folder)
}

/// A machine that lived without us: all keys whole, and no stamp.
fn lived() -> TempDir {
    let folder = golden_root();
    fs::remove_file(folder.path().join("etc/ssh/ssh_host_rsa_key-cert.pub")).unwrap();
    folder
}

fn code(folder: &Path) -> &'static str {
    use firstlight_shared::error::Code;
    let before = snapshot(folder);
    let error = adopt(&live(folder)).unwrap_err();
    assert!(error.is_refusal());
    assert_eq!(snapshot(folder), before, "a refusal changes nothing");
    error.code()
}

#[test]
fn an_adopted_machine_keeps_everything_at_the_next_boot() {
    let folder = lived();
    let before = snapshot(folder.path());
    let adopted = adopt(&live(folder.path())).unwrap();
    assert_eq!((adopted.ssh_host_keys.len(), adopted.kept_aside, adopted.problems.len()), (3, None, 0));
    let mut after = snapshot(folder.path());
    assert!(after.remove(&folder.path().join(paths::STAMP)).is_some());
    assert_eq!(after, before);
    let outcome = run(&live(folder.path()));
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Keep, None));
    assert_eq!(outcome.identity.removed_host_keys, Vec::<String>::new());
    assert!(fs::read_to_string(folder.path().join("etc/machine-id")).unwrap().contains(BAKED_ID));
    assert_eq!(code(folder.path()), "stamped-already");
}

#[test]
fn an_unknown_history_is_settled_and_kept_aside() {
    let folder = lived();
    fs::write(folder.path().join(paths::STAMP), "{\"version\":9}").unwrap();
    let adopted = adopt(&live(folder.path())).unwrap();
    assert_eq!(adopted.kept_aside.as_deref(), Some("/var/lib/firstlight/stamp.unknown.json"));
    assert_eq!(fs::read_to_string(folder.path().join(paths::OLD_STAMP)).unwrap(), "{\"version\":9}");
    assert_eq!(run(&live(folder.path())).identity.decision, Decision::Keep);
}

#[test]
fn a_suspicion_is_settled_by_the_operators_word() {
    let folder = lived();
    adopt(&live(folder.path())).unwrap();
    let moved = || MadeUp::default().named("web-01").card(7).machine(folder.path());
    assert_eq!(run(&moved()).identity.decision, Decision::SuspectClone);
    adopt(&moved()).unwrap();
    assert_eq!(run(&moved()).identity.decision, Decision::Keep);
}

#[test]
fn what_the_next_boot_would_find_wrong_is_refused_now() {
    let edit = |change: &dyn Fn(&Path)| {
        let folder = lived();
        change(folder.path());
        code(folder.path())
    };
    let golden = |folder: &Path, text: String| {
        fs::create_dir_all(folder.join("usr/lib/firstlight")).unwrap();
        fs::write(folder.join(paths::GOLDEN[0]), text).unwrap();
    };
    let known_key =
        |folder: &Path| golden(folder, format!("{{\"host_keys\":[\"{}\"]}}", fingerprints(folder)[1]));
    assert_eq!(edit(&known_key), "golden-host-key");
    let known_id = |folder: &Path| {
        let derived = BAKED_ID.parse::<firstlight_shared::ids::MachineId>().unwrap().derived();
        golden(folder, format!("{{\"machine_ids\":[\"{derived}\"]}}"));
    };
    assert_eq!(edit(&known_id), "golden-machine-id");
    let mixed = |folder: &Path| {
        fs::copy(folder.join("etc/ssh/ssh_host_rsa_key.pub"), folder.join("etc/ssh/ssh_host_ecdsa_key.pub"))
            .unwrap();
    };
    assert_eq!(edit(&mixed), "bad-key-pair");
    assert_eq!(
        edit(&|folder| fs::write(folder.join("etc/ssh/ssh_host_rsa_key"), "").unwrap()),
        "bad-key-pair"
    );
    assert_eq!(edit(&|folder| fs::write(folder.join("etc/machine-id"), "").unwrap()), "no-machine-id");
    let without_keys = |folder: &Path| {
        fs::remove_dir_all(folder.join("etc/ssh")).unwrap();
    };
    assert_eq!(edit(&without_keys), "no-host-key");
    let folder_for_key = |folder: &Path| {
        fs::remove_dir_all(folder.join("etc/ssh")).unwrap();
        symlink("ssh", folder.join("etc/ssh")).unwrap();
    };
    assert_eq!(edit(&folder_for_key), "host-keys-unreadable");
    let another = |folder: &Path| {
        adopt(&live(folder)).unwrap();
        fs::write(folder.join("etc/machine-id"), format!("{}\n", "9".repeat(32))).unwrap();
    };
    assert_eq!(edit(&another), "stamp-of-another-machine");
}
