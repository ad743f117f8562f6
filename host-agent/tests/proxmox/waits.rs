//! `firstlight wait` for containers that another tool made, and what docs/wait.md tells such tools to run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use firstlight_tests::run::{Ran, without_variables};
use firstlight_tests::simpve::guest::Kind;
use tokio::process::Command;

use crate::field::{Cluster, NEIGHBOUR, SILENT};
use crate::operator::ended;

pub(crate) const PAGE: &str = include_str!("../../../docs/wait.md");

/// With the program in front of the path, and the companion's configuration.
pub(crate) fn surroundings(command: &mut Command, cluster: &Cluster) {
    without_variables(command.as_std_mut());
    let folder = Path::new(env!("CARGO_BIN_EXE_firstlight")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", folder.display()));
    command.env("FIRSTLIGHT_CONFIG", cluster.place.path("firstlight.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
}

pub(crate) async fn run(mut command: Command, cluster: &Cluster) -> Ran {
    surroundings(&mut command, cluster);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await;
    ended(output.expect("it ends").unwrap())
}

async fn shell(line: &str, cluster: &Cluster) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    run(command, cluster).await
}

async fn wait(words: &str, cluster: &Cluster) -> Ran {
    shell(&format!("firstlight wait --backend proxmox {words}"), cluster).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_of_another_tool_are_waited_for_and_left_alone() {
    let cluster = Cluster::start();
    let _companion = cluster.companion().await;
    for (vmid, name) in [(101, "web-01"), (102, "web-02"), (103, SILENT)] {
        cluster.somebody_makes(vmid, name).await;
    }
    let made = cluster.changes().len();
    let ready =
        wait("--vmid 101", &cluster).await.ends_with(0).says(&["waiting for: web-01", "web-01: ready in"]);
    assert!(ready.stdout.contains("attested") && ready.stdout.contains("SHA256:"), "{ready:#?}");
    wait("web-01 --json", &cluster).await.ends_with(0).says(&["on record", "\"action\": \"unchanged\""]);

    // Each end with its reason and its code.
    for (words, code, said) in [
        ("--vmid 103 --timeout 2s", 1, "was not ready within 2 s"),
        ("web-02 --require docker", 1, "docker"),
        ("web-01 --require docker", 3, "--again"),
        ("--vmid 999", 5, "no guest has the name or the number `999`"),
        ("nobody", 5, "no guest has the name or the number `nobody`"),
        ("--vmid 101 --timeout never", 2, "1s to 24h is wanted"),
        ("", 2, "required"),
    ] {
        let ran = wait(words, &cluster).await.ends_with(code).says(&["error: ", said]);
        assert!(code == 2 || ran.stderr.contains("hint: "), "{ran:#?}");
    }
    cluster.sim.with_world(|world| world.put_guest(104, Kind::Lxc, "pve1", &[("hostname", "web-01")]));
    wait("web-01 --again", &cluster)
        .await
        .ends_with(3)
        .says(&["2 guests are called `web-01`", "by its number"]);
    // With no MAC there is nothing to know it by.
    wait("--vmid 104", &cluster).await.ends_with(3).says(&["no network interface with a MAC"]);
    assert_eq!(cluster.changes().len(), made, "something was done to a guest");
    assert!(cluster.guests().len() == 4 && NEIGHBOUR == 100);
}

/// The block of docs/wait.md in this language.
pub(crate) fn snippet(language: &str) -> &'static str {
    let block = PAGE.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("\n```").next());
    block.unwrap_or_else(|| panic!("the page shows no {language}"))
}

const REFERENCE: &str = "proxmox_virtual_environment_container.web";

/// `terraform_data`, which Terraform itself has, without the provider's resource.
fn terraform_data(vmid: u32) -> String {
    let from = snippet("hcl").find("resource \"terraform_data\"").expect("the page shows it");
    snippet("hcl")[from..]
        .replace(&format!("${{{REFERENCE}.vm_id}}"), &vmid.to_string())
        .replace(&format!("{REFERENCE}.id"), &format!("\"{vmid}\""))
}

/// What Terraform hands to the shell; and, where there is a Terraform, an apply that fails with the guest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_page_shows_for_terraform_works() {
    let cluster = Cluster::start();
    let _companion = cluster.companion().await;
    for (vmid, name) in [(101, "web-01"), (102, "web-02")] {
        cluster.somebody_makes(vmid, name).await;
    }
    let block = terraform_data(101);
    assert!(!block.contains(REFERENCE), "{block}");
    let command = block.lines().find_map(|line| line.trim().strip_prefix("command = ")).expect("a command");
    let command = command.trim_matches('"');
    shell(command, &cluster).await.ends_with(0).says(&["web-01: ready in"]);
    shell(&command.replace("101", "999"), &cluster).await.ends_with(5).says(&["no guest has"]);

    let folder = tempfile::tempdir().unwrap();
    let mut there = Command::new("terraform");
    there.arg("version").env("TF_CLI_CONFIG_FILE", "/dev/null").stdout(Stdio::null()).stderr(Stdio::null());
    if !there.status().await.is_ok_and(|status| status.success()) {
        return;
    }
    for (vmid, code, said) in
        [(102, 0, "web-02: ready in"), (999, 1, "no guest has the name or the number `999`")]
    {
        std::fs::write(folder.path().join("main.tf"), terraform_data(vmid)).unwrap();
        for words in [&["init", "-no-color", "-input=false"][..], &["apply", "-no-color", "-auto-approve"]] {
            let mut terraform = Command::new("terraform");
            terraform.args(words).current_dir(folder.path());
            terraform.env("TF_CLI_CONFIG_FILE", "/dev/null").env("CHECKPOINT_DISABLE", "1");
            let ran = run(terraform, &cluster).await;
            let expected = if words[0] == "init" { 0 } else { code };
            assert_eq!(ran.code, expected, "{ran:#?}");
            if words[0] == "apply" {
                ran.says(&[said]);
            }
        }
    }
}
