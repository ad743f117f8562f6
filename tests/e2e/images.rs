//! Where images differ: each a real boot, always of a golden that kept its keys and its machine-id.

use std::fs;

use firstlight_tests::golden::{BAKED_MACHINE_ID, Variant};
use firstlight_tests::guest::Boot;

use crate::support::unpacked;
use crate::whole::{boot_as_own_machine, boot_with_own_keys, machine_id, problems, put, status, systemctl};

/// The check of the network fails in all of these, and is not to be waited for.
const QUICK_CHECKS: &str = "[checks]\ndeadline = \"2s\"\n";

#[test]
fn debian_12_boots_as_a_machine_of_its_own() {
    let root = unpacked(Variant::Bookworm);
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("bookworm"));
    assert_eq!(status(guest)["identity"]["identity"]["decision"], "renew");
    let version = guest.run(&["/usr/bin/systemctl", "--version"]).unwrap().stdout;
    assert!(version.starts_with("systemd 252"), "{version}");
}

#[test]
fn a_read_only_usr_is_never_written() {
    let root = unpacked(Variant::Baked);
    let usr = root.path().join("usr");
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("ostree").bind_read_only(&usr, "/usr"));
    assert!(!guest.run(&["/usr/bin/touch", "/usr/x"]).unwrap().ok(), "/usr can be written");
}

/// A folder beside the root for the writable layer of an overlay on /etc.
fn over_etc(root: &firstlight_tests::guest::bare::Root, name: &str) -> Boot {
    let upper = root.path().with_file_name("upper");
    fs::create_dir_all(&upper).unwrap();
    Boot::named(name).argument(&format!("--overlay=+/etc:{}:/etc", upper.display()))
}

#[test]
fn an_etc_that_is_an_overlay_gets_keys_of_its_own() {
    let root = unpacked(Variant::Baked);
    let (_booted, guest) = boot_with_own_keys(&root, &over_etc(&root, "overlay"));
    let kind = guest.run(&["/usr/bin/findmnt", "-no", "FSTYPE", "/etc"]).unwrap().stdout;
    assert_eq!(kind.trim(), "overlay");
    let lower = fs::read_to_string(root.path().join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    assert!(crate::whole::baked_keys().iter().any(|key| lower.contains(key)), "the image itself was written");
}

#[test]
fn a_machine_id_that_an_overlay_copied_up_is_not_taken_for_a_fresh_one() {
    let root = unpacked(Variant::Baked);
    let (_booted, guest) = boot_with_own_keys(&root, &over_etc(&root, "overlay"));
    assert_ne!(machine_id(guest), BAKED_MACHINE_ID);
}

#[test]
fn a_root_that_is_read_only_until_it_is_remounted_is_waited_for() {
    let root = unpacked(Variant::Baked);
    put(&root, "etc/fstab", "/dev/root / auto rw 0 0\n");
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("remount").argument("--read-only"));
    let ran =
        guest.run(&["/usr/bin/systemctl", "show", "-p", "Result", "systemd-remount-fs.service"]).unwrap();
    assert_eq!(ran.stdout.trim(), "Result=success");
    assert_eq!(guest.unit_state("systemd-remount-fs.service").unwrap(), "active");
}

#[test]
fn without_d_bus_the_machine_is_its_own_all_the_same() {
    let root = unpacked(Variant::Baked);
    put(&root, "etc/firstlight/guest.toml", QUICK_CHECKS);
    systemctl(&root, &["mask", "dbus.socket", "dbus.service"]);
    // systemctl asks PID 1 itself where there is no bus.
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("no-bus"));
    assert_ne!(guest.unit_state("dbus.service").unwrap(), "active");
    crate::fail_closed::assert_reported(guest);
}

#[test]
fn without_ipv6_the_machine_is_its_own_all_the_same() {
    let root = unpacked(Variant::Baked);
    put(&root, "etc/firstlight/guest.toml", QUICK_CHECKS);
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("no-ipv6").without_ipv6());
    let addresses = guest.run(&["/usr/sbin/ip", "-6", "addr"]).unwrap().stdout;
    assert!(addresses.is_empty(), "{addresses}");
    crate::fail_closed::assert_reported(guest);
}

#[test]
fn an_unprivileged_container_with_shifted_owners_is_its_own() {
    let root = unpacked(Variant::Baked);
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("shifted").private_users());
    use std::os::unix::fs::MetadataExt as _;
    let key = fs::metadata(root.path().join("etc/ssh/ssh_host_ed25519_key")).unwrap();
    assert!(key.uid() > 65535, "the guest's root is this machine's root");
    let map = fs::read_to_string(format!("/proc/{}/uid_map", guest.0)).unwrap();
    assert!(!map.split_whitespace().eq(["0", "0", "4294967295"]), "{map}");
}

/// Without the right to mount, every option that needs a mount namespace would fail the unit.
#[test]
fn a_container_that_may_not_mount_is_its_own() {
    let root = unpacked(Variant::Baked);
    put(&root, "etc/firstlight/guest.toml", QUICK_CHECKS);
    let boot = Boot::named("no-mounts").argument("--drop-capability=CAP_SYS_ADMIN");
    let (_booted, guest) = boot_as_own_machine(&root, &boot);
    assert_eq!(guest.unit_state("run-lock.mount").unwrap(), "failed", "this guest may mount after all");
    crate::fail_closed::assert_reported(guest);
}

/// The name of a container is the hypervisor's: a guest that may not set it says so and goes on.
#[test]
fn a_name_that_cannot_be_set_is_reported_and_sshd_runs() {
    let root = unpacked(Variant::Baked);
    let boot = Boot::named("no-name").argument("--drop-capability=CAP_SYS_ADMIN");
    let claim = r#"{"version":1,"id":"aa","secret":"00112233","intent":"provision","hostname":"web-77"}"#;
    let (_booted, guest) = boot_as_own_machine(&root, &boot.credential("firstlight.claim", claim));
    assert!(problems(guest).contains("web-77"), "{}", problems(guest));
}

/// A machine-id that makes this a first boot to systemd, which then applies all presets (Debian: only those that enable).
fn assert_a_first_boot_keeps_us_enabled(machine_id: Option<&str>) {
    let root = unpacked(Variant::Baked);
    fs::remove_file(root.path().join("etc/machine-id")).unwrap();
    if let Some(text) = machine_id {
        put(&root, "etc/machine-id", text);
    }
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("first"));
    for (unit, expected) in [
        ("firstlight-identity.service", "enabled"),
        ("firstlight-report.service", "enabled"),
        // The control: presets were applied, the golden has this one disabled.
        ("systemd-networkd.service", "enabled"),
    ] {
        let said = guest.run(&["/usr/bin/systemctl", "is-enabled", unit]).unwrap().stdout;
        assert_eq!(said.trim(), expected, "{unit}");
    }
    assert_eq!(status(guest)["identity"]["identity"]["machine_id"]["state"], "fresh");
}

#[test]
fn a_first_boot_without_a_machine_id_applies_presets_and_keeps_us() {
    assert_a_first_boot_keeps_us_enabled(None);
}

#[test]
fn a_first_boot_with_an_uninitialized_machine_id_applies_presets_and_keeps_us() {
    assert_a_first_boot_keeps_us_enabled(Some("uninitialized\n"));
}

#[test]
fn an_empty_machine_id_is_filled_by_systemd_and_kept() {
    let root = unpacked(Variant::Agent);
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("empty"));
    assert_eq!(status(guest)["identity"]["identity"]["machine_id"]["state"], "fresh");
}

#[test]
fn a_valid_machine_id_of_the_golden_is_renewed() {
    let root = unpacked(Variant::Baked);
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("valid"));
    assert_eq!(status(guest)["identity"]["identity"]["machine_id"]["state"], "renewed");
    assert_eq!(status(guest)["identity"]["identity"]["machine_id"]["reboot_required"], true);
}

#[test]
fn a_readable_golden_record_in_var_counts_where_usr_is_read_only() {
    let root = unpacked(Variant::Agent);
    put(&root, "var/lib/firstlight/golden.json", r#"{"version":1,"hostnames":["recorded"]}"#);
    let usr = root.path().join("usr");
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("recorded").bind_read_only(&usr, "/usr"));
    assert!(problems(guest).contains("the host name is the golden's"), "{}", problems(guest));
}
