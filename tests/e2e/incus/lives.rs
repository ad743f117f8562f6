//! Throwaway guests and changes of guests that are ready, on a real server: what is over is gone without a trace, what was
//! kept stays, and what was changed comes back as itself.

use std::thread::sleep;
use std::time::Duration;

use firstlight_tests::rig::incus::GOLDEN;
use firstlight_tests::wait;
use serde_json::Value;

use super::site::Site;

const MORE: &str = "[guest.readiness]\ntimeout = \"120s\"\n";

fn must(site: &Site<'_>, words: &[&str]) -> String {
    let ran = site.run(words);
    assert!(ran.ok(), "{words:?}: {}\n{}", ran.said(), site.said());
    ran.stdout
}

fn begin(site: &Site<'_>, guest: &str, more: &str) {
    must(site, &["up", &site.spec(guest, GOLDEN, &format!("{more}\n{MORE}")), "--detach"]);
}

fn shown(site: &Site<'_>, guest: &str) -> Value {
    site.json(&["show", guest, "--json"])["job"].clone()
}

#[test]
fn throwaway_guests_are_gone_at_their_end_and_kept_ones_stay() {
    let site = Site::start("lives");
    begin(&site, "due", "destroy_after = \"3s\"");
    begin(&site, "kept", "destroy_after = \"3s\"");
    // Before it is ready: nobody is too late.
    must(&site, &["keep", "kept", "--detach"]);
    begin(&site, "brief", "lifecycle = \"ephemeral\"");
    begin(&site, "promoted", "lifecycle = \"ephemeral\"\ndestroy_after = \"1h\"");
    for guest in ["kept", "brief", "promoted"] {
        assert_eq!(site.await_state(guest, &["done", "rolled-back", "needs-operator"]), "done", "{guest}");
        assert_eq!(shown(&site, guest)["trust"], "attested");
    }
    assert_eq!(site.instance("brief")["ephemeral"], true);
    must(&site, &["promote", "promoted"]);
    assert_eq!(site.instance("promoted")["ephemeral"], false);
    for guest in ["brief", "promoted"] {
        site.incus(&["stop", "--force", guest]);
    }
    site.await_state("due", &["rolled-back"]);
    assert_eq!(shown(&site, "due")["failure"]["code"], "due");
    site.await_state("brief", &["rolled-back"]);
    assert_eq!(shown(&site, "brief")["failure"]["code"], "guest-stopped");

    // Longer than what its spec says, since it was ready.
    sleep(Duration::from_secs(4));
    for guest in ["kept", "promoted"] {
        let shown = shown(&site, guest);
        assert_eq!((&shown["state"], &shown["due_at_ms"]), (&"done".into(), &Value::Null), "{shown:#}");
    }
    assert_eq!(site.instance("promoted")["status"], "Stopped");
    let there = site.incus(&["list", "--format", "csv", "--columns", "n"]);
    assert_eq!(there.split_whitespace().collect::<Vec<_>>(), ["kept", "promoted"]);
    site.destroy(&["kept", "promoted"]);
    site.end();
}

/// The change's job, whose last step saw the guest's new report.
fn proven_again(site: &Site<'_>, words: &[&str]) {
    let words = [words, &["--json"]].concat();
    let document: Value = serde_json::from_str(&must(site, &words)).unwrap();
    let job = document["guests"][0]["job"].as_str().unwrap();
    let events = must(site, &["show", job, "--events"]);
    assert!(events.contains("same_identity"), "{events}");
}

fn address_of(site: &Site<'_>, guest: &str) -> String {
    let found = wait::until("an address", Duration::from_secs(60), || {
        let listed = site.incus(&["list", guest, "--format", "csv", "--columns", "4"]);
        listed
            .split(' ')
            .next()
            .filter(|address| address.contains('.'))
            .map(|a| a.trim_matches('"').to_owned())
    });
    found.unwrap()
}

#[test]
fn memory_and_snapshots_are_changed_and_the_guest_stays_itself() {
    let site = Site::start("changes");
    let rest = "memory = \"512M\"\n";
    site.up("grows", GOLDEN, &format!("{rest}{MORE}"));
    let boot = || site.incus(&["exec", "grows", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
    let in_guest = |script: &str| site.incus(&["exec", "grows", "--", "sh", "-c", script]);
    let memory = || site.instance("grows")["config"]["limits.memory"].as_str().unwrap().to_owned();
    let (pid, before) = (site.instance("grows"), memory());

    in_guest("echo before >/root/mark; sync");
    proven_again(&site, &["set", "grows", "--memory", "640M", "--snapshot", "small"]);
    assert_ne!(memory(), before);
    assert_eq!(in_guest("cat /root/mark").trim(), "before");
    assert_eq!(
        site.instance("grows")["config"]["volatile.eth0.hwaddr"],
        pid["config"]["volatile.eth0.hwaddr"]
    );
    // With the keys that were on record before.
    let ran = site.log_in(&address_of(&site, "grows"), &["uname", "-n"]);
    assert_eq!(ran.stdout.trim(), "grows", "{}", ran.said());

    in_guest("echo after >/root/mark; touch /root/more; sync");
    let snapshots = site.json(&["snapshots", "grows", "--json"]);
    assert_eq!(snapshots["snapshots"][0]["name"], "small", "{snapshots:#}");
    assert!(snapshots["snapshots"][0]["taken_at_ms"].as_u64() > Some(1_700_000_000_000), "{snapshots:#}");
    proven_again(&site, &["rollback", "grows", "small"]);
    assert_eq!(in_guest("cat /root/mark; ls /root/more 2>/dev/null || true").trim(), "before");
    assert_eq!(memory(), before, "a rollback brings the memory back");
    assert!(!boot().is_empty());
    let again = site.json(&["plan", &site.spec("grows", GOLDEN, &format!("{rest}{MORE}")), "--json"]);
    assert_eq!(again["guests"][0]["action"], "unchanged", "{again:#}");

    must(&site, &["snapshot", "grows", "small", "--remove"]);
    let left = site.server.get(&format!("/1.0/instances/grows/snapshots?project={}", site.project)).unwrap();
    assert_eq!(left, serde_json::json!([]));
    site.destroy(&["grows"]);
    site.end();
}

/// What others run counts, and so does what is ours.
#[test]
fn a_budget_of_a_project_is_kept() {
    let mut site =
        Site::without_companion(firstlight_tests::rig::incus::IncusServer::shared(), "budget", &[]);
    let budget = "[budget]\n\"project:local/budget\" = \"1G\"\n";
    site.serve(&format!("{budget}{}", site.by_socket()));
    site.incus(&["launch", GOLDEN, "foreign", "--config", "limits.memory=512MiB"]);
    let said = site.refused("fits-not", GOLDEN, "memory = \"768M\"");
    assert!(said.contains("project:local/budget") && said.contains("512M"), "{said}");
    site.up("fits", GOLDEN, &format!("memory = \"512M\"\n{MORE}"));
    let said = site.refused("fits-not", GOLDEN, "memory = \"64M\"");
    assert!(said.contains("running guests have 1024M"), "{said}");
    let set = site.run(&["set", "fits", "--memory", "576M"]);
    assert_eq!(set.code, 3, "{}", set.said());
    site.destroy(&["fits"]);
    site.incus(&["delete", "--force", "foreign"]);
    site.end();
}
