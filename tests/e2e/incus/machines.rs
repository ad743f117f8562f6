//! Machines on a real server: made, with all that they shall be, and removed. None boots: the kernel lacks vhost_vsock.

use firstlight_tests::rig::incus::{IncusServer, MACHINE};
use serde_json::Value;

use super::site::Site;

const MIB: u64 = 1 << 20;

#[test]
fn machines_are_made_as_their_specs_say_and_removed_without_a_trace() {
    let server = IncusServer::for_machines();
    as_the_spec_says(&server);
    // Any limit of a project has it forbid that others choose UUIDs.
    for (project, settings) in [("restricted", "restricted=true"), ("limited", "limits.instances=3")] {
        the_server_chooses_the_uuid(&server, project, settings);
    }
}

fn as_the_spec_says(server: &IncusServer) {
    let site = Site::on(server, "machines", &[]);
    let more = "cores = 2\nmemory = \"256M\"\ndisk = \"64M\"\non_failure = \"keep\"\nonboot = true\n\
        mounts = [{ path = \"/srv/data\", size = \"64M\" }]\nnics = [{ bridge = \"br0\" }]\n";
    let guest = fails_to_start(&site, "machine", more);
    let there = site.instance("machine");
    assert_eq!((&there["type"], &there["status"]), (&"virtual-machine".into(), &"Stopped".into()));
    let config = &there["config"];
    for (key, wanted) in [
        ("user.firstlight.job", guest["job"].as_str().unwrap()),
        ("volatile.eth0.hwaddr", guest["mac"].as_str().unwrap()),
        ("limits.cpu", "2"),
        ("limits.memory", "256MiB"),
        ("boot.autostart", "true"),
    ] {
        assert_eq!(config[key], wanted, "{key}: {there:#}");
    }
    assert!(config["user.firstlight.claim"].as_str().unwrap().starts_with("firstlight1:"), "{there:#}");
    // Chosen by us: the server keeps it as the one that clones would be told from.
    assert_eq!(config["volatile.uuid"], config["volatile.uuid.generation"], "{there:#}");
    let devices = &there["devices"];
    let of = |device: &str, key: &str| devices[device][key].clone();
    assert_eq!((of("root", "size"), of("eth0", "network")), ("64MiB".into(), "br0".into()), "{there:#}");
    assert_eq!(of("firstlight0", "path"), "/srv/data", "{there:#}");
    // The disk has grown for real.
    let root = format!("storage-pools/default/virtual-machines/{}_machine/root.img", site.project);
    let length = std::fs::metadata(server.directory().join(root)).unwrap().len();
    assert_eq!(length, 64 * MIB);
    site.destroy(&["machine"]);
    site.end();
}

fn the_server_chooses_the_uuid(server: &IncusServer, project: &str, settings: &str) {
    let site = Site::on(server, project, &[settings]);
    let name = format!("machine-{project}");
    fails_to_start(&site, &name, "on_failure = \"keep\"\n");
    let uuid = site.instance(&name)["config"]["volatile.uuid"].clone();
    let events = site.json(&["show", &name, "--json"]);
    assert!(events.to_string().contains(uuid.as_str().unwrap()), "{uuid} is not in {events:#}");
    site.destroy(&[&name]);
    site.end();
}

/// All up to the boot goes well; what the boot lacks is said, and the machine is left for the operator to see.
fn fails_to_start(site: &Site<'_>, name: &str, more: &str) -> Value {
    let spec = site.spec(name, MACHINE, &format!("kind = \"vm\"\n{more}"));
    let guest = site.json(&["up", &spec, "--json"])["guests"][0].clone();
    let at = (&guest["state"], &guest["step"]);
    assert_eq!(at, (&"needs-operator".into(), &"start".into()), "{guest:#}\n{}", site.said());
    let said = guest["failure"]["message"].as_str().unwrap();
    assert!(said.contains("/dev/vhost-vsock"), "{said}");
    guest
}
