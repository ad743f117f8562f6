//! `firstlight verify` on a real server: the hypervisor runs the guest's agent, and what it says is compared and kept.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use firstlight_tests::rig::incus::{GOLDEN, IncusServer};
use firstlight_tests::run::Ran;
use serde_json::Value;

use super::site::Site;
use crate::verify::{broken, second_operator};

const GUEST: &str = "proved";
/// A stack, which lays a link as NixOS has its closure.
const STACK: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'mkdir -p /opt/store/one /opt/store/two; \
    test -L /opt/current || ln -s /opt/store/one /opt/current'\n";
const WANTED: &str = "[Unit]\nWants=stack.service\n";

/// A guest with checks of its own, that were brought in as secrets are.
fn brought_up() -> Site<'static> {
    let mut site = Site::without_companion(IncusServer::shared(), "proof", &[]);
    let folder = site.path("files");
    fs::create_dir(&folder).unwrap();
    site.serve(&configuration(&site));
    let pin = site.run(&["pin"]);
    assert!(pin.ok(), "{}", pin.said());
    // The companion serves another certificate of the same key after each start.
    let checks = format!(
        "[[check]]\nid = \"closure\"\nkind = \"symlink\"\npath = \"/opt/current\"\ntarget_prefix = \"/opt/store/\"\n\
         [[check]]\nid = \"stack\"\nkind = \"unit\"\nunit = \"stack.service\"\n\
         [[check]]\nid = \"leaf\"\nkind = \"tls-leaf\"\naddress = \"{}\"\npin = \"{}\"\n",
        site.reports(),
        pin.stdout.trim()
    );
    let mut secrets = Vec::new();
    for (name, path, text) in [
        ("checks", "/etc/firstlight/checks.d/50-field.toml", checks.as_str()),
        ("stack", "/etc/systemd/system/stack.service", STACK),
        ("wanted", "/etc/systemd/system/multi-user.target.d/50-stack.conf", WANTED),
    ] {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        secrets.push(format!("{{ path = {path:?}, file = {file:?} }}"));
    }
    let more = format!("secrets = [{}]\n[guest.readiness]\ntimeout = \"120s\"\n", secrets.join(", "));
    site.up(GUEST, GOLDEN, &more);
    site
}

fn configuration(site: &Site<'_>) -> String {
    format!("{}[secrets]\nfiles = [{:?}]\n", site.by_socket(), site.path("files"))
}

fn verify(site: &Site<'_>, out: &Path) -> (Ran, Value) {
    let ran = site.run(&["verify", GUEST, "--json", "--out", out.to_str().unwrap()]);
    let answer = serde_json::from_str(&ran.stdout).unwrap_or_default();
    (ran, answer)
}

/// Keys as an operator would gather them.
fn known_keys(site: &Site<'_>) -> PathBuf {
    let known = site.path("known");
    let (hosts, companion) = (site.run(&["known-hosts", GUEST]), site.run(&["verify", "--public-key"]));
    assert!(hosts.ok() && companion.ok(), "{} {}", hosts.said(), companion.said());
    fs::write(&known, hosts.stdout + &companion.stdout).unwrap();
    known
}

#[test]
fn a_guest_holds_until_something_in_it_breaks_and_the_file_proves_it_to_anybody() {
    let mut site = brought_up();
    let within = |site: &Site<'_>, words: &[&str]| site.incus(&[&["exec", GUEST, "--"], words].concat());

    // As it was.
    let good = site.path("good.evidence");
    let (ran, answer) = verify(&site, &good);
    assert!(ran.ok(), "{}\n{}", ran.said(), site.said());
    assert_eq!((&answer["state"], &answer["holds"]), (&"made".into(), &true.into()), "{answer:#}");
    assert_eq!(broken(&answer), [""; 0]);
    // What the command printed is not kept by the server.
    let logs = format!("/1.0/instances/{GUEST}/logs/exec-output?project={}", site.project);
    assert_eq!(site.server.get(&logs).unwrap().as_array().map_or(0, Vec::len), 0);

    // The second operator, and a file that somebody changed.
    let (known, elsewhere) = (known_keys(&site), site.path("elsewhere"));
    let ran = second_operator(&elsewhere, &good, &known);
    assert!(ran.ok(), "{}", ran.said());
    for line in ["holds        yes", "check closure", "/opt/store/one", "check leaf", "check stack", "incus"]
    {
        assert!(ran.stdout.contains(line), "no `{line}` in\n{}", ran.stdout);
    }
    let tampered = site.path("tampered");
    let text = fs::read_to_string(&good).unwrap();
    assert!(text.contains("/opt/store/one"), "{text}");
    fs::write(&tampered, text.replacen("/opt/store/one", "/opt/store/two", 1)).unwrap();
    let ran = second_operator(&elsewhere, &tampered, &known);
    assert_eq!(ran.code, 3, "{}", ran.said());
    assert!(ran.stderr.contains("was changed after it was signed"), "{}", ran.said());

    // Four things break at once, each named.
    within(&site, &["systemctl", "stop", "stack.service"]);
    within(&site, &["sh", "-c", "! systemd-run --quiet --wait --unit=broken.service /bin/false"]);
    within(&site, &["ln", "-sfn", "/opt/store/two", "/opt/current"]);
    site.serve(&configuration(&site));
    let worse = site.path("worse.evidence");
    let (ran, answer) = verify(&site, &worse);
    assert_eq!(ran.code, 1, "{}", ran.said());
    let mut found = broken(&answer);
    found.sort();
    let expected = [
        "check closure differs",
        "check leaf differs",
        "check stack worse",
        "check system-running worse",
        "failed-units worse",
        "system worse",
    ];
    assert_eq!(found, expected, "{answer:#}");
    let ran = second_operator(&elsewhere, &worse, &known);
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(
        ran.stdout.contains("1: broken.service") && ran.stdout.contains("/opt/store/two"),
        "{}",
        ran.stdout
    );

    // Nothing can be run in it: no evidence, and in words why.
    let out = site.path("never");
    let refuses = |site: &Site<'_>, said: &str| {
        let (ran, _) = verify(site, &out);
        assert_eq!(ran.code, 1, "{}", ran.said());
        assert!(ran.stderr.contains(said), "no `{said}` in {}", ran.said());
        assert!(!out.exists());
    };
    site.incus(&["pause", GUEST]);
    refuses(&site, "is frozen");
    site.incus(&["start", GUEST]);
    within(&site, &["mv", "/usr/bin/firstlight-guest", "/root/"]);
    refuses(&site, "is firstlight-guest of this version in the guest?");
    site.incus(&["stop", "--force", GUEST]);
    refuses(&site, "does not run");
    let listed = site.json(&["reports", GUEST, "--json"]);
    let holds: Vec<&Value> = listed["evidence"].as_array().unwrap().iter().map(|one| &one["holds"]).collect();
    assert_eq!(holds, [false, true], "newest first, and no more than that");
    site.destroy(&[GUEST]);
    site.end();
}
