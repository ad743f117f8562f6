//! Lives of a guest: cloned while it lives, given another card, brought back, and merely having the package.

use std::fs;

use firstlight_tests::golden::{BAKED_MACHINE_ID, Layer, Variant};
use firstlight_tests::guest::Boot;
use firstlight_tests::guest::bare::Root;
use firstlight_tests::rig::Rig;

use crate::support::{archive, unpacked};
use crate::whole::{baked_keys, boot_as_own_machine, machine_id, put, served_key, status, systemctl};

const OTHER_MAC: &str = "02:00:5e:00:00:02";

fn claim(intent: &str, id: &str) -> String {
    format!(r#"{{"version":1,"id":"{id}","secret":"00112233","intent":"{intent}"}}"#)
}

fn decision(guest: firstlight_tests::guest::Leader) -> String {
    status(guest)["identity"]["identity"]["decision"].as_str().unwrap_or_default().to_owned()
}

/// A guest that has lived once and was shut down, its key and its machine-id.
fn lived(boot: &Boot) -> (Root, String, String) {
    let root = unpacked(Variant::Baked);
    let (booted, guest) = boot_as_own_machine(&root, boot);
    let (key, id) = (served_key(guest), machine_id(guest));
    booted.shut_down().unwrap();
    (root, key, id)
}

/// As Proxmox' own clone does, and most recipes: the machine-id is emptied, nothing else. (Proxmox leaves a line end,
/// with which systemd-nspawn refuses to boot.)
fn empty_machine_id(root: &Root) {
    put(root, "etc/machine-id", "");
}

#[test]
fn a_clone_of_a_live_guest_with_its_machine_id_emptied_is_renewed_and_the_guest_itself_kept() {
    let (root, key, id) = lived(&Boot::named("alive"));
    let clone = root.copy().unwrap();
    empty_machine_id(&clone);
    let (_booted, guest) = boot_as_own_machine(&clone, &Boot::named("clone").mac(OTHER_MAC));
    assert_eq!(decision(guest), "renew", "{:#}", status(guest));
    assert_ne!(served_key(guest), key);
    assert_ne!(machine_id(guest), id);

    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("alive"));
    assert_eq!(decision(guest), "keep");
    assert_eq!((served_key(guest), machine_id(guest)), (key, id));
}

/// The container manager gives each guest a uuid: the clone's alone says that it is another machine. As Proxmox' `env`
/// sets it; systemd-nspawn's own `--uuid=` gives way to a machine-id that the root has.
#[test]
fn a_clone_of_a_live_guest_under_another_container_uuid_is_renewed() {
    let (first, second) = ("1".repeat(32), "2".repeat(32));
    let (root, key, id) = lived(&Boot::named("alive").variable("container_uuid", &first));
    let clone = root.copy().unwrap();
    let (booted, guest) =
        boot_as_own_machine(&root, &Boot::named("alive").variable("container_uuid", &first));
    assert_eq!(decision(guest), "keep");
    assert_eq!((served_key(guest), machine_id(guest)), (key.clone(), id.clone()));
    drop(booted);

    let (_booted, guest) =
        boot_as_own_machine(&clone, &Boot::named("clone").variable("container_uuid", &second));
    assert_eq!(decision(guest), "renew", "{:#}", status(guest));
    assert_ne!(served_key(guest), key);
    assert_ne!(machine_id(guest), id);
}

#[test]
fn two_clones_of_a_golden_that_had_booted_once_differ_from_it_and_from_each_other() {
    let (golden, key, id) = lived(&Boot::named("golden"));
    empty_machine_id(&golden);
    let mut keys = vec![key];
    let mut ids = vec![id];
    for name in ["one", "two"] {
        let root = golden.copy().unwrap();
        let (_booted, guest) = boot_as_own_machine(&root, &Boot::named(name));
        keys.push(served_key(guest));
        ids.push(machine_id(guest));
    }
    for list in [&mut keys, &mut ids] {
        list.sort();
        list.dedup();
        assert_eq!(list.len(), 3, "{list:?}");
    }
}

#[test]
fn a_guest_with_another_card_is_kept_and_suspected() {
    let (root, key, id) = lived(&Boot::named("card"));
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("card").mac(OTHER_MAC));
    assert_eq!(decision(guest), "suspect-clone");
    assert_eq!((served_key(guest), machine_id(guest)), (key, id));
}

#[test]
fn a_new_provision_claim_and_another_card_renew() {
    let boot = |id| Boot::named("again").credential("firstlight.claim", claim("provision", id));
    let (root, key, _) = lived(&boot("aa"));
    let (booted, guest) = boot_as_own_machine(&root, &boot("aa"));
    assert_eq!((decision(guest).as_str(), served_key(guest) == key), ("already-provisioned", true));
    booted.shut_down().unwrap();
    let (_booted, guest) = boot_as_own_machine(&root, &boot("bb").mac(OTHER_MAC));
    assert_eq!(decision(guest), "renew");
    assert_ne!(served_key(guest), key);
}

#[test]
fn a_restored_guest_keeps_its_identity_under_another_card_and_machine_id() {
    let (root, key, _) = lived(&Boot::named("back"));
    empty_machine_id(&root);
    let boot = Boot::named("back").mac(OTHER_MAC).credential("firstlight.claim", claim("restore", "cc"));
    let (_booted, guest) = boot_as_own_machine(&root, &boot);
    assert_eq!(decision(guest), "restamp", "{:#}", status(guest));
    assert_eq!(served_key(guest), key);
}

#[test]
fn a_guest_that_was_never_stamped_and_is_restored_keeps_what_it_has() {
    let root = unpacked(Variant::Baked);
    let boot = Boot::named("old").credential("firstlight.claim", claim("restore", "dd"));
    let booted = root.boot_as(&boot).unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_eq!(decision(guest), "restore-first");
    assert!(baked_keys().contains(&served_key(guest)));
    assert_eq!(machine_id(guest), BAKED_MACHINE_ID);
}

/// A package is installed disabled; ssh is restarted, as any upgrade of it does.
#[test]
fn a_package_that_is_installed_and_not_enabled_changes_nothing() {
    let root = unpacked(Variant::Baked);
    systemctl(&root, &["disable", "firstlight-identity.service", "firstlight-report.service"]);
    fs::remove_file(root.path().join("etc/systemd/system-preset/10-firstlight.preset")).unwrap();
    let booted = root.boot("package").unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(state, "running");
    for _ in 0..2 {
        assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active");
        assert_eq!(guest.unit_state("firstlight-identity.service").unwrap(), "inactive");
        assert_eq!(guest.unit_state("firstlight-report.service").unwrap(), "inactive");
        assert!(baked_keys().contains(&served_key(guest)));
        let restarted = guest.run(&["/usr/bin/systemctl", "restart", "ssh.service"]).unwrap();
        assert!(restarted.ok(), "{}", restarted.said());
    }
    assert_eq!(machine_id(guest), BAKED_MACHINE_ID);
    assert!(!root.path().join("var/lib/firstlight").exists());
}

/// What a removed package leaves is what `systemctl enable` made in /etc.
#[test]
fn a_package_that_was_removed_while_enabled_leaves_ssh_working() {
    let root = unpacked(Variant::Baked);
    let system = root.path().join("usr/lib/systemd/system");
    for entry in fs::read_dir(&system).unwrap().flatten() {
        let ours = entry.path().join("10-firstlight.conf");
        if ours.exists() {
            fs::remove_file(ours).unwrap();
        } else if entry.file_name().to_string_lossy().starts_with("firstlight-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::remove_file(system.join("sysinit.target.wants/firstlight-gate.target")).unwrap();
    fs::remove_file(root.path().join("usr/bin/firstlight-guest")).unwrap();
    let link = "etc/systemd/system/firstlight-gate.target.requires/firstlight-identity.service";
    assert!(root.path().join(link).is_symlink());
    let booted = root.boot("removed").unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(state, "running");
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active");
    assert!(baked_keys().contains(&served_key(guest)));
}

/// Debian's self-made certificate: its owner's program takes too long for the way to sshd, so the late phase runs it.
/// Here it is a script of that name; what it may do under the unit's sandbox is what counts.
#[test]
fn a_snakeoil_key_of_the_golden_is_made_anew_after_the_boot() {
    let root = unpacked(Variant::Baked);
    let key = "etc/ssl/private/ssl-cert-snakeoil.key";
    let golden = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
    put(&root, key, golden);
    put(
        &root,
        "usr/sbin/make-ssl-cert",
        "#!/bin/sh -e\ntest \"$1 $2\" = 'generate-default-snakeoil --force-overwrite'\numask 077\n\
         head -c 32 /dev/urandom | base64 > /etc/ssl/private/new\nchgrp 12 /etc/ssl/private/new\n\
         chmod 0640 /etc/ssl/private/new\nmv /etc/ssl/private/new /etc/ssl/private/ssl-cert-snakeoil.key\n",
    );
    let program = root.path().join("usr/sbin/make-ssl-cert");
    fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    put(&root, "etc/firstlight/guest.toml", "[checks]\ndeadline = \"2s\"\n");
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("snakeoil"));
    let item = firstlight_tests::wait::until("the report", std::time::Duration::from_secs(60), || {
        let items = status(guest)["report"]["identity"]["items"].as_array()?.clone();
        items.into_iter().find(|item| item["item"] == "snakeoil")
    })
    .unwrap();
    assert_eq!(item["action"], "renewed", "{:#}", status(guest)["report"]["identity"]);
    assert_ne!(fs::read_to_string(root.path().join(key)).unwrap(), golden);
    assert_eq!(status(guest)["stamp"]["pending"], serde_json::json!([]));
}

/// By policy a clone whose machine-id had to be replaced reboots once, before sshd was ever up, and then stays up. All of
/// it under the companion, which waits for one report.
#[test]
fn a_clone_reboots_once_to_use_its_new_machine_id_where_the_golden_says_so() {
    let rig = Rig::serving();
    let golden = rig.path("reboots.tar");
    fs::copy(archive(Variant::Baked), &golden).unwrap();
    let mut layer = Layer::default();
    layer.file("etc/firstlight/guest.toml", 0o644, "[identity]\nreboot = \"once\"\n");
    // The bus can be connected to by then, and does not answer: what otherwise only a slow boot meets.
    let late = "[Unit]\nWants=dbus.socket\nAfter=dbus.socket\n";
    layer.file("etc/systemd/system/firstlight-identity.service.d/late.conf", 0o644, late);
    layer.append_to(&golden).unwrap();
    let guests = rig.up(&rig.spec_of("again", &golden, ""));
    assert_eq!(guests[0]["state"], "done", "{:#}", guests[0]);
    let guest = rig.leader("again");
    let now = status(guest);
    assert_eq!(now["identity"]["identity"]["machine_id"]["reboot_required"], false, "{now:#}");
    assert_eq!(now["stamp"]["decision"], "renew");
    assert_eq!(now["identity"]["identity"]["decision"], "already-provisioned", "{now:#}");
    let told = guest.run(&["/usr/bin/systemd-id128", "machine-id"]).unwrap().stdout;
    assert_eq!(told.trim(), machine_id(guest), "PID 1 uses the new one");
}
