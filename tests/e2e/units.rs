//! systemd's own judgement of our units, by the systemd that will run them.

use std::path::Path;
use std::process::Command;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Boot;
use firstlight_tests::guest::bare::Root;
use firstlight_tests::{paths, run};

use crate::support::unpacked;
use crate::whole::{assert_nobody_listens_for_ssh, boot_as_own_machine, drop_in, put, systemctl};

#[test]
fn systemd_finds_nothing_to_say_about_our_units() {
    let root = unpacked(Variant::Agent);
    let units =
        ["firstlight-gate.target", "firstlight-identity.service", "firstlight-report.service", "ssh.service"];
    let mut verify = Command::new("chroot");
    verify
        .arg(root.path())
        .args(["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes"])
        .args(units);
    let ran = run::run(&mut verify).unwrap();
    let ours: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("firstlight")).collect();
    assert!(ran.ok() && ours.is_empty(), "{}", ran.said());
}

/// Puts the companion's unit into a root, with the drop-in for local guests if that is wanted.
fn put_companion(root: &Root, local_guests: bool) {
    std::fs::copy(paths::given(paths::COMPANION_VARIABLE), root.path().join("usr/bin/firstlight")).unwrap();
    let system = root.path().join("usr/lib/systemd/system");
    std::fs::copy(paths::root().join("units/host/firstlight.service"), system.join("firstlight.service"))
        .unwrap();
    if local_guests {
        std::fs::create_dir(system.join("firstlight.service.d")).unwrap();
        let from = "packaging/systemd/firstlight.service.d/local-guests.conf";
        let to = system.join("firstlight.service.d/local-guests.conf");
        std::fs::copy(paths::root().join(from), to).unwrap();
    }
}

#[test]
fn systemd_finds_nothing_to_say_about_the_companions_unit() {
    for local_guests in [false, true] {
        let root = unpacked(Variant::Control);
        put_companion(&root, local_guests);
        let mut verify = Command::new("chroot");
        verify.arg(root.path()).args(["systemd-analyze", "verify", "--man=no", "firstlight.service"]);
        let ran = run::run(&mut verify).unwrap();
        assert!(ran.ok() && !ran.stderr.contains("firstlight"), "{}", ran.said());
    }
}

#[test]
fn the_companions_unit_is_hardened_and_local_guests_take_back_mount_namespaces() {
    let root = unpacked(Variant::Control);
    put_companion(&root, false);
    assert_exposure(&root, "firstlight.service", 20);
    let root = unpacked(Variant::Control);
    put_companion(&root, true);
    assert_exposure(&root, "firstlight.service", 95);
}

#[test]
fn the_enabled_links_are_those_that_systemctl_makes() {
    let root = unpacked(Variant::Agent);
    for unit in ["firstlight-identity.service", "firstlight-report.service"] {
        let mut enabled = run::command(["chroot"]);
        enabled.arg(root.path()).args(["systemctl", "is-enabled", unit]);
        assert_eq!(run::run(&mut enabled).unwrap().stdout.trim(), "enabled", "{unit}");
        let links = links_to(&root.path().join("etc/systemd/system"), unit);
        run::must(run::command(["chroot"]).arg(root.path()).args(["systemctl", "reenable", unit])).unwrap();
        assert_eq!(links, links_to(&root.path().join("etc/systemd/system"), unit), "{unit}");
    }
}

/// A golden whose only ways in are these units, and its own name for the agent's failure.
fn assert_way_in(name: &str, units: &[&str], prepare: impl Fn(&Root)) {
    let root = unpacked(Variant::Baked);
    prepare(&root);
    let (booted, guest) = boot_as_own_machine(&root, &Boot::named(name));
    for unit in units {
        assert_eq!(guest.final_unit_state(unit).unwrap(), "active", "{unit}");
    }
    drop(booted);

    let root = unpacked(Variant::Baked);
    prepare(&root);
    drop_in(&root, "firstlight-identity.service", "[Service]\nExecStart=\nExecStart=/bin/false\n");
    let booted = root.boot(name).unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(state, "degraded");
    assert_eq!(guest.unit_state("firstlight-identity.service").unwrap(), "failed");
    for unit in units {
        assert_ne!(guest.unit_state(unit).unwrap(), "active", "{unit} is open after boot");
        assert!(!guest.run(&["/usr/bin/systemctl", "start", unit]).unwrap().ok(), "{unit} could be started");
    }
    assert_nobody_listens_for_ssh(guest);
}

/// Debian's own names; the sockets that systemd 257 generates are there beside them.
#[test]
fn ssh_service_and_generated_sockets_wait_for_the_identity() {
    assert_way_in("service", &["ssh.service", "sshd-unix-local.socket"], |_| {});
}

#[test]
fn ssh_socket_with_one_sshd_waits_for_the_identity() {
    assert_way_in("socket", &["ssh.socket"], |root| {
        systemctl(root, &["disable", "ssh.service"]);
        systemctl(root, &["enable", "ssh.socket"]);
    });
}

/// As Fedora and Arch call it.
#[test]
fn sshd_service_waits_for_the_identity() {
    assert_way_in("other-name", &["sshd.service"], |root| {
        systemctl(root, &["disable", "ssh.service"]);
        let system = root.path().join("usr/lib/systemd/system");
        let text = std::fs::read_to_string(system.join("ssh.service")).unwrap();
        std::fs::remove_file(system.join("ssh.service")).unwrap();
        put(root, "usr/lib/systemd/system/sshd.service", &text.replace("Alias=sshd.service", ""));
        systemctl(root, &["enable", "sshd.service"]);
    });
}

/// One sshd for each connection, from the template.
#[test]
fn sshd_socket_with_an_sshd_per_connection_waits_for_the_identity() {
    assert_way_in("template", &["sshd.socket"], |root| {
        systemctl(root, &["disable", "ssh.service"]);
        let system = root.path().join("usr/lib/systemd/system");
        assert!(system.join("sshd@.service").exists());
        let text = "[Socket]\nListenStream=22\nAccept=yes\n[Install]\nWantedBy=sockets.target\n";
        put(root, "usr/lib/systemd/system/sshd.socket", text);
        systemctl(root, &["enable", "sshd.socket"]);
    });
}

/// What a true first boot does where systemd was built to apply presets in full (Fedora).
#[test]
fn presets_that_disable_by_default_leave_us_enabled() {
    let root = unpacked(Variant::Agent);
    put(&root, "usr/lib/systemd/system-preset/99-default.preset", "disable *\n");
    let enabled = |unit| {
        let mut command = run::command(["chroot"]);
        run::run(command.arg(root.path()).args(["systemctl", "is-enabled", unit])).unwrap().ok()
    };
    assert!(enabled("fstrim.timer"));
    systemctl(&root, &["preset-all"]);
    assert!(!enabled("fstrim.timer"), "presets were not applied, so nothing was proved");
    for unit in ["firstlight-identity.service", "firstlight-report.service"] {
        assert!(enabled(unit), "{unit}");
    }
}

/// What a stop by hand or by a package's script would do: take sshd down with it.
#[test]
fn a_restart_of_the_identity_unit_is_refused_and_ssh_runs_on() {
    let root = unpacked(Variant::Baked);
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("restart"));
    for unit in ["firstlight-identity.service", "firstlight-gate.target"] {
        for verb in ["restart", "try-restart", "stop"] {
            let ran = guest.run(&["/usr/bin/systemctl", verb, unit]).unwrap();
            assert!(!ran.ok(), "{verb} {unit} was done");
        }
    }
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active");
}

/// Tenths of systemd's own measure, which must not be exceeded.
fn assert_exposure(root: &Root, unit: &str, limit: u32) {
    let mut command = run::command(["unshare", "--mount", "sh", "-c"]);
    command.arg(r#"mount -t proc proc "$1/proc"; exec chroot "$1" systemd-analyze security --offline=yes --no-pager --threshold="$2" "$3""#);
    command.arg("sh").arg(root.path()).args([limit.to_string().as_str(), unit]);
    let ran = run::run(&mut command).unwrap();
    assert!(ran.ok() && ran.stdout.contains("Overall exposure level"), "{}", ran.said());
}

/// Exposure as systemd counts it, and no option that would need a mount namespace.
#[test]
fn our_units_are_hardened_as_far_as_containers_without_mounts_allow() {
    let root = unpacked(Variant::Agent);
    // The identity unit gives secrets to their owners: chown is 0.2 of it.
    for (unit, limit) in [("firstlight-identity.service", 44), ("firstlight-report.service", 48)] {
        assert_exposure(&root, unit, limit);
        let text = std::fs::read_to_string(paths::root().join("units/guest").join(unit)).unwrap();
        let settings = text.lines().filter(|line| !line.starts_with('#'));
        let namespaced: Vec<&str> = settings
            .filter(|line| {
                let starts = ["Protect", "Private", "ReadOnly", "ReadWrite", "Inaccessible", "Bind", "Root"];
                starts.iter().any(|start| line.starts_with(start))
                    || line.starts_with("ProcSubset")
                    || line.starts_with("TemporaryFileSystem")
                    || line.starts_with("DynamicUser")
            })
            .collect();
        assert!(namespaced.is_empty(), "{unit}: {namespaced:?}");
    }
}

fn links_to(folder: &Path, unit: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(links_to(&path, unit));
        } else if entry.file_name().to_string_lossy() == unit {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}
