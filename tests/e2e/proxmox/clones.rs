//! The main job on a cluster: clones of a golden, each proved by what the hypervisor lists of it.

use firstlight_shared::ids::MachineId;
use firstlight_tests::demo::shared_identities;
use firstlight_tests::guest::Leader;

use super::site::Site;
use crate::support::fields;

fn file(guest: Leader, path: &str) -> String {
    guest.run(&["/bin/cat", path]).unwrap().stdout
}

#[test]
fn clones_on_a_cluster_are_attested_by_their_beacons() {
    let site = Site::start();
    let before = site.cluster.sim.inventory();
    let more = "count = 3\nmounts = [{ path = \"/mnt/data\", size = \"1G\" }]\n[guest.readiness]\ntimeout = \"120s\"\n";
    let document = site.up("web-{n}", more);
    let guests = document["guests"].as_array().unwrap();
    assert_eq!(fields(guests, "name"), ["web-01", "web-02", "web-03"]);
    assert_eq!(fields(guests, "state"), ["done", "done", "done"]);
    assert_eq!(fields(guests, "trust"), ["attested", "attested", "attested"]);
    assert_eq!(fields(guests, "hostname"), ["web-01", "web-02", "web-03"]);
    assert_eq!(shared_identities(&document), Vec::<String>::new());
    assert!(guests.iter().all(|guest| guest["by_beacon_alone"] != true), "{document:#}");

    for guest in guests {
        let name = guest["name"].as_str().unwrap();
        let id = site.vmid(name);
        let inside = site.cluster.leader(id);
        let environment = file(inside, "/proc/1/environ");
        let uuid = environment.split('\0').find_map(|pair| pair.strip_prefix("container_uuid="));
        let predicted: MachineId = uuid.expect("its machine-id was chosen in advance").parse().unwrap();
        assert_eq!(file(inside, "/etc/machine-id").trim(), predicted.expose());
        assert_eq!(guest["machine_id"], predicted.derived().to_string(), "{name}");
        assert_eq!(file(inside, "/etc/hostname").trim(), name);
        let link = inside.run(&["/usr/bin/ip", "-o", "link", "show", "eth0"]).unwrap().stdout;
        let mac = guest["mac"].as_str().unwrap();
        assert!(link.contains(&format!(" link/ether {} ", mac.to_lowercase())), "{name} with {mac}: {link}");
        assert!(inside.run(&["/usr/bin/mountpoint", "/mnt/data"]).unwrap().ok(), "{name}");

        // The lines that the companion prints are all that ssh has.
        let address = guest["addresses"][0].as_str().unwrap();
        let ran = site.log_in(address, &["uname", "-n"]);
        assert_eq!(ran.stdout.trim(), name, "{}", ran.said());
    }

    let destroyed = site.run(&["destroy", "web-01", "web-02", "web-03"]);
    assert!(destroyed.ok(), "{}\n{}", destroyed.said(), site.said());
    assert_eq!(site.cluster.sim.inventory(), before);
    site.end();
}

#[test]
fn a_guest_that_reaches_nobody_becomes_ready_by_its_beacon_alone() {
    let site = Site::start();
    let before = site.cluster.sim.inventory();
    site.cluster.guests.cut_off("alone");
    let document = site.up("alone", "[guest.readiness]\ntimeout = \"120s\"\n");
    let guest = &document["guests"][0];
    assert_eq!((&guest["state"], &guest["trust"]), (&"done".into(), &"attested".into()), "{document:#}");
    assert_eq!(guest["by_beacon_alone"], true, "{document:#}");

    // Really cut off: the companion has heard nothing, and has the host key all the same.
    let id = site.vmid("alone");
    let inside = site.cluster.leader(id);
    assert!(!site.cluster.is_reached_by(inside));
    let key = file(inside, "/etc/ssh/ssh_host_ed25519_key.pub");
    let key = key.split_whitespace().nth(1).unwrap();
    let known_hosts = site.run(&["known-hosts"]).stdout;
    assert!(known_hosts.lines().any(|line| line.starts_with("alone") && line.contains(key)), "{known_hosts}");
    let address = guest["addresses"][0].as_str().unwrap();
    let ran = site.log_in(address, &["uname", "-n"]);
    assert_eq!(ran.stdout.trim(), "alone", "{}", ran.said());

    let destroyed = site.run(&["destroy", "alone"]);
    assert!(destroyed.ok(), "{}\n{}", destroyed.said(), site.said());
    assert_eq!(site.cluster.sim.inventory(), before);
    site.end();
}
