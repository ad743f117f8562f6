//! An instance that lives, a second time: as a golden, as itself again, and copied by the server behind everybody's back. The
//! rows of docs/lifecycle.md on a real server; one test, for each bring-up takes its time there.

use std::time::Duration;

use firstlight_tests::demo::shared_identities;
use firstlight_tests::rig::incus::GOLDEN;
use firstlight_tests::{paths, wait};
use serde_json::Value;

use super::exports::identity;
use super::site::Site;

const PATIENCE: &str = "[guest.readiness]\ntimeout = \"180s\"\n";
const LEASE: &str = "/var/lib/dhcp/dhclient.eth0.leases";

fn decision(site: &Site<'_>, instance: &str) -> String {
    let status = site.incus(&["exec", instance, "--", "firstlight-guest", "status", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    status["identity"]["identity"]["decision"].as_str().unwrap_or_default().to_owned()
}

fn has_lease(site: &Site<'_>, instance: &str) -> bool {
    site.incus(&["exec", instance, "--", "sh", "-c", &format!("test -e {LEASE} && echo yes || echo no")])
        .trim()
        == "yes"
}

#[test]
fn an_instance_that_lives_is_renewed_as_a_golden_kept_as_itself_and_suspected_as_a_copy() {
    if !paths::full() {
        return;
    }
    let site = Site::start("copies");
    let living = site.up("living", GOLDEN, PATIENCE)["guests"][0].clone();
    // Where a copy that nobody hands a claim reports, too.
    let pin = site.run(&["pin"]).stdout;
    let script = format!(
        "mkdir -p /etc/firstlight /var/lib/dhcp; echo lease >{LEASE}; \
         printf '[host]\\nurl = \"https://{}\"\\npin = \"{}\"\\n' >/etc/firstlight/guest.toml; sync",
        site.reports(),
        pin.trim()
    );
    site.incus(&["exec", "living", "--", "sh", "-c", &script]);
    let backup = site.path("living.tar");
    site.incus(&["export", "living", &backup.to_string_lossy(), "--compression", "none"]);
    let golden = backup.to_string_lossy().into_owned();

    // As a golden, while it runs.
    let document = site.up("made-of-it", &golden, PATIENCE);
    let made = &document["guests"][0];
    assert_eq!(shared_identities(&document), Vec::<String>::new());
    assert!(identity(made).is_disjoint(&identity(&living)), "{document:#}");
    assert_eq!((decision(&site, "made-of-it").as_str(), has_lease(&site, "made-of-it")), ("renew", false));
    assert!(has_lease(&site, "living"));
    assert_eq!(site.run(&["duplicates"]).code, 0);

    // By the server's own copy, which has another card and no claim.
    site.incus(&["copy", "living", "by-hand", "--allow-inconsistent"]);
    site.incus(&["start", "by-hand"]);
    let refused = wait::until("the copy's report", Duration::from_secs(180), || {
        let reports = site.json(&["reports", "--json"]);
        reports["refusals"].as_array()?.iter().find(|one| one["code"] == "copied-guest").cloned()
    });
    let refused = refused.unwrap_or_else(|error| panic!("{error}\n{}", site.said()));
    assert_eq!(refused["guest"], "living", "{refused:#}");
    assert_eq!((decision(&site, "by-hand").as_str(), has_lease(&site, "by-hand")), ("suspect-clone", true));
    let told = site.run(&["duplicates"]);
    assert!(told.code == 1 && told.stdout.contains("living from "), "{}", told.said());
    site.incus(&["delete", "--force", "by-hand"]);

    // As itself.
    site.destroy(&["living"]);
    let back = site.up("living", &golden, &format!("intent = \"restore\"\n{PATIENCE}"));
    assert_eq!(identity(&back["guests"][0]), identity(&living), "{back:#}");
    assert!(has_lease(&site, "living"));
    assert_ne!(decision(&site, "living"), "renew");
    assert_eq!(site.run(&["duplicates"]).code, 0, "the copy was the earlier one's");
    site.destroy(&["living", "made-of-it"]);
    site.end();
}
