//! Ready guests as an inventory for Ansible.

use serde_json::Value;

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_guests_are_listed_with_their_verified_keys() {
    let mut rig = Rig::serving().await;
    let none = rig.run(&["inventory"]).await.ends_with(0).json();
    assert_eq!(none["firstlight"]["hosts"], serde_json::json!([]));
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    rig.hypervisor.break_guest("bad", true);
    rig.run(&["up", &rig.spec(&["bad"], "")]).await.ends_with(1);
    let known = rig.path("known hosts");
    let words = ["inventory", "--list", "--known-hosts", known.to_str().unwrap()];
    let found = rig.run(&words).await.ends_with(0).json();
    for group in [
        "firstlight",
        "firstlight_backend_local",
        "firstlight_golden_golden_tar",
        "firstlight_trust_attested",
    ] {
        assert_eq!(found[group]["hosts"], serde_json::json!(["web-01", "web-02"]), "{found:#}");
    }
    let variables = &found["_meta"]["hostvars"]["web-01"];
    let lines = rig.run(&["known-hosts", "web-01"]).await.ends_with(0).stdout;
    assert_eq!(variables["firstlight_host_keys"], serde_json::json!(lines.lines().collect::<Vec<_>>()));
    let address = variables["ansible_host"].as_str().unwrap();
    assert!(lines.contains(address), "{lines}");
    let all = rig.run(&["known-hosts"]).await.ends_with(0).stdout;
    assert_eq!(std::fs::read_to_string(&known).unwrap(), all);
    assert!(
        variables["ansible_ssh_common_args"].as_str().unwrap().contains("known hosts' -o Strict"),
        "{variables}"
    );
    let mut one = rig.run(&["inventory", "--host", "web-01"]).await.ends_with(0).json();
    let mut same = variables.clone();
    for object in [&mut one, &mut same] {
        object.as_object_mut().unwrap().remove("ansible_ssh_common_args");
    }
    assert_eq!(one, same);
    rig.run(&["inventory", "--host", "bad"]).await.ends_with(5).tells(&["bad"]);
    // Without a companion the store is asked.
    rig.stop().await;
    let alone: Value = rig.run(&["inventory"]).await.ends_with(0).json();
    assert_eq!(alone["firstlight"], found["firstlight"]);
}

/// Ansible itself, with the script that playbooks are given.
#[cfg(feature = "e2e")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ansible_reads_it() {
    let playbook = tokio::task::spawn_blocking(firstlight_tests::ansible::ensure).await.unwrap().unwrap();
    let mut rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    let script = firstlight_tests::paths::root().join("packaging/ansible/firstlight-inventory");
    let known = rig.path("known_hosts.firstlight");
    let ask = |words: &[&str]| {
        let mut ansible = std::process::Command::new(playbook.with_file_name("ansible-inventory"));
        ansible.arg("--inventory").arg(&script).args(words);
        ansible.env("FIRSTLIGHT_STATE", rig.state()).env("FIRSTLIGHT", env!("CARGO_BIN_EXE_firstlight"));
        ansible.env("FIRSTLIGHT_KNOWN_HOSTS", &known).env("LC_ALL", "C.UTF-8");
        ansible.env("ANSIBLE_HOME", rig.path("ansible")).env("ANSIBLE_INVENTORY_UNPARSED_FAILED", "1");
        let ran = ansible.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        let warned = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!warned.contains("WARNING") && !warned.contains("ERROR"), "{warned}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let listed: Value = serde_json::from_str(&ask(&["--list"])).unwrap();
    assert_eq!(
        listed["firstlight_backend_local"]["hosts"],
        serde_json::json!(["web-01", "web-02"]),
        "{listed:#}"
    );
    let host: Value = serde_json::from_str(&ask(&["--host", "web-01"])).unwrap();
    assert_eq!(host["firstlight_trust"], "attested", "{host:#}");
    let arguments = host["ansible_ssh_common_args"].as_str().unwrap();
    assert!(arguments.contains(known.to_str().unwrap()) && known.is_file(), "{arguments}");
    let graph = ask(&["--graph"]);
    assert!(graph.contains("@firstlight_trust_attested:"), "{graph}");
    rig.stop().await;
}
