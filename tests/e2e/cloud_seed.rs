//! The agent beside a cloud-init that has work to do: a NoCloud seed with a name, users and keys (docs/cloud-init.md).

use std::fs;
use std::path::PathBuf;

use firstlight_tests::golden::{Layer, Variant};
use firstlight_tests::guest::bare::Root;
use firstlight_tests::guest::{Boot, Leader};
use firstlight_tests::rig::Rig;
use firstlight_tests::run;
use serde_json::Value;

use crate::support::{archive, host_keys, unpacked};
use crate::whole::{machine_id, put, served_key, status, systemctl};

const META: &str = "var/lib/cloud/seed/nocloud/meta-data";
const USER: &str = "var/lib/cloud/seed/nocloud/user-data";
const DROP_IN: &str = "etc/cloud/cloud.cfg.d/95-firstlight.cfg";
const LOGIN: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFkYW1zIGtleSwgbm90IGEgcmVhbCBvbmUgb2YgYW55 ops@desk";

/// What an operator gives to cloud-init: a name, /etc/hosts, a user who may log in, a command.
fn user_data(more: &str) -> String {
    format!(
        "#cloud-config\nhostname: named-by-cloud\nmanage_etc_hosts: true\nusers:\n- default\n\
         - {{name: ops, shell: /bin/bash, ssh_authorized_keys: [\"{LOGIN}\"]}}\nruncmd: [[touch, /run/cloud-ran]]\n{more}"
    )
}

fn meta_data(instance: &str) -> String {
    format!("instance-id: {instance}\n")
}

/// For a bare guest, whose network has nobody to ask for an address.
fn seed(root: &Root, instance: &str, more: &str) {
    put(root, "etc/systemd/network/10-eth0.network", "[Match]\nName=eth0\n[Network]\nAddress=10.77.9.2/24\n");
    put(root, META, &meta_data(instance));
    put(root, USER, &user_data(more));
}

/// The golden with cloud-init, and this seed in it.
fn seeded_golden(rig: &Rig, instance: &str, more: &str) -> PathBuf {
    let golden = rig.path("seeded.tar");
    fs::copy(archive(Variant::Cloud), &golden).unwrap();
    let mut layer = Layer::default();
    layer.file(META, 0o644, meta_data(instance));
    layer.file(USER, 0o644, user_data(more));
    layer.append_to(&golden).unwrap();
    golden
}

fn read(guest: Leader, path: &str) -> String {
    guest.run(&["/bin/cat", path]).unwrap().stdout
}

/// cloud-init has ended and is content: its own word.
fn assert_cloud_init_is_done(guest: Leader) {
    let ran = guest.run(&["/usr/bin/cloud-init", "status", "--wait", "--format=json"]).unwrap();
    let said: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.said()));
    assert_eq!(said["status"], "done", "{said:#}");
    assert_eq!(said["errors"], serde_json::json!([]), "{said:#}");
    assert!(read(guest, "/var/lib/cloud/data/status.json").contains("NoCloud"), "the seed was not read");
}

/// Its work of the seed is there.
fn assert_seed_is_carried_out(guest: Leader) {
    assert_cloud_init_is_done(guest);
    assert!(read(guest, "/home/ops/.ssh/authorized_keys").contains(LOGIN));
    assert!(guest.run(&["/usr/bin/id", "debian"]).unwrap().ok(), "no default user");
}

fn name_of(guest: Leader) -> (String, String) {
    let kernel = guest.run(&["/bin/uname", "-n"]).unwrap().stdout.trim().to_owned();
    (kernel, read(guest, "/etc/hostname").trim().to_owned())
}

fn sshd_check(report: &Value) -> String {
    let checks = report["checks"].as_array().unwrap_or_else(|| panic!("no checks in {report:#}"));
    let check = checks.iter().find(|check| check["id"] == "sshd").expect("sshd is checked");
    assert_eq!(check["verdict"], "pass", "{check:#}");
    check["reason"].as_str().unwrap_or_default().to_owned()
}

/// What a boot must not change.
fn identity(guest: Leader) -> (String, Vec<String>, (String, String)) {
    let keys = guest.run(&["/bin/sh", "-c", "grep -h . /etc/ssh/ssh_host_*_key.pub"]).unwrap().stdout;
    (machine_id(guest), keys.lines().map(str::to_owned).collect(), name_of(guest))
}

#[test]
fn a_seed_is_carried_out_and_name_keys_and_machine_id_are_those_of_the_bring_up() {
    let rig = Rig::serving();
    let golden = seeded_golden(&rig, "seeded-1", "");
    let ready = "[guest.readiness]\ntimeout = \"150s\"\nrequire = [\"system-running\"]";
    let guests = rig.up(&rig.spec_of("seeded", &golden, ready));
    let guest = rig.leader("seeded");
    assert_eq!(guest.settled().unwrap(), "running");
    assert_seed_is_carried_out(guest);
    assert_eq!(read(guest, "/run/cloud-ran"), "");
    assert!(!sshd_check(&guests[0]).contains("another program"), "{:#}", guests[0]);
    // The bring-up names this guest; cloud-init's other name has lost, in the kernel and on the disk.
    assert_eq!(name_of(guest), ("seeded".to_owned(), "seeded".to_owned()));
    assert!(rig.run(&["known-hosts"]).stdout.contains(&served_key(guest)));
    let first = identity(guest);

    assert!(guest.run(&["/usr/bin/systemctl", "reboot"]).unwrap().ok());
    let guest = firstlight_tests::wait::until("its next life", std::time::Duration::from_secs(60), || {
        Leader::of(&rig.guest_root("seeded")).filter(|leader| *leader != guest)
    })
    .unwrap();
    assert_eq!(guest.settled().unwrap(), "running");
    assert_cloud_init_is_done(guest);
    assert_eq!(identity(guest), first);
}

#[test]
fn host_keys_that_are_given_on_purpose_are_served_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    run::must(run::command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&key))
        .unwrap();
    let private = fs::read_to_string(&key).unwrap().replace('\n', "\n    ");
    let public = fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned();
    let more = format!("ssh_keys:\n  ed25519_private: |\n    {private}\n  ed25519_public: {public}\n");

    let rig = Rig::serving();
    let golden = seeded_golden(&rig, "given-1", &more);
    let guests = rig.up(&rig.spec_of("given", &golden, "[guest.readiness]\ntimeout = \"150s\""));
    let guest = rig.leader("given");
    assert_seed_is_carried_out(guest);
    let given = public.split_whitespace().nth(1).unwrap();
    assert_eq!(served_key(guest), given);
    assert!(sshd_check(&guests[0]).contains("another program"), "{:#}", guests[0]);
    assert!(rig.run(&["known-hosts"]).stdout.contains(given), "{:#}", guests[0]);
    let first = identity(guest);
    assert_eq!(first.1.len(), 3, "the other types are the agent's: {:?}", first.1);

    assert!(guest.run(&["/usr/bin/systemctl", "reboot"]).unwrap().ok());
    let guest = firstlight_tests::wait::until("its next life", std::time::Duration::from_secs(60), || {
        Leader::of(&rig.guest_root("given")).filter(|leader| *leader != guest)
    })
    .unwrap();
    guest.settled().unwrap();
    assert_eq!(served_key(guest), given);
    assert_eq!(identity(guest), first);
}

#[test]
fn where_the_agent_is_not_enabled_cloud_init_makes_keys_and_name_as_ever() {
    let root = unpacked(Variant::Cloud);
    fs::remove_file(root.path().join(DROP_IN)).unwrap();
    systemctl(&root, &["disable", "firstlight-identity.service", "firstlight-report.service"]);
    seed(&root, "alone-1", "");
    let booted = root.boot("nspawn-name").unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_seed_is_carried_out(guest);
    assert_eq!(guest.unit_state("firstlight-identity.service").unwrap(), "inactive");
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active", "{}", booted.console());
    assert_eq!(name_of(guest).0, "named-by-cloud");
    assert_eq!(host_keys(&root).len(), 6, "{:?}", host_keys(&root));
    assert!(!served_key(guest).is_empty());
}

/// Nobody names the guest on our side: then the name is cloud-init's, in every boot.
#[test]
fn without_a_name_from_us_the_name_is_cloud_inits() {
    let root = unpacked(Variant::Cloud);
    seed(&root, "named-1", "");
    let booted = root.boot("nspawn-name").unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_seed_is_carried_out(guest);
    assert_eq!(name_of(guest), ("named-by-cloud".to_owned(), "named-by-cloud".to_owned()));
    assert_eq!(served_key(guest), key_on_disk(&root));
    let first = identity(guest);
    booted.shut_down().unwrap();

    let booted = root.boot("nspawn-name").unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_cloud_init_is_done(guest);
    assert_eq!(identity(guest), first);
}

fn key_on_disk(root: &Root) -> String {
    let text = fs::read_to_string(root.path().join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    text.split_whitespace().nth(1).unwrap().to_owned()
}

/// A golden that had booted: cloud-init keeps its instance, and would renew nothing in a clone with the same seed.
#[test]
fn a_clone_with_baked_state_of_cloud_init_gets_keys_and_machine_id_of_its_own() {
    let root = unpacked(Variant::Cloud);
    seed(&root, "golden-1", "");
    let booted = root.boot("golden").unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_seed_is_carried_out(guest);
    let (goldens_id, goldens_key) = (machine_id(guest), served_key(guest));
    booted.shut_down().unwrap();
    let clone = root.copy().unwrap();

    let claim = r#"{"version":1,"id":"bb","secret":"00112233","intent":"provision","hostname":"clone-1"}"#;
    let boot = Boot::named("clone-1").mac("02:00:5e:00:00:77").credential("firstlight.claim", claim);
    let booted = clone.boot_as(&boot).unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_cloud_init_is_done(guest);
    assert_eq!(status(guest)["identity"]["identity"]["decision"], "renew");
    assert_ne!(served_key(guest), goldens_key);
    assert_eq!(served_key(guest), key_on_disk(&clone));
    assert_ne!(machine_id(guest), goldens_id);
    assert_eq!(name_of(guest), ("clone-1".to_owned(), "clone-1".to_owned()));
    assert!(
        read(guest, "/var/lib/cloud/data/instance-id").contains("golden-1"),
        "cloud-init began anew after all"
    );
    let first = identity(guest);
    booted.shut_down().unwrap();

    let booted = clone.boot_as(&boot).unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_eq!(identity(guest), first);
}
