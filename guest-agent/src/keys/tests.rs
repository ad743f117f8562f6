//! Whole identity runs on roots whose sshd_config says where the keys are; OpenSSH and OpenSSL judge.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::identity;
use crate::sys::{Fuse, Machine, Root};

fn root(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "usr/sbin/sshd", b"");
    put(folder.path(), "etc/machine-id", b"");
    put(folder.path(), "etc/hostname", b"web-01\n");
    put(folder.path(), "etc/ssh/sshd_config", config.as_bytes());
    fs::create_dir_all(folder.path().join("var/lib/firstlight")).unwrap();
    folder
}

fn put(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Puts a pair there as a golden has it; its fingerprint.
fn bake(root: &Path, path: &str, kind: KeyType) -> String {
    let key = make(kind).unwrap();
    put(root, path, key.private.as_bytes());
    put(root, &format!("{path}.pub"), key.public_line.as_bytes());
    key.fingerprint()
}

fn machine(root: &Path) -> Machine {
    Machine::open(root).unwrap()
}

fn run(root: &Path) -> identity::Outcome {
    identity::run(&machine(root))
}

/// `ssh-keygen -l` of a private key, which must belong to the public one beside it: fingerprint and type.
fn judged(private: &Path) -> (String, String) {
    let keygen = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").args(arguments).arg("-f").arg(private).output().unwrap();
        assert!(output.status.success(), "{private:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let public = fs::read_to_string(format!("{}.pub", private.display())).unwrap();
    let derived = keygen(&["-y"]);
    assert_eq!(derived.split(' ').nth(1).unwrap().trim(), public.split(' ').nth(1).unwrap().trim());
    let listed = keygen(&["-l"]);
    let words: Vec<&str> = listed.split_whitespace().collect();
    (words[1].to_owned(), words.last().unwrap().trim_matches(['(', ')']).to_owned())
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
fn keys_are_renewed_where_sshd_looks_for_them_and_nowhere_else() {
    let folder = root("Include sshd_config.d/*.conf\n");
    put(folder.path(), "etc/ssh/sshd_config.d/keys.conf", b"HostKey /data/keys/id_ed25519\n");
    let elsewhere = bake(folder.path(), "data/keys/id_ed25519", KeyType::Ed25519);
    let usual = bake(folder.path(), "etc/ssh/ssh_host_ecdsa_key", KeyType::Ecdsa);
    let outcome = run(folder.path());
    assert_eq!((outcome.failure, outcome.identity.problems), (None, Vec::new()));
    assert_eq!(files(&folder.path().join("etc/ssh")), ["sshd_config", "sshd_config.d"]);
    let (fingerprint, kind) = judged(&folder.path().join("data/keys/id_ed25519"));
    assert_eq!(kind, "ED25519");
    assert_eq!(outcome.identity.ssh_host_keys[0].fingerprint, fingerprint);
    assert_eq!(outcome.identity.ssh_host_keys.len(), 1);
    assert!(outcome.identity.removed_host_keys.contains(&elsewhere));
    assert!(outcome.identity.removed_host_keys.contains(&usual));
    assert_eq!(outcome.identity.pending, Vec::<String>::new());
}

#[test]
fn guest_toml_may_name_more_types_than_sshd_config() {
    let folder = root("HostKey /etc/ssh/ssh_host_ed25519_key\n");
    put(folder.path(), "etc/firstlight/guest.toml", b"[ssh_host_keys]\ntypes = [\"ecdsa\", \"ed25519\"]\n");
    assert_eq!(run(folder.path()).failure, None);
    judged(&folder.path().join("etc/ssh/ssh_host_ecdsa_key"));
    judged(&folder.path().join("etc/ssh/ssh_host_ed25519_key"));

    let folder = root("");
    put(folder.path(), "etc/firstlight/guest.toml", b"[ssh_host_keys]\ntypes = [\"ecdsa\"]\n");
    let outcome = run(folder.path());
    assert_eq!((outcome.failure, outcome.identity.pending), (None, Vec::new()));
    assert_eq!(files(&folder.path().join("etc/ssh")).len(), 3);
}

#[test]
fn the_type_comes_from_what_is_there_then_from_the_name() {
    let folder = root("HostKey /keys/first\nHostKey /keys/second\nHostKey /keys/host-rsa.pem\n");
    bake(folder.path(), "keys/first", KeyType::Ecdsa);
    // Only its public half is left of it.
    bake(folder.path(), "keys/second", KeyType::Ed25519);
    fs::remove_file(folder.path().join("keys/second")).unwrap();
    let outcome = run(folder.path());
    assert_eq!((outcome.failure, outcome.identity.problems), (None, Vec::new()));
    assert_eq!(judged(&folder.path().join("keys/first")).1, "ECDSA");
    assert_eq!(judged(&folder.path().join("keys/second")).1, "ED25519");
    assert_eq!(outcome.identity.pending, ["rsa"]);
    let made = identity::make_pending(&machine(folder.path()), &outcome.identity.pending);
    assert_eq!((made.made, made.problems), (true, Vec::new()));
    assert_eq!(judged(&folder.path().join("keys/host-rsa.pem")).1, "RSA");
}

#[test]
fn a_key_of_unknown_type_goes_and_is_a_problem() {
    let folder = root("HostKey /keys/mine\nHostKey /etc/ssh/ssh_host_ed25519_key\n");
    put(folder.path(), "keys/mine", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let outcome = run(folder.path());
    assert_eq!(outcome.failure, None);
    assert!(outcome.identity.problems.iter().any(|problem| problem.contains("/keys/mine is not made")));
    assert_eq!(files(&folder.path().join("keys")), Vec::<String>::new());
}

#[test]
fn two_keys_of_a_type_are_one_too_many() {
    let folder = root("HostKey /etc/ssh/ssh_host_ed25519_key\nHostKey /keys/ed25519\n");
    bake(folder.path(), "keys/ed25519", KeyType::Ed25519);
    let outcome = run(folder.path());
    assert_eq!(outcome.failure, None);
    assert!(outcome.identity.problems.iter().any(|problem| problem.contains("a second one of type ed25519")));
    judged(&folder.path().join("etc/ssh/ssh_host_ed25519_key"));
    assert_eq!(files(&folder.path().join("keys")), Vec::<String>::new());
}

#[test]
fn a_link_to_another_volume_stays_a_link() {
    let folder = root("");
    let baked = bake(folder.path(), "data/ssh/ssh_host_ed25519_key", KeyType::Ed25519);
    let ssh = folder.path().join("etc/ssh");
    for (name, target) in [
        ("ssh_host_ed25519_key", "/data/ssh/ssh_host_ed25519_key"),
        ("ssh_host_ed25519_key.pub", "../../data/ssh/ssh_host_ed25519_key.pub"),
        // A golden whose key was removed: the link leads to nothing, in a folder that is there.
        ("ssh_host_ecdsa_key", "/data/ssh/ecdsa"),
    ] {
        symlink(target, ssh.join(name)).unwrap();
    }
    let outcome = run(folder.path());
    assert_eq!((outcome.failure, outcome.identity.problems), (None, Vec::new()));
    for name in ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "ssh_host_ecdsa_key"] {
        assert!(fs::symlink_metadata(ssh.join(name)).unwrap().is_symlink(), "{name}");
    }
    let data = folder.path().join("data/ssh");
    assert_eq!(files(&data), ["ecdsa", "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]);
    assert_ne!(judged(&data.join("ssh_host_ed25519_key")).0, baked);
    let again = run(folder.path());
    assert_eq!(again.identity.ssh_host_keys, outcome.identity.ssh_host_keys);
}

#[test]
fn a_file_that_is_no_key_is_left_alone() {
    let folder =
        root("HostKey /etc/passwd\nHostKey /srv\nHostKey none\nHostKey /etc/ssh/ssh_host_ed25519_key\n");
    put(folder.path(), "etc/passwd", b"root:x:0:0::/:/bin/sh\n");
    put(folder.path(), "srv/precious", b"x");
    symlink("../passwd", folder.path().join("etc/ssh/ssh_host_ed25519_key")).unwrap();
    let outcome = run(folder.path());
    assert_eq!(outcome.failure, None);
    assert_eq!(fs::read(folder.path().join("etc/passwd")).unwrap(), b"root:x:0:0::/:/bin/sh\n");
    let problems = outcome.identity.problems;
    assert!(
        problems.iter().any(|problem| problem.contains("/etc/passwd is named as a host key and is none"))
    );
    assert!(problems.iter().any(|problem| problem.contains("/srv is named as a host key and is no file")));
    assert_eq!(judged(&folder.path().join("etc/ssh/ssh_host_ed25519_key")).1, "ED25519");
}

#[test]
fn a_key_that_an_agent_holds_is_said() {
    let folder = root(
        "HostKeyAgent /run/agent\nHostKey /etc/hsm.pub\nHostKey /etc/hsm2\nHostKey /etc/ssh/ssh_host_ed25519_key\n",
    );
    let public = make(KeyType::Ecdsa).unwrap().public_line;
    put(folder.path(), "etc/hsm.pub", public.as_bytes());
    put(folder.path(), "etc/hsm2.pub", public.as_bytes());
    let outcome = run(folder.path());
    assert_eq!(outcome.failure, None);
    let by_agent = outcome.identity.problems.iter().filter(|problem| problem.contains("held by an agent"));
    assert_eq!(by_agent.count(), 2, "{:?}", outcome.identity.problems);
    assert!(folder.path().join("etc/hsm.pub").exists() && !folder.path().join("etc/hsm2").exists());
}

#[test]
fn certificates_go_with_their_key_wherever_they_are() {
    let folder = root("HostCertificate /pki/host.pub\nHostCertificate /pki/other.pub\n");
    bake(folder.path(), "etc/ssh/ssh_host_ed25519_key", KeyType::Ed25519);
    bake(folder.path(), "ca", KeyType::Ed25519);
    let key = folder.path().join("etc/ssh/ssh_host_ed25519_key");
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(folder.path().join("ca"))
        .args(["-h", "-I", "x", "-n", "x"])
        .arg(key.with_extension("pub"))
        .status();
    assert!(signed.unwrap().success());
    let made = fs::read(folder.path().join("etc/ssh/ssh_host_ed25519_key-cert.pub")).unwrap();
    put(folder.path(), "pki/host.pub", &made);
    put(folder.path(), "pki/other.pub", b"what is this");
    let outcome = run(folder.path());
    assert_eq!(outcome.failure, None);
    assert_eq!(files(&folder.path().join("pki")), ["other.pub"], "{:?}", outcome.identity.problems);
    assert!(!folder.path().join("etc/ssh/ssh_host_ed25519_key-cert.pub").exists());
    assert!(outcome.identity.problems.iter().any(|problem| problem.contains("/pki/other.pub belongs to no")));
}

#[test]
fn a_configuration_that_was_not_read_whole_is_never_taken_for_one_without_keys() {
    let long = "# x\n".repeat(60_000);
    let folder = root(&format!("{long}HostKey /keys/ed25519\n"));
    bake(folder.path(), "keys/ed25519", KeyType::Ed25519);
    assert_eq!(run(folder.path()).failure.unwrap().code, "host-keys-unreadable");
}

/// sshd cannot load these either: they lock nobody out.
#[test]
fn what_nobody_can_load_as_a_key_is_told_and_left() {
    let folder = root("HostKey /keys/ed25519\nHostKey /etc/ssh/ssh_host_ecdsa_key\n");
    put(folder.path(), "keys/ed25519", &vec![b'-'; 2 << 20]);
    symlink("/var", folder.path().join("etc/ssh/ssh_host_old_key")).unwrap();
    symlink("ssh_host_loop_key", folder.path().join("etc/ssh/ssh_host_loop_key")).unwrap();
    let outcome = run(folder.path());
    assert_eq!(outcome.failure, None, "{:?}", outcome.identity.problems);
    assert!(outcome.identity.problems.iter().any(|problem| problem.contains("/keys/ed25519")));
    assert_eq!(fs::metadata(folder.path().join("keys/ed25519")).unwrap().len(), 2 << 20);
}

/// A `HostKey` line may name anything: only what is a private key goes, and beside it only what is a part of it.
#[test]
fn files_that_are_no_keys_are_never_removed() {
    let folder = root(
        "HostKey /srv/ca.pem\nHostKey /srv/empty\nHostKey /srv/brochure\nHostKey /srv/bag_rsa\nHostKey /etc/ssh/ssh_host_ecdsa_key\n",
    );
    let certificate = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    put(folder.path(), "srv/ca.pem", certificate);
    put(folder.path(), "srv/empty", b"");
    put(folder.path(), "srv/brochure.pub", b"precious");
    put(
        folder.path(),
        "srv/bag_rsa",
        b"Bag Attributes\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
    );
    let outcome = run(folder.path());
    assert_eq!(outcome.failure, None, "{:?}", outcome.identity.problems);
    assert_eq!(fs::read(folder.path().join("srv/ca.pem")).unwrap(), certificate);
    assert_eq!(fs::read(folder.path().join("srv/brochure.pub")).unwrap(), b"precious");
    assert!(folder.path().join("srv/empty").exists());
    assert!(!folder.path().join("srv/bag_rsa").exists(), "sshd would serve it");
}

/// As the test of the usual places in `identity`, for keys elsewhere: one on another volume behind a link.
#[test]
fn a_run_cut_off_anywhere_is_made_good_for_keys_elsewhere() {
    let mut effects = 0;
    loop {
        let folder = root("HostKey /data/ed25519\nHostKey /etc/ssh/link_ecdsa\n");
        bake(folder.path(), "data/ed25519", KeyType::Ed25519);
        bake(folder.path(), "data/deep/ecdsa", KeyType::Ecdsa);
        symlink("/data/deep/ecdsa", folder.path().join("etc/ssh/link_ecdsa")).unwrap();
        symlink("/data/deep/ecdsa.pub", folder.path().join("etc/ssh/link_ecdsa.pub")).unwrap();
        let baked: Vec<_> = scan(&machine(folder.path()).root).unwrap().keys;
        assert_eq!(baked.len(), 2);
        let cut = Root::open(folder.path(), Fuse::blowing_after(effects)).unwrap();
        let cut = Machine { root: cut, live: false, made_up: None };
        identity::run(&cut);
        let finished = !cut.root.fuse.has_struck();
        for key in scan(&machine(folder.path()).root).unwrap().keys {
            let mixed = key.public.is_some() && key.private != Private::Absent;
            assert!(!mixed || key.is_whole(), "after {effects} effects {} is a mixed pair", key.name);
        }
        let outcome = run(folder.path());
        assert_eq!((outcome.failure, outcome.identity.problems), (None, Vec::new()), "after {effects}");
        let now = scan(&machine(folder.path()).root).unwrap();
        assert!(now.leftovers.is_empty() && now.keys.len() == 2, "after {effects}: {now:?}");
        for key in &now.keys {
            assert!(baked.iter().all(|old| old.fingerprint() != key.fingerprint()));
        }
        assert_eq!(files(&folder.path().join("data")), ["deep", "ed25519", "ed25519.pub"]);
        if finished {
            break;
        }
        effects += 1;
    }
    assert!(effects > 20, "only {effects} effects were seen");
}

/// OpenSSH's and OpenSSL's own tools judge every type that is made; forty of each with FIRSTLIGHT_FULL.
#[test]
fn every_type_is_judged_by_openssh_and_openssl() {
    let rounds = if std::env::var_os("FIRSTLIGHT_FULL").is_some() { 40 } else { 1 };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sshd_config");
    fs::write(&config, "").unwrap();
    for kind in KeyType::ALL.into_iter().flat_map(|kind| std::iter::repeat_n(kind, rounds)) {
        let path = folder.path().join("key");
        let fingerprint = bake(folder.path(), "key", kind);
        assert_eq!(judged(&path), (fingerprint, kind.as_str().to_uppercase()));
        let sshd =
            Command::new("/usr/sbin/sshd").args(["-t", "-f"]).arg(&config).arg("-h").arg(&path).output();
        let sshd = sshd.unwrap();
        assert!(sshd.status.success() && sshd.stderr.is_empty(), "{}", String::from_utf8_lossy(&sshd.stderr));
        if kind == KeyType::Ed25519 {
            assert_openssl_derives(&path);
            continue;
        }
        let converted = Command::new("ssh-keygen")
            .args(["-q", "-p", "-m", "PEM", "-N", "", "-P", "", "-f"])
            .arg(&path)
            .status();
        assert!(converted.unwrap().success());
        let (tool, verdict) =
            if kind == KeyType::Rsa { ("rsa", "RSA key ok") } else { ("ec", "EC Key valid.") };
        let output =
            Command::new("openssl").args([tool, "-check", "-noout", "-in"]).arg(&path).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains(verdict), "{}", String::from_utf8_lossy(&said));
    }
}

/// ssh-keygen writes no ed25519 form that OpenSSL reads: the seed in PKCS#8 (RFC 8410) leads to the same public key.
fn assert_openssl_derives(private: &Path) {
    let key = ssh_key::PrivateKey::from_openssh(fs::read(private).unwrap()).unwrap();
    let pair = key.key_data().ed25519().unwrap();
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend_from_slice(&pair.private.to_bytes());
    let path = private.with_extension("der");
    fs::write(&path, der).unwrap();
    let words = ["pkey", "-inform", "DER", "-pubout", "-outform", "DER", "-in"];
    let output = Command::new("openssl").args(words).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.ends_with(&pair.public.0));
}
