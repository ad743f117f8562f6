//! Roots that mean harm: whatever stands in place of a file, nothing outside is touched, nothing hangs, nobody lies.

use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::sys::MadeUp;

/// Every file that an identity run reads or writes.
const FILES: [&str; 16] = [
    paths::STAMP,
    paths::REBOOTED,
    paths::GOLDEN[0],
    paths::GOLDEN[1],
    paths::CONFIG,
    paths::IDENTITY,
    paths::REBOOT_REQUIRED,
    paths::MACHINE_ID,
    paths::DBUS_MACHINE_ID,
    paths::HOSTNAME,
    paths::HOSTS,
    paths::RESOLV_CONF,
    "run/credentials/@system/firstlight.claim",
    "run/credentials/@system/system.machine_id",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
];

#[derive(Debug, Clone, Copy)]
enum Form {
    LinkOutside,
    DanglingLink,
    Loop,
    Folder,
    Fifo,
    Socket,
    Huge,
    Bytes,
}

const FORMS: [Form; 8] = [
    Form::LinkOutside,
    Form::DanglingLink,
    Form::Loop,
    Form::Folder,
    Form::Fifo,
    Form::Socket,
    Form::Huge,
    Form::Bytes,
];

fn put(form: Form, path: &Path, outside: &Path) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match form {
        Form::LinkOutside => symlink(outside, path).unwrap(),
        Form::DanglingLink => symlink("/no/such/file", path).unwrap(),
        Form::Loop => symlink(path.file_name().unwrap(), path).unwrap(),
        Form::Folder => fs::create_dir_all(path.join("deep")).unwrap(),
        Form::Fifo => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        Form::Socket => drop(UnixListener::bind(path).unwrap()),
        Form::Huge => fs::write(path, vec![b'0'; 2 << 20]).unwrap(),
        Form::Bytes => fs::write(path, [0xff, 0, 0x1b, b'[', b'2', b'J', b'\n', 0x80]).unwrap(),
    }
}

/// Runs on a thread of its own: a run that hangs fails the test.
fn run_in_time(folder: &Path, what: &str) -> Outcome {
    run_named_in_time(folder, "golden", what)
}

fn run_named_in_time(folder: &Path, name: &'static str, what: &str) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let root = folder.to_owned();
    std::thread::spawn(move || {
        let outcome = run(&MadeUp::default().named(name).card(1).machine(&root));
        let _ = sender.send(outcome);
    });
    receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what} hangs"))
}

fn hostile_root() -> TempDir {
    let folder = golden_root();
    fs::create_dir_all(folder.path().join("run/credentials/@system")).unwrap();
    let claim = br#"{"version":1,"id":"job","intent":"provision","hostname":"web-07"}"#;
    write(&folder.path().join("run/credentials/@system/firstlight.claim"), claim, 0o600);
    write(&folder.path().join("etc/hosts"), b"127.0.1.1 web-01\n", 0o644);
    folder
}

#[test]
fn no_form_of_any_file_leads_out_hangs_or_passes_for_done() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    // What a link might be followed for: a claim that would keep the golden's keys.
    write(&victim, br#"{"version":1,"id":"evil","intent":"restore"}"#, 0o644);
    let before = snapshot(outside.path());
    for path in FILES {
        for form in FORMS {
            let what = format!("{form:?} at {path}");
            let folder = hostile_root();
            let baked = fingerprints(folder.path());
            put(form, &folder.path().join(path), &victim);
            let outcome = run_in_time(folder.path(), &what);
            assert_eq!(snapshot(outside.path()), before, "{what}");
            // A stamp that cannot be read is unknown history; nothing else keeps what was baked in.
            let expected = match (path, form) {
                (paths::STAMP, Form::DanglingLink | Form::LinkOutside) => Decision::Renew,
                (paths::STAMP, _) => Decision::UnknownHistory,
                _ => Decision::Renew,
            };
            assert_eq!(outcome.identity.decision, expected, "{what}");
            if outcome.failure.is_none() && expected == Decision::Renew {
                let left = fingerprints(folder.path());
                assert!(left.iter().all(|key| !baked.contains(key)), "{what}: a baked key is left");
                assert_eq!(left.len(), 2, "{what}");
            }
            let again = run_in_time(folder.path(), &what);
            assert!(again.failure.is_none() || outcome.failure.is_some(), "{what}: worse the second time");
        }
    }
}

#[test]
fn folders_that_lead_out_stay_inside() {
    let outside = tempfile::tempdir().unwrap();
    for (path, bytes) in [("ssh_host_rsa_key", "precious"), ("stamp.json", "{}"), ("machine-id", BAKED_ID)] {
        write(&outside.path().join(path), bytes.as_bytes(), 0o600);
    }
    let before = snapshot(outside.path());
    for folder in
        ["etc", "etc/ssh", "etc/firstlight", "var", "var/lib/firstlight", "var/lib/dbus", "usr/lib", "run"]
    {
        for target in [
            outside.path().to_owned(),
            Path::new("../../../../../../../../..").join(outside.path().strip_prefix("/").unwrap()),
        ] {
            let root = hostile_root();
            let _ = fs::remove_dir_all(root.path().join(folder));
            fs::create_dir_all(root.path().join(folder).parent().unwrap()).unwrap();
            symlink(&target, root.path().join(folder)).unwrap();
            let _ = run_in_time(root.path(), folder);
            assert_eq!(snapshot(outside.path()), before, "{folder}");
        }
    }
}

#[test]
fn odd_names_beside_the_keys_do_no_harm() {
    use std::os::unix::ffi::OsStrExt;
    let folder = golden_root();
    let ssh = folder.path().join("etc/ssh");
    let key = fs::read(ssh.join("ssh_host_ed25519_key")).unwrap();
    for name in [
        &b"ssh_host_\x1b[2J\n_key"[..],
        b"ssh_host_\xff\xfe_key",
        b"ssh_host_..%2f_key",
        b"ssh_host_ _key",
        b".ssh_host_x.firstlight-new",
        b"-rf",
    ] {
        write(&ssh.join(std::ffi::OsStr::from_bytes(name)), &key, 0o600);
    }
    let outcome = run_in_time(folder.path(), "odd names");
    assert_eq!(outcome.failure, None);
    assert!(!crate::show::render_outcome(&outcome).contains('\x1b'));
    let left = fingerprints(folder.path());
    assert_eq!(left.len(), 2, "every other key that sshd could be told to use by its name is gone: {left:?}");
}

/// A key that nobody can remove: `chattr +i`, as hardening guides have it.
#[test]
fn an_immutable_key_of_the_golden_keeps_sshd_down_until_it_is_released() {
    let folder = golden_root();
    let key = folder.path().join("etc/ssh/ssh_host_ed25519_key");
    let chattr = |flag: &str, path: &Path| {
        assert!(Command::new("chattr").arg(flag).arg(path).status().unwrap().success(), "chattr {flag}");
    };
    let baked = fingerprints(folder.path());
    chattr("+i", &key);
    let outcome = run_in_time(folder.path(), "an immutable key");
    let again = run_in_time(folder.path(), "an immutable key");
    chattr("-i", &key);
    for outcome in [outcome, again] {
        assert_eq!(outcome.failure.unwrap().code, "golden-host-key");
        assert!(outcome.identity.problems.iter().any(|problem| problem.contains("ssh_host_ed25519_key")));
    }
    assert_eq!(load_stamp(&machine(folder.path()).root), StampState::None);
    assert_eq!(run(&machine(folder.path())).failure, None);
    assert_renewed(folder.path(), &baked);
    // Other immutable files degrade only.
    for path in ["etc/machine-id", "etc/hostname", "etc/hosts"] {
        let folder = hostile_root();
        chattr("+i", &folder.path().join(path));
        let outcome = run_in_time(folder.path(), path);
        chattr("-i", &folder.path().join(path));
        assert_eq!(outcome.failure, None, "{path}");
        assert!(outcome.identity.problems.iter().any(|problem| problem.contains(path)), "{path}");
        let mended = run_named_in_time(folder.path(), "web-07", path);
        assert_eq!((mended.failure, mended.identity.problems), (None, Vec::new()), "{path}: mended");
        assert!(
            !fs::read_to_string(folder.path().join("etc/machine-id")).unwrap().contains(BAKED_ID),
            "{path}"
        );
    }
}
