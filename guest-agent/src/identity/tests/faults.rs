//! Every effect of every kind of run fails in every way: the run says so, and a normal run afterwards ends whole.

use nix::errno::Errno;

use super::super::pending::make_pending_with;
use super::*;
use crate::keys::{HostKeys, KeyError, MadeKey, Private, scan};
use crate::sys::MadeUp;

/// What happens at effect N.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Death,
    Once(Errno),
    From(Errno),
}

const ERRORS: [Errno; 4] = [Errno::ENOSPC, Errno::EROFS, Errno::EIO, Errno::EACCES];

fn faults() -> impl Iterator<Item = Fault> {
    let both = |errno| [Fault::Once(errno), Fault::From(errno)];
    [Fault::Death].into_iter().chain(ERRORS.into_iter().flat_map(both))
}

impl Fault {
    fn at(self, effect: u32) -> Fuse {
        match self {
            Self::Death => Fuse::blowing_after(effect),
            Self::Once(errno) => Fuse::failing_once(effect, errno),
            Self::From(errno) => Fuse::failing_from(effect, errno),
        }
    }
}

/// A root in memory: the file system's own waiting is not what is tested here.
fn quick(root: TempDir) -> TempDir {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return root };
    let copied = Command::new("cp").arg("-a").arg(root.path().join(".")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    folder
}

fn copy_of(shape: &TempDir) -> TempDir {
    let folder = tempfile::tempdir_in(shape.path().parent().unwrap()).unwrap();
    let copied =
        Command::new("cp").arg("-a").arg(shape.path().join(".")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    folder
}

fn broken(folder: &Path, made_up: Option<MadeUp>, fuse: Fuse) -> Machine {
    let live = made_up.is_some();
    Machine { root: Root::open(folder, fuse).unwrap(), live, made_up }
}

fn keys_of(folder: &Path) -> HostKeys {
    scan(&machine(folder).root).unwrap()
}

fn fingerprints_of(keys: &HostKeys) -> Vec<String> {
    keys.keys.iter().filter_map(KeyFile::fingerprint).collect()
}

/// A private key stands alone or beside its own public half.
fn assert_unmixed(keys: &HostKeys, at: &str) {
    for key in &keys.keys {
        let pair = key.public.is_some() && !matches!(key.private, Private::Absent);
        assert!(!pair || key.is_whole(), "{at}: {} is a mixed pair", key.name);
    }
}

/// Without what holds for one boot only.
fn lasting(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, std::time::SystemTime)> {
    snapshot(folder).into_iter().filter(|(path, _)| !path.starts_with(folder.join("run"))).collect()
}

/// The whole matrix over identity runs on copies of one root whose keys are all foreign.
fn renewal_survives(shape: TempDir, made_up: impl Fn() -> Option<MadeUp>, least: u32) {
    let shape = quick(shape);
    let baked = fingerprints(shape.path());
    for fault in faults() {
        let mut effect = 0;
        loop {
            let at = format!("{fault:?} at effect {effect}");
            let folder = copy_of(&shape);
            let machine = broken(folder.path(), made_up(), fault.at(effect));
            let outcome = run(&machine);
            let struck = machine.root.fuse.has_struck();
            let keys = keys_of(folder.path());
            assert_unmixed(&keys, &at);
            let stale = fingerprints_of(&keys).iter().any(|key| baked.contains(key));
            assert!(!stale || outcome.failure.is_some(), "{at}: success with a baked key");
            if struck {
                let said = outcome.failure.is_some() || !outcome.identity.problems.is_empty();
                assert!(said, "{at}: nothing was said");
            }
            if let StampState::Valid(stamp) = load_stamp(&machine.root) {
                assert!(
                    !stale || baked.iter().all(|key| stamp.host_keys.contains(key)),
                    "{at}: stamped with a baked key"
                );
                let whole = keys.keys.iter().filter(|key| key.is_whole()).filter_map(KeyFile::fingerprint);
                let whole: Vec<_> = whole.collect();
                assert!(
                    stamp.host_keys.iter().all(|key| whole.contains(key) || stale),
                    "{at}: stamped what is not whole"
                );
            }
            drop(machine);
            assert_recovers(folder.path(), &made_up, &baked, &at);
            if !struck {
                break;
            }
            effect += 1;
        }
        assert!(effect >= least, "only {effect} effects were seen");
    }
}

fn assert_recovers(folder: &Path, made_up: &impl Fn() -> Option<MadeUp>, baked: &[String], at: &str) {
    let outcome = run(&broken(folder, made_up(), Fuse::intact()));
    assert_eq!(outcome.failure, None, "{at}: the next run failed");
    assert_eq!(outcome.identity.problems, Vec::<String>::new(), "{at}: the next run has problems");
    let keys = keys_of(folder);
    assert!(keys.leftovers.is_empty() && keys.keys.len() == 2, "{at}: {keys:?}");
    assert!(keys.keys.iter().all(KeyFile::is_whole), "{at}: not whole");
    assert!(fingerprints_of(&keys).iter().all(|key| !baked.contains(key)), "{at}: a baked key is left");
    assert!(!fs::read_to_string(folder.join("etc/machine-id")).unwrap().contains(BAKED_ID), "{at}");
    let StampState::Valid(stamp) = load_stamp(&machine(folder).root) else { panic!("{at}: no stamp") };
    assert_eq!((stamp.pending, stamp.unfinished), (vec!["rsa".to_owned()], Vec::new()), "{at}");
    let before = lasting(folder);
    run(&broken(folder, made_up(), Fuse::intact()));
    assert_eq!(lasting(folder), before, "{at}: a run too many");
}

#[test]
fn a_golden_with_everything_baked_in() {
    renewal_survives(golden_root(), || None, 25);
}

#[test]
fn a_golden_without_any_key() {
    renewal_survives(bare_root(), || None, 12);
}

#[test]
fn a_clone_of_a_guest_that_had_booted() {
    let shape = golden_root();
    run(&machine(shape.path()));
    write(&shape.path().join("etc/machine-id"), format!("{}\n", "9".repeat(32)).as_bytes(), 0o644);
    renewal_survives(shape, || None, 25);
}

#[test]
fn a_running_clone_that_gets_a_name() {
    let shape = golden_root();
    write(&shape.path().join("etc/hosts"), b"127.0.1.1 web-01\n", 0o644);
    fs::create_dir_all(shape.path().join(paths::CLOUD_CONFIG)).unwrap();
    fs::create_dir_all(shape.path().join("run/credentials/@system")).unwrap();
    let claim = br#"{"version":1,"id":"job","intent":"provision","hostname":"web-07"}"#;
    write(&shape.path().join("run/credentials/@system/firstlight.claim"), claim, 0o600);
    renewal_survives(shape, || Some(MadeUp::default().named("web-07").card(1)), 35);
}

#[test]
fn an_adoption() {
    let shape = quick(golden_root());
    fs::write(shape.path().join(paths::STAMP), "{").unwrap();
    let keys = fingerprints(shape.path());
    let live = |folder: &Path, fuse| broken(folder, Some(MadeUp::default().named("web-01").card(1)), fuse);
    for fault in faults() {
        let mut effect = 0;
        loop {
            let at = format!("{fault:?} at effect {effect}");
            let folder = copy_of(&shape);
            let machine = live(folder.path(), fault.at(effect));
            let adopted = adopt(&machine);
            let struck = machine.root.fuse.has_struck();
            assert_eq!(adopted.is_err(), struck, "{at}: {adopted:?}");
            assert_ne!(
                load_stamp(&machine.root),
                StampState::None,
                "{at}: the next boot would renew everything"
            );
            drop(machine);
            let again = adopt(&live(folder.path(), Fuse::intact()));
            assert!(matches!(again, Ok(_) | Err(AdoptError::Stamped)), "{at}: {again:?}");
            assert_eq!(fs::read(folder.path().join(paths::OLD_STAMP)).unwrap(), b"{", "{at}");
            let outcome = run(&live(folder.path(), Fuse::intact()));
            assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Keep, None), "{at}");
            assert_eq!(fingerprints(folder.path()), keys, "{at}");
            if !struck {
                break;
            }
            effect += 1;
        }
        assert!(effect >= 8, "only {effect} effects were seen");
    }
}

/// Quick to make; the name of the file is what counts.
fn a_quick_key(kind: KeyType) -> Result<MadeKey, KeyError> {
    Ok(MadeKey { kind, ..make(KeyType::Ed25519)? })
}

#[test]
fn the_late_rsa_key() {
    let shape = quick(bare_root());
    run(&machine(shape.path()));
    let early = fingerprints(shape.path());
    let pending = vec!["rsa".to_owned()];
    for fault in faults() {
        let mut effect = 0;
        loop {
            let at = format!("{fault:?} at effect {effect}");
            let folder = copy_of(&shape);
            let late = broken(folder.path(), None, fault.at(effect));
            let outcome = make_pending_with(&late, &pending, a_quick_key);
            let struck = late.root.fuse.has_struck();
            assert_eq!(!outcome.problems.is_empty(), struck, "{at}: {:?}", outcome.problems);
            assert_unmixed(&keys_of(folder.path()), &at);
            let StampState::Valid(stamp) = load_stamp(&late.root) else { panic!("{at}: no stamp") };
            let is_there = keys_of(folder.path()).named("ssh_host_rsa_key").is_some_and(KeyFile::is_whole);
            assert!(is_there || stamp.pending == pending, "{at}: a key that is missing is not pending");
            // The next boot: both phases.
            let next = run(&machine(folder.path()));
            assert_eq!((next.identity.decision, next.failure), (Decision::Keep, None), "{at}");
            let made = make_pending_with(&machine(folder.path()), &next.identity.pending, a_quick_key);
            assert_eq!(made.problems, Vec::<String>::new(), "{at}");
            let keys = keys_of(folder.path());
            assert!(
                keys.keys.len() == 3 && keys.keys.iter().all(KeyFile::is_whole) && keys.leftovers.is_empty(),
                "{at}"
            );
            assert!(
                early.iter().all(|key| fingerprints_of(&keys).contains(key)),
                "{at}: an early key was lost"
            );
            let StampState::Valid(stamp) = load_stamp(&machine(folder.path()).root) else {
                panic!("{at}: no stamp")
            };
            assert_eq!((stamp.pending.len(), stamp.host_keys.len()), (0, 3), "{at}");
            if !struck {
                break;
            }
            effect += 1;
        }
        assert!(effect >= 8, "only {effect} effects were seen");
    }
}

/// The table of what stops sshd and what only degrades, on a root that nobody can write.
#[test]
fn a_read_only_root_stops_sshd_only_without_a_key_of_its_own() {
    let read_only = |folder: &Path| {
        let fuse = Fuse::failing_from(0, Errno::EROFS);
        let outcome = run(&broken(folder, Some(MadeUp::default().named("web-01").card(1)), fuse));
        (outcome.identity.decision, outcome.failure.map(|failure| failure.code))
    };
    let stops = |code: &str| Some(code.to_owned());
    assert_eq!(read_only(golden_root().path()), (Decision::Renew, stops("golden-host-key")));
    assert_eq!(read_only(bare_root().path()), (Decision::Renew, stops("no-host-key")));
    let stamped = golden_root();
    run(&MadeUp::default().named("web-01").card(1).machine(stamped.path()));
    assert_eq!(read_only(stamped.path()), (Decision::Keep, None));
    // A missing type, a machine-id of the golden, an odd stamp: degraded.
    fs::remove_file(stamped.path().join("etc/ssh/ssh_host_ecdsa_key")).unwrap();
    assert_eq!(read_only(stamped.path()), (Decision::Keep, None));
    fs::write(stamped.path().join(paths::STAMP), "{").unwrap();
    assert_eq!(read_only(stamped.path()), (Decision::UnknownHistory, None));
    let known = fingerprints(stamped.path())[0].clone();
    fs::create_dir_all(stamped.path().join("usr/lib/firstlight")).unwrap();
    fs::write(stamped.path().join(paths::GOLDEN[0]), format!("{{\"host_keys\":[\"{known}\"]}}")).unwrap();
    assert_eq!(read_only(stamped.path()), (Decision::UnknownHistory, stops("golden-host-key")));
    // Keys that cannot be read may be anybody's.
    let unreadable = golden_root();
    fs::write(unreadable.path().join("etc/ssh/sshd_config"), "\n".repeat(60_000)).unwrap();
    assert_eq!(read_only(unreadable.path()), (Decision::Renew, stops("host-keys-unreadable")));
}
