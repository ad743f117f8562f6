//! The companion as a service where systemd is PID 1: a machine in a container, with guests of its own in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::{paths, wait};

use crate::support::{archive, unpacked};

const SPEC: &str = "[[guest]]\nname = \"inner\"\ngolden = \"/srv/golden.tar\"\n";

fn install_companion(root: &Path) {
    fs::copy(paths::given(paths::COMPANION_VARIABLE), root.join("usr/bin/firstlight")).unwrap();
    let unit = "etc/systemd/system/firstlight.service";
    fs::copy(paths::root().join("units/host/firstlight.service"), root.join(unit)).unwrap();
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink(Path::new("/").join(unit), wants.join("firstlight.service")).unwrap();
    fs::copy(archive(Variant::Agent), root.join("srv/golden.tar")).unwrap();
    fs::write(root.join("srv/spec.toml"), SPEC).unwrap();
}

fn firstlight(host: Leader, words: &[&str]) -> String {
    let words = [&["/usr/bin/firstlight"], words].concat();
    let ran = host.run(&words).unwrap();
    let log = host.run(&["/usr/bin/journalctl", "-u", "firstlight", "--no-pager", "-o", "cat"]).unwrap();
    assert!(ran.ok(), "{words:?}: {}\n{}", ran.said(), log.stdout);
    ran.stdout
}

/// Units of guests, and what the guests share.
fn guest_units(host: Leader) -> Vec<String> {
    let shown =
        host.run(&["/usr/bin/systemctl", "list-units", "--plain", "--no-legend", "firstlight-*"]).unwrap();
    shown.stdout.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[test]
fn under_systemd_the_companion_is_a_service_and_guests_are_units_that_outlive_it() {
    let root = unpacked(Variant::Host);
    install_companion(&root.path());
    let booted = root.boot_as_host("machine").unwrap();
    let (host, _) = booted.settled().unwrap();
    assert_eq!(host.final_unit_state("firstlight.service").unwrap(), "active");

    let document: serde_json::Value =
        serde_json::from_str(&firstlight(host, &["up", "/srv/spec.toml", "--json"])).unwrap();
    assert_eq!(document["guests"][0]["trust"], "attested", "{document:#}");
    let before = guest_units(host);
    assert!(before.iter().any(|unit| unit.ends_with("-inner.service")), "{before:?}");

    let killed = host.run(&["/usr/bin/systemctl", "kill", "-s", "KILL", "firstlight.service"]).unwrap();
    assert!(killed.ok(), "{}", killed.said());
    wait::until("systemd to start the companion again", Duration::from_secs(30), || {
        host.run(&["/usr/bin/firstlight", "jobs"]).ok().filter(firstlight_tests::run::Ran::ok)
    })
    .unwrap();
    assert_eq!(guest_units(host), before, "the guest lives on");

    firstlight(host, &["destroy", "--all"]);
    wait::until("the units to be gone", Duration::from_secs(30), || {
        guest_units(host).is_empty().then_some(())
    })
    .unwrap();
    let namespaces = host.run(&["/usr/sbin/ip", "netns", "list"]).unwrap().stdout;
    assert_eq!(namespaces.trim(), "");
}
