//! The whole way in one call, and what a repetition does.

use firstlight::backend::{Backend as _, Stage};
use firstlight::outcome::Probe;
use firstlight_shared::wire::Claim;
use firstlight_tests::simpve::guest::Kind;
use serde_json::json;

use super::rig::{JOB, MAC, Rig, STAGES, UUID, VMID, large};

#[tokio::test]
async fn one_restore_carries_everything_and_the_other_stages_find_it_done() {
    let mut rig = Rig::new(large());
    let outputs = rig.up().await;
    assert_eq!(outputs["restore"], json!({ "id": "101", "node": "pve1" }));
    assert_eq!(rig.changes(), ["POST /nodes/pve1/lxc", "POST /nodes/pve1/lxc/101/status/start"]);

    let (config, sent) = (rig.config(), rig.posts()[0].parameters.clone());
    assert_eq!(sent.get("unique"), None, "it would drop our interfaces");
    assert_eq!(sent.get("force"), None, "it would overwrite a guest");
    assert_eq!(sent.get("net0"), Some("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:44,ip=dhcp,type=veth"));
    assert_eq!(sent.get("mp1"), Some("thin:0.5,mp=/bulk,backup=0"));
    assert_eq!(config["hostname"], "web-01");
    assert!(config["net0"].contains(MAC), "{}", config["net0"]);
    assert!(config["rootfs"].starts_with("local:101/") && config["rootfs"].contains("size=10G"));
    assert!(config["mp0"].contains("mp=/srv") && config["mp0"].contains("backup=1"), "{}", config["mp0"]);
    assert!(config["mp1"].contains("size=512M") && config["mp1"].contains("backup=0"), "{}", config["mp1"]);
    assert_eq!((config["cores"].as_str(), config["memory"].as_str()), ("2", "1024"));
    assert_eq!((config["onboot"].as_str(), config["tags"].as_str()), ("0", "firstlight;web"));
    assert!(config["features"].contains("keyctl=1") && config["features"].contains("nesting=1"));
    assert_eq!(config["unprivileged"], "1");
    assert!(config["description"].contains(&format!("firstlight-job: {JOB}")));

    let variables: Vec<&str> = config["env"].split('\0').collect();
    assert_eq!(variables[1], format!("container_uuid={UUID}"));
    let claim = Claim::parse(variables[0].strip_prefix("FIRSTLIGHT_CLAIM=").unwrap().as_bytes()).unwrap();
    assert_eq!(claim.id, "0b6c4d1e9f");
    assert!(claim.secret.is_none());

    rig.backend.remove_claim(&rig.guest).await.unwrap();
    rig.backend.remove_claim(&rig.guest).await.unwrap();
    assert_eq!(rig.changes().len(), 3, "it is taken out once");
    let words = rig.backend.console_tail(&rig.guest, 5).await;
    assert!(words[0].starts_with("task vz"), "{words:?}");
}

#[tokio::test]
async fn a_secret_never_goes_into_a_containers_environment() {
    let mut rig = Rig::new(json!({}));
    let secret = "00112233445566778899aabbccddeeff";
    rig.guest.claim = serde_json::from_value(json!({ "version": 1, "id": "x", "secret": secret })).unwrap();
    rig.stage("restore").await.unwrap();
    let line = rig.value("env");
    let text = line.split('\0').next().unwrap().strip_prefix("FIRSTLIGHT_CLAIM=").unwrap();
    assert!(Claim::parse(text.as_bytes()).unwrap().secret.is_none());
}

#[tokio::test]
async fn what_is_repeated_makes_nothing_twice() {
    let mut rig = Rig::new(large());
    rig.up().await;
    let before = rig.sim.inventory();
    let changes = rig.changes();
    rig.up().await;
    for (name, stage) in STAGES {
        // Acts whose answer was lost are repeated at worst.
        let acted = rig.backend.act(stage, &rig.guest).await;
        assert!(matches!(acted, firstlight::outcome::Act::Applied(_)), "{name}: {acted:?}");
    }
    assert_eq!(rig.sim.inventory(), before);
    // Starting what runs is refused by the server without a task.
    assert_eq!(rig.changes().len(), changes.len() + 1, "{:?}", rig.changes());
}

#[tokio::test]
async fn another_guest_at_the_vmid_is_left_alone_and_another_vmid_is_asked_for() {
    let foreign = |rig: &Rig| {
        rig.sim.with_world(|world| world.put_guest(VMID, Kind::Lxc, "pve2", &[("hostname", "db")]));
    };
    let mut rig = Rig::new(json!({}));
    foreign(&rig);
    let before = rig.sim.inventory();
    assert_eq!(rig.stage("restore").await.unwrap_err().code, firstlight::backend::ID_TAKEN);
    assert_eq!(rig.down().await, Ok(0));
    assert_eq!(rig.sim.inventory(), before);
    assert!(rig.changes().is_empty(), "{:?}", rig.changes());

    let mut rig = Rig::new(json!({ "place": { "vmid": VMID } }));
    foreign(&rig);
    assert_eq!(rig.stage("restore").await.unwrap_err().code, "foreign", "the operator chose it");
    for stage in [Stage::Mac, Stage::Start] {
        let probed = rig.backend.probe(stage, &rig.guest).await.unwrap();
        assert!(matches!(probed, Probe::Foreign(_)), "{probed:?}");
    }
}

#[tokio::test]
async fn without_env_a_container_gets_everything_else() {
    let mut rig = Rig::with(large(), |world| world.version = "8.4.14".to_owned());
    rig.up().await;
    assert_eq!(rig.changes().len(), 2);
    assert!(!rig.config().contains_key("env"));
    assert_eq!(rig.value("hostname"), "web-01");
    rig.backend.remove_claim(&rig.guest).await.unwrap();
    assert_eq!(rig.changes().len(), 2);
}
