//! The main job on a real server: clones of a sealed golden, each proved by what the server lists of it.

use firstlight_tests::demo::shared_identities;
use firstlight_tests::paths;
use firstlight_tests::rig::incus::{ALONE, GOLDEN, IncusServer};

use super::site::Site;
use crate::support::fields;

#[test]
fn containers_are_attested_and_nothing_is_left_of_them() {
    let site = Site::start("bring-up");
    // As in production, the long run has twenty.
    let count = if paths::full() { 20 } else { 3 };
    let more = format!("count = {count}\n[guest.readiness]\ntimeout = \"300s\"\n");
    let document = site.up("web-{n}", GOLDEN, &more);
    let guests = document["guests"].as_array().unwrap();
    assert_eq!(guests.len(), count);
    assert_eq!(shared_identities(&document), Vec::<String>::new());
    for guest in guests {
        let name = guest["name"].as_str().unwrap();
        assert_eq!(guest["hostname"], name, "{guest:#}");
        assert!(guest["by_beacon_alone"] != true, "{guest:#}");
        let there = site.instance(name);
        assert_eq!(there["config"]["volatile.eth0.hwaddr"], guest["mac"], "{there:#}");
        // What carried the claim carries it no more.
        let config = there["config"].as_object().unwrap();
        assert!(config.keys().all(|key| !key.to_lowercase().contains("claim")), "{there:#}");

        let address = guest["addresses"][0].as_str().unwrap();
        let ran = site.log_in(address, &["uname", "-n"]);
        assert_eq!(ran.stdout.trim(), name, "{}", ran.said());
    }
    // Again: all is there as it is wanted.
    let again = site.run(&["up", &site.spec("web-{n}", GOLDEN, &more)]);
    assert!(again.ok(), "{}", again.said());
    let names = fields(guests, "name");
    site.destroy(&names.iter().map(String::as_str).collect::<Vec<_>>());
    site.end();
}

#[test]
fn sizes_mounts_and_interfaces_are_as_the_spec_says() {
    let site = Site::start("sizes");
    let more = "cores = 1\nmemory = \"512M\"\nmounts = [{ path = \"/srv/data\", size = \"64M\" }]\n";
    site.up("sized", GOLDEN, more);
    let there = site.instance("sized");
    assert_eq!(there["config"]["limits.cpu"], "1", "{there:#}");
    let memory = there["config"]["limits.memory"].as_str().unwrap();
    assert!(["512MiB", "536870912", "536870912B"].contains(&memory), "{memory}");
    site.incus(&["exec", "sized", "--", "mountpoint", "/srv/data"]);
    site.destroy(&["sized"]);
    site.end();
}

/// No network at all: the report is pulled as a file.
#[test]
fn a_guest_without_any_network_becomes_ready() {
    let site = Site::start("no-network");
    site.incus(&["profile", "device", "remove", "default", "eth0"]);
    let document = site.up("alone", ALONE, "[guest.readiness]\ntimeout = \"120s\"\n");
    let guest = &document["guests"][0];
    assert!(guest["addresses"].as_array().is_none_or(Vec::is_empty), "{guest:#}");
    // All of the report, not only what a beacon carries.
    assert!(guest["by_beacon_alone"] != true, "{guest:#}");
    site.destroy(&["alone"]);
    site.incus(&["profile", "device", "add", "default", "eth0", "nic", "network=br0", "name=eth0"]);
    site.end();
}

/// Without devIncus the claim is in the environment of the guest's first process.
#[test]
fn a_guest_without_the_guest_api_becomes_ready() {
    let site = Site::start("no-guestapi");
    site.incus(&["profile", "set", "default", "security.guestapi=false"]);
    let document = site.up("no-guestapi", GOLDEN, "[guest.readiness]\ntimeout = \"120s\"\n");
    assert!(document["guests"][0]["by_beacon_alone"] != true, "{document:#}");
    let there = site.instance("no-guestapi");
    assert_eq!(there["expanded_config"]["security.guestapi"], "false", "{there:#}");
    site.destroy(&["no-guestapi"]);
    site.incus(&["profile", "unset", "default", "security.guestapi"]);
    site.end();
}

/// Project owners on shared servers have no more than this.
#[test]
fn a_restricted_project_is_enough() {
    let site = Site::on(IncusServer::shared(), "restricted", &["restricted=true"]);
    site.up("restricted", GOLDEN, "[guest.readiness]\ntimeout = \"120s\"\n");
    site.destroy(&["restricted"]);
    site.end();
}
