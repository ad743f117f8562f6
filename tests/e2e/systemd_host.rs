//! The companion as a service where systemd is PID 1: a machine in a container, with guests of its own in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::guest::bare::Root;
use firstlight_tests::{paths, run, wait};

use crate::support::{archive, unpacked};

const SPEC: &str = "[[guest]]\nname = \"inner\"\ngolden = \"/srv/golden.tar\"\n";
const UNIT: &str = "firstlight.service";

/// As docs/companion.md says: program, unit, user, folders; started at boot.
fn install_companion(root: &Path) {
    let house = paths::root();
    let put = |from: &str, to: &str| {
        let to = root.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(house.join(from), to).unwrap();
    };
    fs::copy(paths::given(paths::COMPANION_VARIABLE), root.join("usr/bin/firstlight")).unwrap();
    put("units/host/firstlight.service", "etc/systemd/system/firstlight.service");
    put("packaging/sysusers.d/firstlight.conf", "usr/lib/sysusers.d/firstlight.conf");
    put("packaging/tmpfiles.d/firstlight.conf", "usr/lib/tmpfiles.d/firstlight.conf");
    for program in ["systemd-sysusers", "systemd-tmpfiles"] {
        let options: &[&str] = if program == "systemd-tmpfiles" { &["--create"] } else { &[] };
        run::must(run::command([program]).args(options).arg("--root").arg(root).arg("firstlight.conf"))
            .unwrap();
    }
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink("/etc/systemd/system/firstlight.service", wants.join(UNIT)).unwrap();
}

/// The drop-in for guests on this very machine, and one to make.
fn allow_local_guests(root: &Path) {
    let folder = root.join("etc/systemd/system/firstlight.service.d");
    fs::create_dir_all(&folder).unwrap();
    let from = "packaging/systemd/firstlight.service.d/local-guests.conf";
    fs::copy(paths::root().join(from), folder.join("local-guests.conf")).unwrap();
    fs::copy(archive(Variant::Agent), root.join("srv/golden.tar")).unwrap();
    fs::write(root.join("srv/spec.toml"), SPEC).unwrap();
}

fn log(host: Leader) -> String {
    host.run(&["/usr/bin/journalctl", "-u", "firstlight", "--no-pager", "-o", "cat"]).unwrap().stdout
}

fn must(host: Leader, words: &[&str]) -> String {
    let ran = host.run(words).unwrap();
    assert!(ran.ok(), "{words:?}: {}\n{}", ran.said(), log(host));
    ran.stdout
}

fn firstlight(host: Leader, words: &[&str]) -> String {
    must(host, &[&["/usr/bin/firstlight"], words].concat())
}

/// What systemd knows of the companion.
fn property(host: Leader, name: &str) -> String {
    must(host, &["/usr/bin/systemctl", "show", "--value", "-p", name, UNIT]).trim().to_owned()
}

fn until_property(host: Leader, name: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut last = String::new();
    wait::until(&format!("{name} of the companion"), Duration::from_secs(40), || {
        last = property(host, name);
        wanted(&last).then(|| last.clone())
    })
    .unwrap_or_else(|error| panic!("{error}: it is {}\n{}", property(host, name), log(host)))
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
    allow_local_guests(&root.path());
    let booted = root.boot_as_host("machine").unwrap();
    let (host, _) = booted.settled().unwrap();
    assert_eq!(host.final_unit_state(UNIT).unwrap(), "active", "{}", log(host));

    let document: serde_json::Value =
        serde_json::from_str(&firstlight(host, &["up", "/srv/spec.toml", "--json"])).unwrap();
    assert_eq!(document["guests"][0]["trust"], "attested", "{document:#}");
    let before = guest_units(host);
    assert!(before.iter().any(|unit| unit.contains("-inner.")), "{before:?}");

    let pid = property(host, "MainPID");
    must(host, &["/usr/bin/systemctl", "kill", "-s", "KILL", UNIT]);
    until_property(host, "MainPID", |now| now != pid && now != "0");
    until_property(host, "ActiveState", |state| state == "active");
    firstlight(host, &["jobs"]);
    assert_eq!(guest_units(host), before, "the guest lives on");

    firstlight(host, &["destroy", "--all"]);
    wait::until("the units to be gone", Duration::from_secs(30), || {
        guest_units(host).is_empty().then_some(())
    })
    .unwrap();
    wait::until("the network to be gone", Duration::from_secs(30), || {
        must(host, &["/usr/sbin/ip", "netns", "list"]).trim().is_empty().then_some(())
    })
    .unwrap();
}

const CONFIGURATION: &str = "[api]\nlisten = \"127.0.0.1:7444\"\ncertificate = \"/etc/firstlight/api.pem\"\n\
    key = \"credential:firstlight.api-key\"\n\
    [[api.token]]\nname = \"ci\"\nrole = \"operator\"\nfile = \"credential:firstlight.token-ci\"\n";
const TOKEN: &str = "a-token-of-the-credential-store";

/// Configuration, certificate, and secrets where systemd takes them from.
pub(crate) fn configure_api(root: &Path) {
    let etc = root.join("etc/firstlight");
    fs::write(etc.join("firstlight.toml"), CONFIGURATION).unwrap();
    let store = root.join("etc/credstore");
    let mut make =
        run::command(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    make.args([
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=companion",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]);
    make.arg("-keyout").arg(store.join("firstlight.api-key")).arg("-out").arg(etc.join("api.pem"));
    run::must(&mut make).unwrap();
    fs::write(store.join("firstlight.token-ci"), TOKEN).unwrap();
    fs::write(root.join("root/token"), TOKEN).unwrap();
    for secret in
        [store.join("firstlight.api-key"), store.join("firstlight.token-ci"), root.join("root/token")]
    {
        close(&secret);
    }
}

/// Only its owner may read it.
fn close(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// `jobs` over TLS with the token of this file.
fn ask_over_tls(host: Leader, token: &str) -> run::Ran {
    let place = ["--url", "https://127.0.0.1:7444", "--ca", "/etc/firstlight/api.pem", "--token-file", token];
    host.run(&[&["/usr/bin/firstlight"], &place[..], &["jobs"]].concat()).unwrap()
}

#[test]
fn as_its_own_user_the_companion_reloads_drains_and_is_watched() {
    let root = unpacked(Variant::Host);
    install_companion(&root.path());
    configure_api(&root.path());
    let booted = root.boot_as_host("machine").unwrap();
    let (host, _) = booted.settled().unwrap();
    assert_eq!(host.final_unit_state(UNIT).unwrap(), "active", "{}", log(host));

    let pid = property(host, "MainPID");
    let status = must(host, &["/usr/bin/cat", &format!("/proc/{pid}/status")]);
    assert!(!status.contains("\nUid:\t0\t") && status.contains("\nCapEff:\t0000000000000000\n"), "{status}");
    assert!(status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    assert!(property(host, "StatusText").contains("jobs driven") || property(host, "StatusText") == "ready");
    assert_eq!(property(host, "WatchdogUSec"), "1min");
    until_property(host, "WatchdogTimestampMonotonic", |at| at != "0");

    let asked = ask_over_tls(host, "/root/token");
    assert!(asked.ok(), "{}\n{}", asked.said(), log(host));
    fs::write(root.path().join("root/wrong"), "a-token-that-nobody-knows").unwrap();
    close(&root.path().join("root/wrong"));
    assert!(!ask_over_tls(host, "/root/wrong").ok());
    assert!(log(host).contains("request refused"), "{}", log(host));

    reloads(host, &root);
    let was = property(host, "MainPID");
    must(host, &["/usr/bin/systemctl", "stop", UNIT]);
    assert_eq!(property(host, "Result"), "success", "{}", log(host));
    assert!(log(host).trim_end().contains("stopping: steps that are under way may end"), "{}", log(host));
    assert_ne!(property(host, "MainPID"), was);
    is_watched(host, &root);
}

/// SIGHUP: a new token counts at once; a configuration that is wrong changes nothing.
fn reloads(host: Leader, root: &Root) {
    let pid = property(host, "MainPID");
    let more = root.path().join("etc/firstlight/firstlight.toml.d/10-more.toml");
    fs::write(&more, "[[api.token]]\nname = \"more\"\nfile = \"/etc/firstlight/token-more\"\n").unwrap();
    fs::write(root.path().join("root/more"), "another-token-for-looking").unwrap();
    close(&root.path().join("root/more"));
    must(
        host,
        &["/usr/bin/install", "-o", "firstlight", "-m", "0600", "/root/more", "/etc/firstlight/token-more"],
    );
    assert!(!ask_over_tls(host, "/root/more").ok());
    must(host, &["/usr/bin/systemctl", "reload", UNIT]);
    until_property(host, "ActiveState", |state| state == "active");
    wait::until("the new token to count", Duration::from_secs(20), || {
        ask_over_tls(host, "/root/more").ok().then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", log(host)));

    fs::write(&more, "[companion]\nleese = \"1s\"\n").unwrap();
    must(host, &["/usr/bin/systemctl", "reload", UNIT]);
    wait::until("the new configuration to be refused", Duration::from_secs(20), || {
        log(host).contains("there is no key `companion.leese`").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", log(host)));
    until_property(host, "ActiveState", |state| state == "active");
    assert!(ask_over_tls(host, "/root/more").ok(), "the old one counts");
    assert_eq!(property(host, "MainPID"), pid);
    fs::remove_file(&more).unwrap();
}

/// A companion that stands still is started anew.
fn is_watched(host: Leader, root: &Root) {
    let folder = root.path().join("etc/systemd/system/firstlight.service.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("soon.conf"), "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n").unwrap();
    must(host, &["/usr/bin/systemctl", "daemon-reload"]);
    must(host, &["/usr/bin/systemctl", "start", UNIT]);
    let pid = property(host, "MainPID");
    // Well beyond the limit it lives.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(property(host, "MainPID"), pid, "{}", log(host));
    must(host, &["/usr/bin/systemctl", "kill", "-s", "STOP", UNIT]);
    until_property(host, "MainPID", |now| now != pid && now != "0");
    until_property(host, "ActiveState", |state| state == "active");
}
