//! Roots that are really mounted in the ways that images differ: read-only until later, /etc as an overlay beside a
//! read-only /usr, the user ids of an unprivileged container. What fails and what only degrades. Needs root.

#![expect(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod golden;

use std::path::Path;
use std::process::{Command, Output};

use golden::{assert_pairs, files, guest_agent, keys_of};

/// In a mount namespace of its own, with the root mounted read-only over itself.
fn run_read_only(root: &Path) -> Output {
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && ! touch \"$1/probe\" 2>/dev/null && \
        exec \"$0\" --root \"$1\" identity";
    Command::new("unshare").args(["-m", "sh", "-c", script, guest_agent()]).arg(root).output().unwrap()
}

fn run(root: &Path) -> Output {
    Command::new(guest_agent()).arg("--root").arg(root).arg("identity").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_key_of_its_own_it_fails_and_mends_itself_when_it_can() {
    for (root, reason) in [
        (golden::baked(), "a host key of the golden is still there"),
        (golden::bare(), "no fresh host key could be made"),
    ] {
        let before = files(root.path());
        let output = run_read_only(root.path());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(reason) && said(&output).contains("Read-only"), "{}", said(&output));
        assert_eq!(files(root.path()), before);
        assert!(run(root.path()).status.success());
        assert_eq!(keys_of(root.path()).len(), 2);
        assert_pairs(root.path(), reason);
    }
}

#[test]
fn a_machine_that_is_itself_boots_on() {
    let root = golden::baked();
    assert!(run(root.path()).status.success());
    let before = files(root.path());
    let output = run_read_only(root.path());
    assert!(output.status.success(), "{}", said(&output));
    // A key that is missing cannot be made: said, and no reason to stop the others.
    std::fs::remove_file(root.path().join("etc/ssh/ssh_host_ecdsa_key")).unwrap();
    let output = run_read_only(root.path());
    assert!(output.status.success() && said(&output).contains("Read-only"), "{}", said(&output));
    assert!(run(root.path()).status.success());
    assert_eq!(keys_of(root.path()).len(), 2);
    assert!(before.len() >= files(root.path()).len());
}

/// As bootc and ostree have it: /etc is an overlay, /usr cannot be written.
#[test]
fn an_overlay_on_etc_beside_a_read_only_usr_is_no_hindrance() {
    let root = golden::baked();
    let layers = golden::bare();
    let baked = keys_of(root.path());
    let script = r#"cd "$2" && mkdir -p upper work && mount --bind "$1/usr" "$1/usr" && mount -o remount,ro,bind "$1/usr" &&
        mount -t overlay overlay -o "lowerdir=$1/etc,upperdir=upper,workdir=work" "$1/etc" &&
        "$0" --root "$1" identity && "$0" --root "$1" plan && ls -A "$1/etc/ssh" >keys && cat "$1/etc/machine-id" >id"#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, guest_agent()])
        .args([root.path(), layers.path()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("problem"), "{}", said(&output));
    assert!(text.contains("nothing would be changed"), "{text}");
    let read = |path: &str| std::fs::read_to_string(layers.path().join(path)).unwrap();
    let expected =
        "ssh_host_ecdsa_key\nssh_host_ecdsa_key.pub\nssh_host_ed25519_key\nssh_host_ed25519_key.pub\n";
    assert_eq!(read("keys"), expected);
    assert!(!read("id").contains("7be07251d758"));
    assert_eq!(keys_of(root.path()), baked, "the layer below is as it was");
}

/// User and group ids shifted by 100000, no rights over the host: as an unprivileged container.
#[test]
fn shifted_user_ids_without_rights_over_the_host_are_no_hindrance() {
    use std::os::unix::fs::MetadataExt;
    let root = golden::baked();
    let chown = |owner: &str| {
        assert!(Command::new("chown").args(["-R", owner]).arg(root.path()).status().unwrap().success());
    };
    chown("100000:100000");
    let container = UserNamespace::shifted_by(100_000);
    // The program where those users may read it.
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("agent");
    // By another process: what this one writes may be open in a child of another test, and is busy then.
    assert!(Command::new("cp").arg(guest_agent()).arg(&program).status().unwrap().success());
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = root.path().to_str().unwrap();
    let output = container.run(&[program.to_str().unwrap(), "--root", path, "identity"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("problem"), "{}", said(&output));
    let key = std::fs::metadata(root.path().join("etc/ssh/ssh_host_ed25519_key")).unwrap();
    assert_eq!((key.uid(), key.gid(), key.mode() & 0o7777), (100_000, 100_000, 0o600));
    assert_eq!(keys_of(root.path()).len(), 2);
    assert_pairs(root.path(), "shifted");
}

/// Held by a process that sleeps; ended with it.
struct UserNamespace(std::process::Child);

impl UserNamespace {
    fn shifted_by(first: u32) -> Self {
        let child = Command::new("unshare").args(["--user", "sleep", "600"]).spawn().unwrap();
        let namespace = Self(child);
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
        let pid = namespace.0.id().to_string();
        let started = std::time::Instant::now();
        while of(&pid) == of("self") {
            assert!(started.elapsed().as_secs() < 60, "no user namespace came");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{pid}/{map}"), format!("0 {first} 65536\n")).unwrap();
        }
        namespace
    }

    /// As its root.
    fn run(&self, command: &[&str]) -> Output {
        let target = self.0.id().to_string();
        let enter = ["--target", &target, "--user", "--setuid", "0", "--setgid", "0"];
        Command::new("nsenter").args(enter).args(command).output().unwrap()
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
