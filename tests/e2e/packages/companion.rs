//! The companion's package under a systemd that is PID 1.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use firstlight_tests::dist::{Product, VERSION};
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::{run, wait};

use super::{apt, changed, deb, dpkg_version, everything, install, is_enabled, must, property};
use crate::support::unpacked;
use crate::systemd_host::configure_api;

const UNIT: &str = "firstlight.service";

/// What a browser gets that has not signed in, over the machine's own network.
fn page(host: Leader, url: &str) -> String {
    let ask = || {
        let mut curl = run::command(["nsenter", "--net", "--target"]);
        curl.arg(host.0.to_string());
        curl.args(["curl", "--silent", "--show-error", "--insecure", "--location", "--max-time", "10"]);
        run::must(curl.arg(url)).ok()
    };
    let log = || must(host, &["/usr/bin/journalctl", "-u", UNIT, "--no-pager", "-o", "cat"]);
    let page = wait::until("the page", std::time::Duration::from_secs(30), ask)
        .unwrap_or_else(|error| panic!("{error}\n{}", log()));
    assert!(page.contains("<title>") && page.contains("Firstlight") && page.contains("<form"), "{page}");
    page
}

fn assert_serves(host: Leader) {
    page(host, "https://127.0.0.1:7444/ui/");
    must(host, &["/usr/bin/firstlight", "jobs"]);
}

/// The page where nothing is configured: by the link, and the way to it, of `firstlight web open`.
fn assert_opens(host: Leader) {
    let mut open = host.command(&["/usr/bin/firstlight", "web", "open"]);
    let mut open = open.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut link = String::new();
    BufReader::new(open.stdout.take().unwrap()).read_line(&mut link).unwrap();
    assert!(link.starts_with("http://127.0.0.1:"), "{link}");
    page(host, link.trim());
    open.kill().unwrap();
    open.wait().unwrap();
}

fn is_there(root: &Path, path: &str) -> bool {
    root.join(path).symlink_metadata().is_ok()
}

#[test]
fn the_service_is_started_by_the_administrator_restarted_by_an_upgrade_and_purged_with_its_state() {
    let root = unpacked(Variant::Host);
    let booted = root.boot_as_host("companion").unwrap();
    let (host, _) = booted.settled().unwrap();
    let path = root.path();
    let before = everything(&path);

    install(&root, host, Product::Companion, 1);
    assert_eq!(
        (is_enabled(host, UNIT).as_str(), host.unit_state(UNIT).unwrap().as_str()),
        ("disabled", "inactive")
    );
    must(host, &["/usr/bin/getent", "passwd", "firstlight"]);
    must(host, &["/usr/bin/firstlight", "config", "check"]);

    must(host, &["/usr/bin/systemctl", "enable", "--now", UNIT]);
    assert_opens(host);

    // This changes the configuration that the package brought.
    configure_api(&path);
    let configured = fs::read(path.join("etc/firstlight/firstlight.toml")).unwrap();
    must(host, &["/usr/bin/systemctl", "restart", UNIT]);
    assert_serves(host);

    let pid = property(host, UNIT, "MainPID");
    must(host, &["/usr/bin/firstlight", "store", "backup", "/root/before-upgrade.db"]);
    install(&root, host, Product::Companion, 2);
    assert_eq!(host.final_unit_state(UNIT).unwrap(), "active");
    assert_ne!(property(host, UNIT, "MainPID"), pid, "the older one still runs");
    assert_serves(host);
    assert_eq!(fs::read(path.join("etc/firstlight/firstlight.toml")).unwrap(), configured);

    must(host, &["/usr/bin/systemctl", "stop", UNIT]);
    fs::copy(deb(Product::Companion, 1), path.join("root/older.deb")).unwrap();
    apt(host, &["install", "--allow-downgrades", "/root/older.deb"]);
    assert_eq!(dpkg_version(host, Product::Companion), format!("{VERSION}-1"));
    assert_eq!(host.unit_state(UNIT).unwrap(), "inactive", "who stopped it does not want it started");
    must(host, &["/usr/bin/systemctl", "start", UNIT]);

    apt(host, &["remove", "firstlight"]);
    assert_ne!(host.unit_state(UNIT).unwrap(), "active");
    assert!(!is_there(&path, "usr/bin/firstlight"));
    assert!(
        is_there(&path, "var/lib/firstlight-host/firstlight.db")
            && is_there(&path, "etc/firstlight/firstlight.toml")
    );

    apt(host, &["purge", "firstlight"]);
    assert!(!is_there(&path, "var/lib/firstlight-host"));
    // What the administrator put beside stays, and secrets; so does the folder for them, which is systemd's own.
    let left = changed(&before, &everything(&path));
    let own = [
        "etc/credstore",
        "etc/credstore/firstlight.api-key",
        "etc/credstore/firstlight.token-ci",
        "etc/firstlight",
        "etc/firstlight/api.pem",
    ];
    let others: Vec<&String> =
        left.iter().filter(|line| !own.iter().any(|path| **line == format!("+ {path}"))).collect();
    assert!(others.is_empty(), "{others:?}");
    must(host, &["/usr/bin/getent", "passwd", "firstlight"]);
}
