//! The agent beside cloud-init, networkd and wait-online.

use firstlight_tests::golden::Variant;
use firstlight_tests::rig::Rig;

use crate::support::fields;

#[test]
fn beside_cloud_init_and_networkd_there_is_no_ordering_cycle_and_system_running_passes() {
    let rig = Rig::serving();
    let more = "[guest.readiness]\ntimeout = \"150s\"\nrequire = [\"system-running\"]";
    let guests = rig.up(&rig.spec("cloudy", Variant::Cloud, more));
    let check =
        guests[0]["checks"].as_array().unwrap().iter().find(|check| check["id"] == "system-running").unwrap();
    assert_eq!(check["verdict"], "pass", "{check:#}");

    let guest = rig.leader("cloudy");
    assert_eq!(guest.settled().unwrap(), "running");
    for unit in
        ["ssh.service", "systemd-networkd.service", "cloud-final.service", "firstlight-identity.service"]
    {
        assert_eq!(guest.unit_state(unit).unwrap(), "active", "{unit}\n{}", rig.diagnosis());
    }
    let journal = guest.run(&["/usr/bin/journalctl", "-b", "--no-pager", "-o", "cat"]).unwrap().stdout;
    let cycles: Vec<&str> = journal.lines().filter(|line| line.contains("ordering cycle")).collect();
    assert!(cycles.is_empty(), "{cycles:#?}");
    assert!(!journal.is_empty(), "the journal cannot be read, so nothing was proved");

    // networkd asked by DHCP and must have been given the address that was chosen for this guest.
    let address = fields(&[serde_json::json!({"address": guests[0]["addresses"][0]})], "address").remove(0);
    let shown = guest.run(&["/usr/sbin/ip", "-4", "addr", "show", "dev", "eth0"]).unwrap().stdout;
    assert!(shown.contains(&format!("{address}/")), "{address} is not on eth0:\n{shown}");

    // cloud-init stood down: the keys are those of the identity phase, and nobody else made any since.
    let sshd = guests[0]["checks"].as_array().unwrap().iter().find(|check| check["id"] == "sshd").unwrap();
    assert!(!sshd["reason"].as_str().unwrap().contains("another program"), "{sshd:#}");
}
