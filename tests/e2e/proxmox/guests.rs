//! What the API shows of a container is what the container is.

use std::io::Read as _;
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use firstlight_shared::beacon::{State, decode};
use firstlight_shared::ids::MachineId;
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use firstlight_tests::wait;
use serde_json::Value;

use super::api::Cluster;

const UUID: &str = "5a3c7e10-1b2d-4c3e-8f90-a1b2c3d4e5f6";
const MAC: &str = "BC:24:11:5E:00:01";

/// All addresses of one link, as the API lists them.
fn addresses(interfaces: &Value, link: &str) -> Vec<IpAddr> {
    let link = interfaces.as_array().into_iter().flatten().find(|shown| shown["name"] == link);
    let all = link.and_then(|link| link["ip-addresses"].as_array()).into_iter().flatten();
    all.filter_map(|address| address["ip-address"].as_str()?.parse().ok()).collect()
}

fn file(guest: Leader, path: &str) -> String {
    guest.run(&["/bin/cat", path]).unwrap().stdout
}

#[test]
fn a_container_of_the_simulated_cluster_is_a_real_one() {
    let cluster = Cluster::start(Variant::Dhcp);
    let before = cluster.sim.inventory();
    let (archive, env) =
        (format!("ostemplate={CONTAINER_GOLDEN}"), format!("env=container_uuid={UUID}\0X=a b"));
    let net = format!("net0=name=eth0,bridge=vmbr0,ip=dhcp,hwaddr={MAC}");
    let create = [
        "vmid=101",
        "restore=1",
        "hostname=web-01",
        "rootfs=local:4",
        "mp0=local:1,mp=/mnt/data",
        &archive,
        &env,
        &net,
    ];
    cluster.task("POST", "/nodes/pve1/lxc", &create);
    cluster.task("POST", "/nodes/pve1/lxc/101/status/start", &[]);

    let mut last = Value::Null;
    let beacon = wait::until("a beacon that says ready, and an address", Duration::from_secs(90), || {
        last = cluster.interfaces(101);
        let seen = decode(&addresses(&last, "lo")).ok()??;
        let leased = addresses(&last, "eth0").iter().any(IpAddr::is_ipv4);
        (leased && seen.state() == State::Ready).then_some(seen)
    });
    let beacon = beacon.unwrap_or_else(|error| panic!("{error}: {last:#}\n{}", cluster.said()));
    assert_eq!(last[0]["name"], "lo", "{last:#}");
    assert_eq!(last[1]["hwaddr"], MAC.to_lowercase(), "{last:#}");
    assert!(last[1]["inet"].as_str().unwrap().ends_with("/24"), "{last:#}");

    let guest = cluster.leader(101);
    let predicted: MachineId = UUID.parse().unwrap();
    assert_eq!(file(guest, "/etc/machine-id").trim(), UUID.replace('-', ""));
    assert_eq!(guest.run(&["/bin/uname", "-n"]).unwrap().stdout.trim(), "web-01");
    let hosts = file(guest, "/etc/hosts");
    assert!(hosts.contains("\n127.0.1.1 web-01\n# --- END PVE ---\n"), "{hosts}");
    let environment = file(guest, "/proc/1/environ");
    for wanted in [format!("container_uuid={UUID}"), "X=a b".to_owned(), "container=lxc".to_owned()] {
        assert!(environment.split('\0').any(|pair| pair == wanted), "{wanted} in {environment:?}");
    }
    assert!(guest.run(&["/usr/bin/mountpoint", "/mnt/data"]).unwrap().ok());
    let key = ssh_key::PublicKey::from_openssh(&file(guest, "/etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    assert!(beacon.matches_key(&key), "{beacon:?}");
    let routes = file(guest, "/proc/net/route");
    assert!(routes.lines().any(|line| line.starts_with("eth0\t00000000\t")), "no default route: {routes}");
    let leased = addresses(&last, "eth0").into_iter().find(IpAddr::is_ipv4).unwrap();
    let mut greeting = [0; 4];
    TcpStream::connect((leased, 22)).unwrap().read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"SSH-");
    let report = file(guest, "/run/firstlight/report.json");
    assert!(report.contains(&predicted.derived().to_string()), "{report}");

    // Stopped, nothing is listed; started again, it is the same machine with what it had written.
    guest.run(&["/bin/sh", "-c", "echo kept > /mnt/data/note; echo kept > /root/note; sync"]).unwrap();
    cluster.task("POST", "/nodes/pve1/lxc/101/status/stop", &[]);
    assert_eq!(cluster.interfaces(101), Value::Null);
    wait::until("its processes to end", Duration::from_secs(60), || (!guest.alive()).then_some(())).unwrap();
    cluster.task("POST", "/nodes/pve1/lxc/101/status/start", &[]);
    let again = cluster.leader(101);
    again.settled().unwrap();
    assert_eq!(file(again, "/mnt/data/note") + &file(again, "/root/note"), "kept\nkept\n");
    assert_eq!(file(again, "/etc/machine-id").trim(), UUID.replace('-', ""));
    assert_eq!(
        ssh_key::PublicKey::from_openssh(&file(again, "/etc/ssh/ssh_host_ed25519_key.pub")).unwrap(),
        key
    );

    // Destroyed, its number is free for another machine.
    cluster.task("POST", "/nodes/pve1/lxc/101/status/stop", &[]);
    cluster.task("DELETE", "/nodes/pve1/lxc/101?purge=1", &[]);
    assert_eq!(cluster.sim.inventory(), before);
    wait::until("its root to go", Duration::from_secs(60), || {
        (!cluster.guests.root(101).exists()).then_some(())
    })
    .unwrap();
    assert_eq!(cluster.guests.problems(), Vec::<String>::new());
    cluster.end();
}

#[test]
fn a_guest_that_is_cut_off_has_an_address_and_no_way_to_this_machine() {
    let cluster = Cluster::start(Variant::Dhcp);
    cluster.guests.cut_off("alone");
    let archive = format!("ostemplate={CONTAINER_GOLDEN}");
    for (id, hostname) in [(101, "alone"), (102, "beside")] {
        let create = [
            &format!("vmid={id}"),
            "restore=1",
            "unique=1",
            "start=1",
            &format!("hostname={hostname}"),
            &archive,
        ];
        cluster.task("POST", "/nodes/pve1/lxc", &create);
    }
    let mut found = Vec::new();
    for id in [101, 102] {
        let guest = cluster.leader(id);
        let leased = wait::until("an address", Duration::from_secs(60), || {
            addresses(&cluster.interfaces(id), "eth0").into_iter().find(IpAddr::is_ipv4)
        });
        leased.unwrap_or_else(|error| panic!("{error}\n{}", cluster.said()));
        let routes = file(guest, "/proc/net/route");
        assert!(
            routes.lines().any(|line| line.starts_with("eth0\t00000000\t")),
            "no default route: {routes}"
        );
        let mac = cluster.api().ask("GET", &format!("/nodes/pve1/lxc/{id}/config"), &[]).unwrap();
        found.push((cluster.is_reached_by(guest), mac["net0"].clone()));
    }
    assert_eq!(found.iter().map(|(reached, _)| *reached).collect::<Vec<_>>(), [false, true]);
    assert_ne!(found[0].1, found[1].1, "one MAC for both");
    cluster.end();
}
