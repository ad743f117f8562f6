//! The peer: Ansible with its collection `community.proxmox`. One playbook, a host for each container, all of them side by
//! side. The collection restores no backups, so the golden is a template there, of the same size.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use firstlight_tests::ansible::Proxmox;
use firstlight_tests::simpve::example;
use firstlight_tests::simpve::guest::Power;
use firstlight_tests::simpve::storage::Archive;
use firstlight_tests::simpve::wire::SimPve;

use crate::rig::{self, DISK, MOUNT};

const TEMPLATE: &str = "local:vztmpl/golden_1.0_amd64.tar.zst";

#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) started: Duration,
    pub(crate) calls: usize,
}

pub(crate) fn measure(tools: &Proxmox, count: usize) -> Played {
    let mut world = rig::world();
    world.archives.insert(TEMPLATE.into(), Archive::template());
    let sim = rig::serve(world);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("ca.pem"), sim.authority()).unwrap();
    std::fs::write(path("playbook.yml"), include_str!("playbook.yml")).unwrap();
    let mut inventory = String::new();
    for number in 0..count {
        writeln!(inventory, "web-{number:02} vmid={}", 101 + number).unwrap();
    }
    std::fs::write(path("inventory.ini"), inventory).unwrap();
    let node = sim.addresses().values().next().unwrap();
    let (user, token) = example::TOKEN.split_once('!').unwrap();
    let variables = [
        ("PROXMOX_HOST", node.ip().to_string()),
        ("PROXMOX_PORT", node.port().to_string()),
        ("PROXMOX_USER", user.to_owned()),
        ("PROXMOX_TOKEN_ID", token.to_owned()),
        ("PROXMOX_TOKEN_SECRET", example::SECRET.to_owned()),
        ("PROXMOX_VALIDATE_CERTS", "true".to_owned()),
        ("ANSIBLE_FORKS", count.to_string()),
        ("LC_ALL", "C.UTF-8".to_owned()),
    ];
    let disk = DISK.trim_end_matches('G');
    let begun = Instant::now();
    let output = Command::new(&tools.playbook)
        .args(["--inventory", "inventory.ini", "playbook.yml"])
        .args(["--extra-vars", &format!("template={TEMPLATE} disk={disk} mount={MOUNT}")])
        .envs(variables)
        .env("ANSIBLE_COLLECTIONS_PATH", &tools.collections)
        .env("ANSIBLE_HOME", path("home"))
        .env("REQUESTS_CA_BUNDLE", path("ca.pem"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let started = begun.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    if std::env::var_os("FIRSTLIGHT_CALLS").is_some() {
        eprintln!("{said}");
        for call in sim.requests() {
            eprintln!("{:>7.3} {} {}", call.at.as_secs_f64(), call.method.as_str(), call.path);
        }
    }
    assert_same_work(&sim, count);
    Played { started, calls: sim.requests().len() }
}

/// As many as were asked for run, each with the disk, the mount and a MAC of its own that the others' have.
fn assert_same_work(sim: &SimPve, count: usize) {
    sim.with_world(|world| {
        assert_eq!(world.guests.len(), count, "{:?}", world.guests);
        let mut macs = std::collections::BTreeSet::new();
        for guest in world.guests.values() {
            let has = |key: &str, words: &str| guest.get(key).is_some_and(|value| value.contains(words));
            let whole = matches!(guest.power, Power::Running { .. })
                && has("rootfs", &format!("size={DISK}"))
                && has("mp0", &format!("mp={MOUNT}"))
                && has("mp0", "size=1G");
            assert!(whole, "{guest:?}");
            macs.extend(guest.get("net0").and_then(|net| net.split("hwaddr=").nth(1)).map(str::to_owned));
        }
        assert_eq!(macs.len(), count, "{macs:?}");
    });
}
