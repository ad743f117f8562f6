//! Whole identity runs on made-up roots; ssh-keygen judges the keys.

mod adoption;
mod cloud;
mod faults;
mod hostile;
mod live;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use firstlight_shared::wire::{Decision, MachineIdState};
use tempfile::TempDir;

use super::*;
use crate::keys::KeyFile;
use crate::keys::{KeyType, make};
use crate::sys::{Fuse, Root};

const BAKED_ID: &str = "7be07251d7584360bfa20bcb52311efb";

/// A root as a golden leaves it: sshd, baked keys of three types and a certificate, a baked machine-id.
fn golden_root() -> TempDir {
    let folder = bare_root();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let path = folder.path().join(format!("etc/ssh/ssh_host_{kind}_key"));
        // All of them ed25519 inside: quick to make, and the file name is what counts for removal.
        let key = make(KeyType::Ed25519).unwrap();
        write(&path, key.private.as_bytes(), 0o600);
        write(&path.with_extension("pub"), key.public_line.as_bytes(), 0o644);
    }
    write(&folder.path().join("etc/ssh/ssh_host_rsa_key-cert.pub"), b"ssh-rsa-cert x\n", 0o644);
    write(&folder.path().join("etc/machine-id"), format!("{BAKED_ID}\n").as_bytes(), 0o444);
    write(&folder.path().join("var/lib/dbus/machine-id"), format!("{BAKED_ID}\n").as_bytes(), 0o444);
    folder
}

fn bare_root() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in ["etc/ssh", "usr/sbin", "var/lib/dbus", "var/lib/firstlight"] {
        fs::create_dir_all(folder.path().join(path)).unwrap();
    }
    write(&folder.path().join("usr/sbin/sshd"), b"", 0o755);
    write(&folder.path().join("etc/machine-id"), b"", 0o444);
    write(&folder.path().join("etc/hostname"), b"web-01\n", 0o644);
    folder
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn machine(folder: &Path) -> Machine {
    Machine::open(folder).unwrap()
}

/// Every file below a folder with its bytes, mode and time of change.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, std::time::SystemTime)> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                open.push(path);
            } else if !path.ends_with(paths::LOCK) {
                let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                files.insert(path, (bytes, meta.permissions().mode(), meta.modified().unwrap()));
            }
        }
    }
    files
}

fn ssh_files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.join("etc/ssh"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// ssh-keygen reads the pair, and derives the very public key from the private one.
fn assert_whole_pair(private: &Path) {
    let run = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").args(arguments).arg("-f").arg(private).output().unwrap();
        assert!(output.status.success(), "{private:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let fields = |text: &str| text.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    let public = fs::read_to_string(private.with_extension("pub")).unwrap();
    assert_eq!(fields(&run(&["-y"])), fields(&public));
    let mut listed = public.parse::<ssh_key::PublicKey>().unwrap();
    listed.set_comment("");
    assert!(run(&["-l"]).contains(&listed.fingerprint(ssh_key::HashAlg::Sha256).to_string()));
    assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(private.with_extension("pub")).unwrap().permissions().mode() & 0o7777, 0o644);
}

fn assert_renewed(folder: &Path, baked: &[String]) {
    let expected =
        ["ssh_host_ecdsa_key", "ssh_host_ecdsa_key.pub", "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"];
    assert_eq!(ssh_files(folder), expected);
    for kind in ["ed25519", "ecdsa"] {
        assert_whole_pair(&folder.join(format!("etc/ssh/ssh_host_{kind}_key")));
    }
    let keys = crate::keys::scan(&machine(folder).root).unwrap();
    assert!(keys.keys.iter().all(|key| !baked.contains(&key.fingerprint().unwrap())));
    assert!(!fs::read_to_string(folder.join("etc/machine-id")).unwrap().contains(BAKED_ID));
    assert_eq!(fs::read_link(folder.join("var/lib/dbus/machine-id")).unwrap(), Path::new("/etc/machine-id"));
    let StampState::Valid(stamp) = load_stamp(&machine(folder).root) else { panic!("no stamp") };
    assert_eq!(stamp.pending, ["rsa"]);
    assert_eq!(stamp.host_keys.len(), 2);
}

fn fingerprints(folder: &Path) -> Vec<String> {
    let keys = crate::keys::scan(&machine(folder).root).unwrap();
    keys.keys.iter().filter_map(KeyFile::fingerprint).collect()
}

#[test]
fn a_clean_clone_gets_keys_and_its_machine_id_is_left_to_systemd() {
    let folder = bare_root();
    let outcome = run(&machine(folder.path()));
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.identity.decision, Decision::Renew);
    assert_eq!(outcome.identity.problems, Vec::<String>::new());
    assert_eq!(fs::read(folder.path().join("etc/machine-id")).unwrap(), b"");
    assert_eq!(outcome.identity.ssh_host_keys.len(), 2);
    assert!(!folder.path().join("run").exists(), "a foreign root's /run is left alone");
}

#[test]
fn baked_keys_and_a_baked_machine_id_are_replaced() {
    let folder = golden_root();
    let baked = fingerprints(folder.path());
    let outcome = run(&machine(folder.path()));
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.identity.problems, Vec::<String>::new());
    assert_eq!(outcome.identity.machine_id.state, MachineIdState::Renewed);
    assert_eq!(outcome.identity.removed_host_keys.len(), 3);
    assert_renewed(folder.path(), &baked);
    assert!(!serde_json::to_string(&outcome).unwrap().contains(BAKED_ID));
}

#[test]
fn a_second_run_writes_nothing() {
    let folder = golden_root();
    run(&machine(folder.path()));
    let before = snapshot(folder.path());
    let outcome = run(&machine(folder.path()));
    assert_eq!(outcome.identity.decision, Decision::Keep);
    assert_eq!(outcome.identity.pending, ["rsa"]);
    assert!(plan(&observe(&machine(folder.path()))).changes_nothing());
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn a_clone_of_a_live_guest_is_renewed() {
    let folder = golden_root();
    run(&machine(folder.path()));
    let first = fingerprints(folder.path());
    write(&folder.path().join("etc/machine-id"), format!("{}\n", "9".repeat(32)).as_bytes(), 0o644);
    let outcome = run(&machine(folder.path()));
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Renew, None));
    assert!(fingerprints(folder.path()).iter().all(|key| !first.contains(key)));
}

#[test]
fn known_keys_of_the_golden_go_even_with_an_unreadable_stamp() {
    let folder = golden_root();
    let baked = fingerprints(folder.path());
    fs::create_dir_all(folder.path().join("usr/lib/firstlight")).unwrap();
    let golden = serde_json::json!({"version": 1, "host_keys": [baked[1]], "hostnames": ["web-01"]});
    fs::write(folder.path().join("usr/lib/firstlight/golden.json"), golden.to_string()).unwrap();
    fs::write(folder.path().join("var/lib/firstlight/stamp.json"), "{").unwrap();
    let outcome = run(&machine(folder.path()));
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::UnknownHistory, None));
    assert_eq!(outcome.identity.removed_host_keys, [baked[1].clone()]);
    let now = fingerprints(folder.path());
    assert!(now.contains(&baked[0]) && now.contains(&baked[2]) && !now.contains(&baked[1]));
    assert!(outcome.identity.problems.iter().any(|problem| problem.contains("unknown history")));
    assert!(outcome.identity.problems.iter().any(|problem| problem.contains("golden's")));
    assert_eq!(fs::read(folder.path().join("var/lib/firstlight/stamp.json")).unwrap(), b"{");
}

#[test]
fn half_done_leftovers_are_cleaned_and_torn_keys_made_again() {
    let folder = bare_root();
    run(&machine(folder.path()));
    let ssh = folder.path().join("etc/ssh");
    fs::write(ssh.join(".ssh_host_rsa_key.firstlight-new"), "torn").unwrap();
    fs::write(ssh.join("ssh_host_ecdsa_key"), "").unwrap();
    fs::remove_file(ssh.join("ssh_host_ed25519_key.pub")).unwrap();
    let before = fingerprints(folder.path());
    let outcome = run(&machine(folder.path()));
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Keep, None));
    assert_whole_pair(&ssh.join("ssh_host_ed25519_key"));
    assert_whole_pair(&ssh.join("ssh_host_ecdsa_key"));
    assert_eq!(ssh_files(folder.path()).len(), 4);
    let ed25519 = outcome.identity.ssh_host_keys.iter().find(|key| key.kind == "ssh-ed25519").unwrap();
    assert!(before.contains(&ed25519.fingerprint), "a key that was whole is kept");
}

#[test]
fn a_root_without_an_ssh_server_is_no_failure() {
    let folder = bare_root();
    fs::remove_file(folder.path().join("usr/sbin/sshd")).unwrap();
    let outcome = run(&machine(folder.path()));
    assert_eq!(outcome.failure, None);
    assert_eq!(ssh_files(folder.path()), Vec::<String>::new());
    assert!(matches!(load_stamp(&machine(folder.path()).root), StampState::Valid(_)));
}

#[test]
fn symlinks_out_of_the_root_stay_inside() {
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("ssh_host_rsa_key"), b"precious", 0o600);
    for target in [outside.path().to_path_buf(), PathBuf::from("../../../../../../../tmp")] {
        let folder = bare_root();
        fs::remove_dir(folder.path().join("etc/ssh")).unwrap();
        symlink(&target, folder.path().join("etc/ssh")).unwrap();
        let before = snapshot(outside.path());
        let outcome = run(&machine(folder.path()));
        assert_eq!(snapshot(outside.path()), before);
        // Inside the root the link leads nowhere: no key could be made, and that is said.
        assert_eq!(outcome.failure.unwrap().code, "no-host-key");
        assert!(matches!(load_stamp(&machine(folder.path()).root), StampState::None));
    }
    let folder = bare_root();
    fs::create_dir_all(folder.path().join("data/ssh")).unwrap();
    fs::remove_dir(folder.path().join("etc/ssh")).unwrap();
    symlink("/data/ssh", folder.path().join("etc/ssh")).unwrap();
    assert_eq!(run(&machine(folder.path())).failure, None);
    assert_whole_pair(&folder.path().join("data/ssh/ssh_host_ed25519_key"));
}

#[test]
fn a_key_that_is_a_symlink_is_replaced_itself() {
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("victim"), b"precious", 0o644);
    let folder = golden_root();
    let key = folder.path().join("etc/ssh/ssh_host_ed25519_key");
    fs::remove_file(&key).unwrap();
    symlink(outside.path().join("victim"), &key).unwrap();
    assert_eq!(run(&machine(folder.path())).failure, None);
    assert_whole_pair(&key);
    assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"precious");
}

/// The heart of it: cut off before any effect, the next run ends whole; and at no point does a stamp say that all is
/// done while a baked key is there, nor stands a private key beside a public one of another pair.
#[test]
fn a_run_cut_off_at_any_effect_is_made_good_by_the_next() {
    let mut effects = 0;
    loop {
        let folder = golden_root();
        let baked = fingerprints(folder.path());
        let root = Root::open(folder.path(), Fuse::blowing_after(effects)).unwrap();
        let cut = Machine { root, live: false, made_up: None };
        run(&cut);
        let finished = !cut.root.fuse.has_struck();
        let left = crate::keys::scan(&machine(folder.path()).root).unwrap();
        for key in &left.keys {
            let mixed = key.public.is_some() && !matches!(key.private, crate::keys::Private::Absent);
            assert!(!mixed || key.is_whole(), "after {effects} effects {} is a mixed pair", key.name);
        }
        if let StampState::Valid(_) = load_stamp(&machine(folder.path()).root) {
            let now = fingerprints(folder.path());
            assert!(now.iter().all(|key| !baked.contains(key)), "stamped with a baked key after {effects}");
        }
        let outcome = run(&machine(folder.path()));
        assert_eq!(outcome.failure, None, "after {effects} effects");
        assert_renewed(folder.path(), &baked);
        let before = snapshot(folder.path());
        run(&machine(folder.path()));
        assert_eq!(snapshot(folder.path()), before, "a run too many after {effects} effects");
        if finished {
            break;
        }
        effects += 1;
    }
    assert!(effects > 25, "only {effects} effects were seen");
}

#[test]
fn the_pending_rsa_key_is_made_once_and_stamped() {
    let folder = bare_root();
    let outcome = run(&machine(folder.path()));
    let made = make_pending(&machine(folder.path()), &outcome.identity.pending);
    assert_eq!((made.made, made.problems), (true, Vec::new()));
    let private = folder.path().join("etc/ssh/ssh_host_rsa_key");
    assert_whole_pair(&private);
    let StampState::Valid(stamp) = load_stamp(&machine(folder.path()).root) else { panic!("no stamp") };
    assert_eq!((stamp.pending.len(), stamp.host_keys.len()), (0, 3));
    let again = make_pending(&machine(folder.path()), &outcome.identity.pending);
    assert!(!again.made && again.problems.is_empty());

    // OpenSSL judges the arithmetic.
    let pem = folder.path().join("rsa.pem");
    fs::copy(&private, &pem).unwrap();
    let convert =
        Command::new("ssh-keygen").args(["-p", "-m", "PEM", "-N", "", "-P", "", "-f"]).arg(&pem).output();
    assert!(convert.unwrap().status.success());
    if let Ok(output) = Command::new("openssl").args(["rsa", "-check", "-noout", "-in"]).arg(&pem).output() {
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("RSA key ok"), "{text}");
    }
}
