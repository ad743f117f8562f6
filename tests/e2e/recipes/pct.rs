//! packaging/pct: against a node that is played, on a real Debian whose owners are shifted.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use firstlight_tests::golden::Variant;
use firstlight_tests::paths;
use firstlight_tests::run::{self, Ran};
use tempfile::TempDir;

use super::{assert_clones_are_their_own, errors};
use crate::support::archive;

const SHIFT: u32 = 100_000;
const CONFIG: &str = "arch: amd64\nfeatures: nesting=1,keyctl=1\nhostname: builder\nmemory: 512\n\
    net0: name=eth0,bridge=vmbr0,ip=dhcp,type=veth\nostype: debian\nrootfs: local:9100/vm-9100-disk-0.raw,size=4G\n";

/// A node with one container.
struct Node {
    folder: TempDir,
}

impl Node {
    fn new(config: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-node-").tempdir().unwrap();
        // The container's root has to come through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("config"), config).unwrap();
        fs::write(folder.path().join("status"), "stopped").unwrap();
        fs::create_dir_all(folder.path().join("root")).unwrap();
        Self { folder }
    }

    /// With nothing in the container but what makes it one, and an agent that only says that it was called.
    fn small(config: &str) -> Self {
        let node = Self::new(config);
        fs::create_dir(node.path("root/etc")).unwrap();
        lchown(node.path("root/etc"), Some(SHIFT), Some(SHIFT)).unwrap();
        let agent = "#!/bin/sh\n[ ! -e \"$FAKE_NODE/seal-fails\" ] && echo \"agent $(id -u) $*\"\n";
        fs::write(node.path("agent"), agent).unwrap();
        fs::set_permissions(node.path("agent"), fs::Permissions::from_mode(0o755)).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, agent: &Path, words: &[&str], fails: &str) -> Ran {
        let fakes = paths::root().join("tests/e2e/recipes/fakes");
        let path =
            format!("{}:{}:/usr/bin:/bin:/usr/sbin:/sbin", self.path("bin").display(), fakes.display());
        let mut script = Command::new(paths::root().join("packaging/pct/golden-from-container"));
        script.arg("--agent").arg(agent).args(words);
        script.env("PATH", path).env("FAKE_NODE", self.folder.path()).env("FAKE_FAILS", fails);
        run::run(&mut script).unwrap()
    }

    /// The first words of what the node was told, in order.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    }
}

fn shift(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        if about.uid() >= SHIFT {
            continue; // another name of a file that was here before
        }
        lchown(&path, Some(about.uid() + SHIFT), Some(about.gid() + SHIFT)).unwrap();
        if about.is_dir() {
            shift(&path);
        } else if about.is_file() {
            fs::set_permissions(&path, about.permissions()).unwrap(); // a new owner takes setuid away
        }
    }
}

/// Names in an archive whose owner is this one.
fn owned_by(archive: &Path, owner: &str) -> Vec<String> {
    let listed = run::must(run::command(["tar", "--numeric-owner", "-tvf"]).arg(archive)).unwrap();
    let lines = listed.lines().filter(|line| line.split_whitespace().nth(1) == Some(owner));
    lines.filter_map(|line| line.split_whitespace().nth(5)).map(str::to_owned).collect()
}

#[test]
fn a_stopped_container_becomes_a_golden_whose_files_are_its_own_roots() {
    let node = Node::new(&format!("{CONFIG}unprivileged: 1\n"));
    let root = node.path("root");
    run::must(
        run::command(["tar", "-x", "--numeric-owner", "-f"])
            .arg(archive(Variant::Stock))
            .arg("-C")
            .arg(&root),
    )
    .unwrap();
    shift(&root);
    lchown(&root, Some(SHIFT), Some(SHIFT)).unwrap();
    let agent = paths::given(paths::GUEST_VARIABLE);

    let tried = node.script(&agent, &["--dry-run", "9100"], "");
    assert!(tried.ok(), "{}", tried.said());
    assert_eq!(node.calls(), ["pct status", "pct config", "pct mount", "pct unmount"]);
    assert!(
        !root.join("usr/bin/firstlight-guest").exists() && root.join("etc/ssh/ssh_host_rsa_key").exists()
    );
    fs::remove_file(node.path("calls")).unwrap();

    let made = node.script(&agent, &["9100", "--dumpdir", "dump"], "");
    assert!(made.ok(), "{}", made.said());
    assert_eq!(node.calls(), ["pct status", "pct config", "pct mount", "pct unmount", "vzdump 9100"]);
    let told = fs::read_to_string(node.path("calls")).unwrap();
    assert!(told.ends_with("vzdump 9100 --mode stop --compress zstd --dumpdir dump\n"), "{told}");
    let backup = node.path("dump/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst");
    assert!(made.stdout.contains(&format!("firstlight golden lint {}", backup.display())), "{}", made.said());

    // All that is said of this Debian is that it has no network of Proxmox's kind.
    assert_eq!(errors(&backup), ["no-ifupdown /etc/network/interfaces"]);
    assert!(owned_by(&backup, "0/0").iter().any(|name| name == "./usr/bin/firstlight-guest"));
    assert_eq!(owned_by(&backup, "65534/65534"), ["./etc/vzdump/pct.conf", "./etc/vzdump/pct.fw"]);

    // The other way, from a backup; sealed again, which changes nothing.
    let golden = node.path("vzdump-lxc-9101-2026_11_21-12_00_00.tar.zst");
    let mut script = Command::new(paths::root().join("packaging/pct/golden-from-archive"));
    let again = run::run(script.arg(&agent).arg(&backup).arg(&golden)).unwrap();
    assert!(again.ok(), "{}", again.said());
    assert_eq!(errors(&golden), ["no-ifupdown /etc/network/interfaces"]);
    let names = |archive: &Path| {
        let listed = run::must(run::command(["tar", "-tf"]).arg(archive)).unwrap();
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        assert!(names[0].starts_with("./etc/vzdump/"), "{}", names[0]);
        names.sort();
        names.retain(|name| name != "./etc/vzdump/");
        names
    };
    assert_eq!(names(&backup), names(&golden));
    assert_clones_are_their_own(&golden);
}

#[test]
fn whatever_fails_the_container_is_unmounted_and_only_what_is_sealed_is_backed_up() {
    let (looks, mounts) = (["pct status", "pct config"], ["pct mount", "pct unmount"]);
    for (fails, calls, says) in [
        ("status", &looks[..1], "fake: status fails"),
        ("config", &looks[..], "fake: config fails"),
        ("mount", &[looks, mounts].concat(), "fake: mount fails"),
        ("seal", &[looks, mounts].concat(), ""),
        ("unmount", &[&looks[..], &mounts[..], &mounts[1..]].concat(), "is still mounted"),
        (
            "vzdump",
            &[&looks[..], &mounts[..], &["vzdump 9100"]].concat(),
            "is sealed, and could not be backed up",
        ),
    ] {
        let node = Node::small(CONFIG);
        if fails == "seal" {
            fs::write(node.path("seal-fails"), "").unwrap();
        }
        let ran = node.script(&node.path("agent"), &["9100"], fails);
        assert!(!ran.ok(), "{fails}: {}", ran.said());
        assert_eq!(node.calls(), calls, "{fails}: {}", ran.said());
        assert!(ran.stderr.contains(says), "{fails}: {}", ran.said());
        assert_eq!(node.path("mounted").exists(), fails == "unmount", "{fails}");
    }
}

#[test]
fn a_container_that_is_no_golden_to_be_is_left_alone() {
    for (status, more, says) in [
        ("running", "", "is not stopped"),
        ("stopped", "lock: backup\n", "is locked (backup)"),
        ("stopped", "template: 1\n", "is a template"),
        ("stopped", "unprivileged: 1\nlxc.idmap: u 0 200000 65536\n", "a map of owners of its own"),
    ] {
        let node = Node::small(&format!("{CONFIG}{more}"));
        fs::write(node.path("status"), status).unwrap();
        let ran = node.script(&node.path("agent"), &["9100"], "");
        assert_eq!(ran.code, 1, "{}", ran.said());
        assert!(ran.stderr.contains(says) && ran.stderr.contains("hint: "), "{}", ran.said());
        assert!(!node.calls().contains(&"pct mount".to_owned()), "{:?}", node.calls());
    }
    for words in [&["--keep", "a b", "9100"][..], &["--wrong", "9100"], &["9100x"], &[]] {
        let node = Node::small(CONFIG);
        let ran = node.script(&node.path("agent"), words, "");
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.said());
        assert!(node.calls().is_empty());
    }
}

#[test]
fn the_agent_is_told_what_to_keep_as_root_of_the_container_and_the_companion_looks_if_it_is_there() {
    for more in ["", "unprivileged: 1\n"] {
        let node = Node::small(&format!("{CONFIG}{more}"));
        fs::create_dir(node.path("bin")).unwrap();
        symlink("/bin/echo", node.path("bin/firstlight")).unwrap();
        let words = ["--keep", "authorized-keys", "--keep", "machine-id", "9100"];
        let ran = node.script(&node.path("agent"), &words, "");
        assert!(ran.ok(), "{}", ran.said());
        let root = node.path("root");
        let told =
            format!("agent 0 --root {} seal --keep=authorized-keys --keep=machine-id\n", root.display());
        assert!(ran.stdout.contains(&told), "{}", ran.said());
        let backup = node.path("dump/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst");
        assert!(ran.stdout.contains(&format!("golden lint {}", backup.display())), "{}", ran.said());
    }
}
