//! What can be wrong with a server or a guest: said in words, and nothing is left.

use firstlight_tests::rig::incus::{GOLDEN, IncusServer, SILENT, SILENT_NETWORK, TIGHT_POOL};

use super::site::Site;

#[test]
fn an_image_that_is_missing_is_refused() {
    let site = Site::start("no-image");
    let said = site.refused("no-image", "no-such-golden", "");
    assert!(said.contains("no-such-golden") && said.contains("incus image list"), "{said}");
    site.end();
}

#[test]
fn a_full_pool_rolls_back() {
    let site = Site::start("full");
    let guest = site.up_in_vain("full", GOLDEN, &format!("storage = \"{TIGHT_POOL}\"\n"));
    assert_eq!(guest["state"], "rolled-back", "{guest:#}");
    assert_eq!(guest["failure"]["code"], "incus-pool-full", "{guest:#}");
    site.end();
}

#[test]
fn a_foreign_instance_of_that_name_stays_untouched() {
    let site = Site::start("foreign");
    site.incus(&["init", GOLDEN, "foreign", "--config", "user.owner=somebody"]);
    let before = site.instance("foreign");
    let said = site.refused("foreign", GOLDEN, "");
    assert!(said.contains("foreign"), "{said}");
    let destroyed = site.run(&["destroy", "foreign"]);
    assert!(!destroyed.ok(), "{}", destroyed.said());
    assert_eq!(site.instance("foreign"), before);
    site.incus(&["delete", "foreign"]);
    site.end();
}

#[test]
fn a_network_without_dhcp_is_named() {
    let site = Site::start("no-dhcp");
    let more =
        format!("nics = [{{ bridge = \"{SILENT_NETWORK}\" }}]\n[guest.readiness]\ntimeout = \"15s\"\n");
    let guest = site.up_in_vain("no-dhcp", GOLDEN, &more);
    assert_eq!(guest["state"], "rolled-back", "{guest:#}");
    assert!(guest.to_string().contains("network"), "{guest:#}");
    site.end();
}

#[test]
fn a_guest_that_never_reports_is_rolled_back_with_its_console() {
    let site = Site::start("never");
    let guest = site.up_in_vain("mute", SILENT, "[guest.readiness]\ntimeout = \"10s\"\n");
    assert_eq!(guest["state"], "rolled-back", "{guest:#}");
    assert!(guest["failure"]["message"].as_str().unwrap().contains("10"), "{guest:#}");
    let shown = site.json(&["show", "mute", "--json"]);
    let tail = shown["job"]["console_tail"].as_array().unwrap();
    assert!(!tail.is_empty(), "no console lines were kept: {shown:#}");
    site.end();
}

#[test]
fn what_a_project_forbids_is_said() {
    let settings = ["restricted=true", "restricted.devices.nic=block"];
    let server = IncusServer::shared();
    // The usual profile itself would break the rule, so the project gets it later.
    let site = Site::on(server, "forbidden", &["restricted=true"]);
    site.incus(&["profile", "device", "remove", "default", "eth0"]);
    server.must(&["project", "set", &site.project, settings[1]]).unwrap();
    let ran = site.run(&["up", &site.spec("forbidden", GOLDEN, "nics = [{ bridge = \"br0\" }]\n"), "--json"]);
    assert!(ran.code == 1 || ran.code == 3, "{}", ran.said());
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("restricted") || said.contains("forbid"), "{}", ran.said());
    server.must(&["project", "unset", &site.project, "restricted.devices.nic"]).unwrap();
    site.incus(&["profile", "device", "add", "default", "eth0", "nic", "network=br0", "name=eth0"]);
    site.end();
}
