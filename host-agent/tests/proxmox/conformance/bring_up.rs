//! Whole bring-ups by the companion itself on fakepve's server, with its faults.
//!
//! What fakepve does not have, and what takes its place here: it restores no archive (the guest is what the request says,
//! and no more: neither features nor `unprivileged` are kept), its answer to `extractconfig` is a sample (`serve.py` gives one), and nothing runs
//! in its guests: the test reports in their stead, and tells the server which addresses the guest shows.

use std::net::IpAddr;
use std::time::Duration;

use firstlight_shared::beacon::{Beacon, Form, Reason, encode};
use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::Claim;
use firstlight_tests::wait::until_so;
use serde_json::{Value, json};

use super::server::{FakePve, GOLDEN};
use crate::field::report::Guest;
use crate::field::{Companion, GUEST, Place, send};

const VMID: u32 = 150;
const LIMIT: Duration = Duration::from_secs(60);

struct Rig {
    // In the order of their ends.
    companion: Companion,
    pve: FakePve,
    _place: Place,
}

impl Rig {
    async fn start() -> Self {
        let pve = FakePve::start();
        let proxmox =
            format!("addresses = [\"{}\"]\nfingerprints = [\"{}\"]", pve.address, pve.fingerprint());
        let token = format!("lab@pve!host={}", crate::server::SECRET);
        let place = Place::new(&proxmox, &token, "warn,firstlight=debug");
        let companion = Companion::start(&place).await;
        Self { companion, pve, _place: place }
    }

    fn tell(&mut self, what: &str, words: Value) {
        self.pve.tell(words, what);
    }

    fn guest(&mut self) -> Option<Value> {
        self.pve.guests().into_iter().find(|guest| guest["vmid"] == VMID)
    }

    async fn submit(&self) -> String {
        let spec = json!({
            "backend": "proxmox",
            "plan": {
                "name": GUEST, "golden": GOLDEN, "kind": "lxc",
                "place": { "vmid": VMID, "storage": "local-lvm", "node": "pve1" },
                "mounts": [{ "path": "/data", "size_bytes": 1_u64 << 30, "backup": false }],
                "size": { "disk_bytes": 10_u64 << 30, "cores": 2, "memory_bytes": 1_u64 << 30 },
                "tags": ["customer"],
            },
            "keep_on_failure": false, "timeout_ms": 30_000, "deadline_ms": 60_000, "require": [],
        });
        self.companion.up(&spec).await
    }

    /// What the guest would do once it runs.
    async fn report(&mut self) {
        let mut found = None;
        until_so("the guest to run", LIMIT, async || {
            found = self.guest().filter(|guest| guest["status"] == "running");
            found.is_some()
        })
        .await;
        let config = found.unwrap()["config"].take();
        let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
        let env = text("env");
        let handed =
            |name: &str| env.split('\0').find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let claim = Claim::parse(handed("FIRSTLIGHT_CLAIM=").as_bytes()).unwrap();
        let machine_id: MachineId = handed("container_uuid=").replace('-', "").parse().unwrap();
        let mac = text("net0").split(',').find_map(|pair| pair.strip_prefix("hwaddr=")?.parse().ok());
        let address = IpAddr::from([10, 78, 0, 150]);
        let guest = Guest { name: text("hostname"), mac: mac.unwrap(), address };
        let envelope = guest.envelope(Some(&claim), &machine_id);
        let beacon = Beacon::of_report(&envelope, Reason::None).unwrap();
        let shown: Vec<String> = encode(&beacon, Form::Ipv6, 0).iter().map(ToString::to_string).collect();
        self.tell("shows", json!({ "vmid": VMID, "addresses": shown }));
        tokio::spawn(send(guest, claim, serde_json::to_string(&envelope).unwrap()));
    }

    /// To the guest that is ready, and back to nothing.
    async fn comes_up_and_goes(mut self, job: String, case: &str) {
        self.report().await;
        let ended = self.companion.ended(&job, LIMIT).await;
        let guests = self.pve.guests();
        assert_eq!(ended.state(), "done", "{case}: {ended:#?}\n{guests:#?}\n{}", self.companion.log());
        let [guest] = &guests[..] else { panic!("{case}: {guests:#?}") };
        let config = &guest["config"];
        for (key, part) in [
            ("hostname", GUEST),
            ("rootfs", "local-lvm:vm-150-disk-0,size=10G"),
            ("mp0", "mp=/data"),
            ("mp0", "backup=0"),
            ("net0", "bridge=vmbr0"),
            ("description", job.as_str()),
            ("tags", "customer;firstlight"),
        ] {
            assert!(
                config[key].as_str().is_some_and(|text| text.contains(part)),
                "{case}: {key} in {config:#}"
            );
        }
        assert!(!config["net0"].as_str().unwrap().contains("AA:BB:CC"), "{case}: {config:#}");
        // Of a running container it is gone with the next start; who reads the configuration sees it no more.
        assert_eq!(guest["pending"], json!({ "env": null }), "{case}: the claim is left");
        assert_eq!((&config["memory"], &config["cores"]), (&json!(1024), &json!(2)), "{case}");
        self.tell("calm", json!({}));
        let (status, answer) = self.companion.post("/v1/destroy", &json!({ "guests": [GUEST] })).await;
        assert!(status.is_success(), "{case}: {status} {answer}");
        until_so("the guest to be gone", LIMIT, async || self.pve.guests().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_comes_up_and_goes() {
    let rig = Rig::start().await;
    let job = rig.submit().await;
    rig.comes_up_and_goes(job, "nothing goes wrong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_take_their_time_are_followed() {
    let mut rig = Rig::start().await;
    rig.tell("slow", json!({ "factor": 0.1, "create": 15, "destroy": 5 }));
    let job = rig.submit().await;
    rig.comes_up_and_goes(job, "slow tasks").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_of_others_are_waited_for() {
    let mut rig = Rig::start().await;
    rig.tell("after_restore", json!({ "vmid": VMID, "what": "lock", "seconds": 2 }));
    let job = rig.submit().await;
    rig.comes_up_and_goes(job, "another holds the guest's lock").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_for_a_while_is_waited_for() {
    let mut rig = Rig::start().await;
    rig.tell("after_restore", json!({ "vmid": VMID, "what": "offline", "seconds": 3 }));
    let job = rig.submit().await;
    rig.comes_up_and_goes(job, "595 for a while").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_quorum_is_waited_for() {
    let mut rig = Rig::start().await;
    rig.tell("after_restore", json!({ "vmid": VMID, "what": "quorum", "seconds": 3 }));
    let job = rig.submit().await;
    rig.comes_up_and_goes(job, "no quorum for a while").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flaky_network_costs_time_and_never_makes_two() {
    for seed in 1..=3 {
        let mut rig = Rig::start().await;
        rig.tell("flaky", json!({ "drop": 0.2, "hang": 0.05, "hang_s": 0.5, "seed": seed }));
        let job = rig.submit().await;
        rig.comes_up_and_goes(job, &format!("a flaky network, seed {seed}")).await;
    }
}
