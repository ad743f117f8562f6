//! The Ansible tasks of docs/wait.md, run by Ansible itself.

use std::path::Path;

use firstlight_tests::paths;
use firstlight_tests::run::Ran;
use tokio::process::Command;

use crate::field::Cluster;
use crate::waits::{run, snippet};

/// The page's tasks that wait and read keys, as one play; those before them make the guest.
fn play(vmid: &str, more: &str) -> String {
    let tasks = snippet("yaml");
    let from = tasks.find("- name: Wait until it is ready").expect("the page shows it");
    let tasks = format!("{}\n{more}", &tasks[from..]).replace("\"101\"", &format!("\"{vmid}\""));
    let tasks: String = tasks.lines().map(|line| format!("    {line}\n")).collect();
    format!("- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n{tasks}")
}

/// What a play sees of the answers.
const CHECK: &str = "
- ansible.builtin.assert:
    that:
      - web is not changed
      - (web.stdout | from_json).guests[0].state == 'done'
      - (web.stdout | from_json).guests[0].trust == 'attested'
      - (web.stdout | from_json).guests[0].ssh_host_keys | length == 1
      - host_keys.stdout is match('web-01')
";

async fn playbook(text: &str, cluster: &Cluster) -> Ran {
    let file = cluster.place.path("play.yml");
    std::fs::write(&file, text).unwrap();
    let program = paths::given(paths::ANSIBLE_VARIABLE);
    // The one that Ansible runs with: others on this machine may be shims that lead nowhere.
    let python = Path::new(&program).with_file_name("python3");
    let mut ansible = Command::new(&program);
    ansible.args(["--inventory", "localhost,"]).arg(&file);
    ansible.env("ANSIBLE_HOME", cluster.place.path("ansible")).env("ANSIBLE_NOCOLOR", "1");
    ansible.env("LC_ALL", "C.UTF-8").env("ANSIBLE_PYTHON_INTERPRETER", python);
    run(ansible, cluster).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_tasks_wait_for_a_guest_and_know_its_keys() {
    let cluster = Cluster::start();
    let _companion = cluster.companion().await;
    cluster.somebody_makes(101, "web-01").await;
    // Run again, it is answered from the record.
    for _ in 0..2 {
        playbook(&play("101", CHECK), &cluster).await.ends_with(0).says(&["failed=0"]);
    }
    let missing = playbook(&play("999", ""), &cluster).await.ends_with(2);
    missing.says(&["Wait until it is ready", "no guest has the name or the number `999`", "failed=1"]);
}
