//! systemd's own judgement of our units, by the systemd that will run them.

use std::path::Path;
use std::process::Command;

use firstlight_tests::golden::Variant;
use firstlight_tests::{paths, run};

use crate::support::unpacked;

#[test]
fn systemd_finds_nothing_to_say_about_our_units() {
    let root = unpacked(Variant::Agent);
    let units = ["firstlight-identity.service", "firstlight-report.service", "ssh.service"];
    let mut verify = Command::new("chroot");
    verify
        .arg(root.path())
        .args(["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes"])
        .args(units);
    let ran = run::run(&mut verify).unwrap();
    let ours: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("firstlight")).collect();
    assert!(ran.ok() && ours.is_empty(), "{}", ran.said());
}

#[test]
fn systemd_finds_nothing_to_say_about_the_companions_unit() {
    let root = unpacked(Variant::Control);
    std::fs::copy(paths::given(paths::COMPANION_VARIABLE), root.path().join("usr/bin/firstlight")).unwrap();
    let unit = paths::root().join("units/host/firstlight.service");
    std::fs::copy(unit, root.path().join("usr/lib/systemd/system/firstlight.service")).unwrap();
    let mut verify = Command::new("chroot");
    verify.arg(root.path()).args(["systemd-analyze", "verify", "--man=no", "firstlight.service"]);
    let ran = run::run(&mut verify).unwrap();
    assert!(ran.ok() && !ran.stderr.contains("firstlight"), "{}", ran.said());
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
