//! SSH host keys on real boots of Debian 13: what sshd serves, wherever its keys are, and what a reload costs.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::guest::bare::{Booted, Root};
use firstlight_tests::{run, wait};

use sha2::Digest as _;

use crate::support::{host_keys, unpacked};

/// The tests' own knocking must not be punished; that the agent's is not, is proved where this is not set.
const UNPUNISHED: &[u8] = b"PerSourcePenalties no\nMaxStartups 1000\n";

/// The report of this boot, once there is one.
fn report(guest: Leader, booted: &Booted) -> serde_json::Value {
    wait::until("the report", Duration::from_secs(120), || {
        let text = guest.run(&["/usr/bin/cat", "/run/firstlight/report.json"]).ok()?.stdout;
        let envelope: serde_json::Value = serde_json::from_str(&text).ok()?;
        serde_json::from_str(envelope["report"].as_str()?).ok()
    })
    .unwrap_or_else(|error| panic!("{error}; its console says:\n{}", booted.console()))
}

/// A golden with host keys of its own. Bare guests have no default route: nothing is to wait for it.
fn baked() -> Root {
    let root = unpacked(Variant::Baked);
    put(&root, "etc/firstlight/guest.toml", b"[checks]\nskip = [\"network\"]\n");
    root
}

fn assert_passed(report: &serde_json::Value) {
    let (verdict, reason) = sshd_check(report);
    assert_eq!(verdict, "pass", "{reason}; {:#}; {:#}", report["checks"], report["identity"]);
}

fn sshd_check(report: &serde_json::Value) -> (&str, &str) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == "sshd").unwrap();
    (check["verdict"].as_str().unwrap(), check["reason"].as_str().unwrap())
}

/// Public keys without comment that `ssh-keyscan` sees, sorted.
fn scanned(booted: &Booted, port: u16) -> Vec<String> {
    let scan = booted.in_network(move || {
        let mut scan = run::command(["ssh-keyscan", "-T", "10", "-t", "ed25519,ecdsa,rsa"]);
        run::run(scan.args(["-p", &port.to_string(), "127.0.0.1"])).map(|ran| ran.stdout)
    });
    let text = scan.join().unwrap().unwrap().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut keys: Vec<String> = lines.filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect();
    keys.sort();
    keys
}

fn reported(report: &serde_json::Value) -> Vec<String> {
    let keys = report["identity"]["ssh_host_keys"].as_array().unwrap();
    let mut keys: Vec<String> =
        keys.iter().map(|key| key["public_key"].as_str().unwrap().to_owned()).collect();
    keys.sort();
    keys
}

/// Connects again and again from the first success on: how many came through, were refused, and the longest gap.
#[derive(Debug, Default)]
struct Knocking {
    connected: u32,
    refused: u32,
    gap: Duration,
}

fn knock(until: &AtomicBool) -> Knocking {
    let address = SocketAddr::from(([127, 0, 0, 1], 22));
    let mut seen = Knocking::default();
    let mut last = None;
    while !until.load(Ordering::Relaxed) {
        match TcpStream::connect(address) {
            // Closed at once: sshd sees a client that goes away, and a kernel that accepts is all that is asked.
            Ok(stream) => {
                drop(stream);
                seen.connected += 1;
                let now = Instant::now();
                if seen.refused > 0 {
                    seen.gap = seen.gap.max(last.map_or(Duration::ZERO, |last| now - last));
                }
                last = Some(now);
                // A hundred connections in a second would reach MaxStartups; a gap is watched more closely.
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(_) if last.is_some() => {
                seen.refused += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    seen
}

fn report_while_knocking(booted: &Booted) -> (serde_json::Value, Knocking) {
    let enough = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&enough);
    let knocking = booted.in_network(move || knock(&stop));
    let report = report(booted.leader().unwrap(), booted);
    std::thread::sleep(Duration::from_millis(300));
    enough.store(true, Ordering::Relaxed);
    (report, knocking.join().unwrap().unwrap())
}

#[test]
fn sshd_serves_all_that_was_made_before_the_guest_is_ready() {
    let root = baked();
    // `sshd -t`, which is asked before host certificates are kept, works under the report unit's hardening too.
    put(
        &root,
        "etc/systemd/system/firstlight-report.service.d/test.conf",
        b"[Service]\nExecStopPost=/usr/bin/sh -c '/usr/sbin/sshd -t && echo fine >/run/firstlight/asked'\n",
    );
    put(&root, "etc/ssh/sshd_config.d/test.conf", UNPUNISHED);
    let booted = root.boot("keys").unwrap();
    let (report, seen) = report_while_knocking(&booted);
    assert_passed(&report);
    eprintln!("ssh while sshd reloads for the late key: {seen:?}");
    // About 100 ms. How long a busy machine takes proves nothing: a broken reload ends sshd, which is started again.
    assert!(seen.connected > 5, "{seen:?}");
    let restarts =
        booted.leader().unwrap().run(&["/usr/bin/systemctl", "show", "-P", "NRestarts", "ssh.service"]);
    assert_eq!(restarts.unwrap().stdout.trim(), "0", "{seen:?}");
    assert_eq!(report["identity"]["problems"], serde_json::json!([]));
    let (_, reason) = sshd_check(&report);
    assert!(reason.ends_with("rsa-sha2-512 ecdsa-sha2-nistp256 ssh-ed25519"), "{reason}");
    // At this very moment, not only in a while.
    assert_eq!(scanned(&booted, 22), reported(&report));
    assert_eq!(host_keys(&root).len(), 6);
    let guest = booted.leader().unwrap();
    wait::until("sshd -t to be asked", Duration::from_secs(20), || {
        (guest.run(&["/usr/bin/cat", "/run/firstlight/asked"]).ok()?.stdout.trim() == "fine").then_some(())
    })
    .unwrap();
    age_decrypts(&root, report["identity"]["age_recipient"].as_str().unwrap());
}

/// age itself encrypts to the recipient and decrypts with what ssh-to-age would make of the private key.
fn age_decrypts(root: &Root, recipient: &str) {
    let key = fs::read(root.path().join("etc/ssh/ssh_host_ed25519_key")).unwrap();
    let key = ssh_key::PrivateKey::from_openssh(&key).unwrap();
    assert_eq!(firstlight_shared::age::recipient(key.public_key()).as_deref(), Some(recipient));
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("identity");
    fs::write(&identity, age_identity(&key)).unwrap();
    let derived = run::must(run::command(["age-keygen", "-y"]).arg(&identity)).unwrap();
    assert_eq!(derived.trim(), recipient);
    let (plain, sealed) = (folder.path().join("plain"), folder.path().join("sealed"));
    fs::write(&plain, "secret").unwrap();
    run::must(run::command(["age", "-r", recipient, "-o"]).arg(&sealed).arg(&plain)).unwrap();
    let opened = run::must(run::command(["age", "-d", "-i"]).arg(&identity).arg(&sealed)).unwrap();
    assert_eq!(opened.trim(), "secret");
}

/// `AGE-SECRET-KEY-1...`, as ssh-to-age -private-key makes it: the first half of SHA-512 of the seed.
fn age_identity(key: &ssh_key::PrivateKey) -> String {
    let seed = key.key_data().ed25519().unwrap().private.to_bytes();
    let scalar: [u8; 64] = sha2::Sha512::digest(seed).into();
    let prefix = bech32::Hrp::parse("age-secret-key-").unwrap();
    bech32::encode::<bech32::Bech32>(prefix, &scalar[..32]).unwrap().to_uppercase()
}

#[test]
fn keys_and_port_of_sshd_config_are_honoured() {
    let root = baked();
    put(
        &root,
        "etc/ssh/sshd_config.d/keys.conf",
        b"Port 2222\nListenAddress 127.0.0.1\nHostKey /srv/keys/host_ed25519\nHostKey /srv/keys/link\n",
    );
    fs::create_dir_all(root.path().join("srv/keys/deep")).unwrap();
    for (name, kind) in [("host_ed25519", "ed25519"), ("deep/ecdsa", "ecdsa")] {
        let path = root.path().join("srv/keys").join(name);
        run::must(run::command(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f"]).arg(&path)).unwrap();
    }
    for half in ["", ".pub"] {
        let link = root.path().join(format!("srv/keys/link{half}"));
        std::os::unix::fs::symlink(format!("/srv/keys/deep/ecdsa{half}"), link).unwrap();
    }
    let baked = fs::read_to_string(root.path().join("srv/keys/host_ed25519.pub")).unwrap();
    let booted = root.boot("elsewhere").unwrap();
    let report = report(booted.leader().unwrap(), &booted);
    assert_passed(&report);
    assert_eq!(report["identity"]["problems"], serde_json::json!([]));
    let (_, reason) = sshd_check(&report);
    assert!(reason.starts_with("127.0.0.1 port 2222: SSH-2.0-OpenSSH"), "{reason}");
    assert_eq!(scanned(&booted, 2222), reported(&report));
    assert_eq!(reported(&report).len(), 2);
    assert_eq!(host_keys(&root), Vec::<String>::new(), "baked keys at the usual places go too");
    assert!(!reported(&report).iter().any(|key| baked.starts_with(key.as_str())));
    assert!(root.path().join("srv/keys/link").is_symlink());
}

#[test]
fn socket_activation_serves_all_that_was_made() {
    let root = baked();
    for words in [["disable", "ssh.service"], ["enable", "ssh.socket"]] {
        run::must(run::command(["systemctl", "--root"]).arg(root.path()).args(words)).unwrap();
    }
    put(&root, "etc/ssh/sshd_config.d/test.conf", UNPUNISHED);
    let booted = root.boot("socket").unwrap();
    let (report, seen) = report_while_knocking(&booted);
    let guest = booted.leader().unwrap();
    assert_passed(&report);
    // systemd holds the socket while sshd is restarted for the late key.
    assert!(seen.connected > 5 && seen.refused == 0, "{seen:?}");
    assert_eq!(guest.unit_state("ssh.socket").unwrap(), "active");
    assert_eq!(scanned(&booted, 22), reported(&report));
    assert_eq!(reported(&report).len(), 3);
}

fn put(root: &Root, path: &str, bytes: &[u8]) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
    fs::write(path, bytes).unwrap();
}
