//! Which failure keeps every way in shut, and which only degrades: the rows of docs/guest-agent.md.

use std::fs;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::bare::Root;
use firstlight_tests::guest::{Boot, Leader};
use firstlight_tests::run;

use crate::support::unpacked;
use crate::whole::{
    assert_nobody_listens_for_ssh, boot_as_own_machine, boot_with_own_keys, drop_in, problems, put, status,
    systemctl,
};

/// Everything by which somebody could come in, after boot and when started by hand.
fn assert_every_way_in_is_shut(guest: Leader) {
    assert_eq!(guest.unit_state("firstlight-identity.service").unwrap(), "failed");
    for unit in ["ssh.service", "ssh.socket", "sshd-unix-local.socket"] {
        assert_ne!(guest.unit_state(unit).unwrap(), "active", "{unit} is open after boot");
        let started = guest.run(&["/usr/bin/systemctl", "start", unit]).unwrap();
        assert!(!started.ok(), "{unit} could be started");
        assert_ne!(guest.unit_state(unit).unwrap(), "active", "{unit} is open");
    }
    assert_nobody_listens_for_ssh(guest);
}

#[test]
fn without_a_proven_identity_every_way_in_stays_shut() {
    let root = unpacked(Variant::Broken);
    let booted = root.boot("broken").unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(state, "degraded");
    assert_every_way_in_is_shut(guest);
}

/// The agent itself fails here, not its unit file: the golden's key is in place and cannot be removed.
#[test]
fn a_key_of_the_golden_that_cannot_be_removed_keeps_every_way_in_shut() {
    let root = unpacked(Variant::Baked);
    let key = root.path().join("etc/ssh/ssh_host_ed25519_key");
    run::must(run::command(["chattr", "+i"]).arg(&key)).unwrap();
    let outcome = std::panic::catch_unwind(|| {
        let booted = root.boot("stuck").unwrap();
        let (guest, _) = booted.settled().unwrap();
        assert_every_way_in_is_shut(guest);
    });
    run::must(run::command(["chattr", "-i"]).arg(&key)).unwrap(); // or the root could not be removed
    outcome.unwrap();
}

/// The report phase came to a report, whatever it says; gives its state.
pub(crate) fn assert_reported(guest: Leader) -> String {
    let report = firstlight_tests::wait::until("a report", std::time::Duration::from_secs(120), || {
        let report = status(guest)["report"].clone();
        report.is_object().then_some(report)
    });
    let report = report.unwrap_or_else(|error| panic!("{error}: {:#}", status(guest)));
    report["state"].as_str().unwrap_or_else(|| panic!("no state in {report:#}")).to_owned()
}

fn assert_shut_after_boot(root: &Root, boot: &Boot) {
    let booted = root.boot_as(boot).unwrap();
    let (guest, state) = booted.settled().unwrap();
    assert_eq!(state, "degraded");
    assert_every_way_in_is_shut(guest);
}

#[test]
fn keys_of_the_golden_on_a_read_only_root_keep_every_way_in_shut() {
    assert_shut_after_boot(&unpacked(Variant::Baked), &Boot::named("frozen").argument("--read-only"));
}

#[test]
fn no_key_on_a_read_only_root_keeps_every_way_in_shut() {
    assert_shut_after_boot(&unpacked(Variant::Agent), &Boot::named("frozen").argument("--read-only"));
}

#[test]
fn a_full_disk_below_etc_ssh_keeps_every_way_in_shut() {
    // One inode is the folder itself: every new file gets ENOSPC.
    let boot = Boot::named("full").argument("--tmpfs=/etc/ssh:nr_inodes=1");
    assert_shut_after_boot(&unpacked(Variant::Agent), &boot);
}

#[test]
fn without_openat2_nothing_can_be_told_and_every_way_in_stays_shut() {
    let boot = Boot::named("old-kernel").argument("--system-call-filter=~openat2");
    assert_shut_after_boot(&unpacked(Variant::Baked), &boot);
}

#[test]
fn an_agent_that_is_gone_keeps_every_way_in_shut() {
    let root = unpacked(Variant::Baked);
    fs::remove_file(root.path().join("usr/bin/firstlight-guest")).unwrap();
    assert_shut_after_boot(&root, &Boot::named("gone"));
}

#[test]
fn an_agent_that_a_signal_ends_keeps_every_way_in_shut() {
    let root = unpacked(Variant::Baked);
    drop_in(
        &root,
        "firstlight-identity.service",
        "[Service]\nExecStart=\nExecStart=/bin/sh -c 'kill -9 $$$$'\n",
    );
    assert_shut_after_boot(&root, &Boot::named("killed"));
}

#[test]
fn an_agent_that_hangs_is_ended_and_keeps_every_way_in_shut() {
    let root = unpacked(Variant::Baked);
    let text = "[Service]\nExecStart=\nExecStart=/bin/sleep 1000\nTimeoutStartSec=1s\n";
    drop_in(&root, "firstlight-identity.service", text);
    assert_shut_after_boot(&root, &Boot::named("hung"));
}

#[test]
fn a_masked_identity_unit_keeps_every_way_in_shut() {
    let root = unpacked(Variant::Baked);
    let unit = root.path().join("etc/systemd/system/firstlight-identity.service");
    std::os::unix::fs::symlink("/dev/null", unit).unwrap();
    let booted = root.boot("masked").unwrap();
    let (guest, _) = booted.settled().unwrap();
    let started = guest.run(&["/usr/bin/systemctl", "start", "ssh.service"]).unwrap();
    assert!(!started.ok(), "{}", started.said());
    assert_ne!(guest.unit_state("ssh.service").unwrap(), "active");
}

#[test]
fn a_machine_id_that_cannot_be_written_only_degrades() {
    let root = unpacked(Variant::Baked);
    let own = root.path().join("etc/machine-id");
    // A file that is a mount point cannot be replaced.
    let (_booted, guest) = boot_with_own_keys(&root, &Boot::named("busy").bind(&own, "/etc/machine-id"));
    assert!(problems(guest).contains("machine-id could not be renewed"), "{}", problems(guest));
}

#[test]
fn a_stamp_that_cannot_be_written_only_degrades_and_the_next_boot_renews_again() {
    let root = unpacked(Variant::Baked);
    let folder = root.path().with_file_name("frozen");
    fs::create_dir(&folder).unwrap();
    let boot = Boot::named("unstamped").bind_read_only(&folder, "/var/lib/firstlight");
    let (booted, guest) = boot_as_own_machine(&root, &boot);
    assert!(problems(guest).contains("the next boot will try again"), "{}", problems(guest));
    let first = crate::whole::served_key(guest);
    booted.shut_down().unwrap();
    let (_booted, guest) = boot_as_own_machine(&root, &boot);
    assert_ne!(crate::whole::served_key(guest), first);
}

#[test]
fn a_claim_and_a_config_that_are_no_such_thing_only_degrade() {
    let root = unpacked(Variant::Baked);
    put(&root, "etc/firstlight/guest.toml", "[host\n");
    let boot = Boot::named("garbled").credential("firstlight.claim", "{");
    let (_booted, guest) = boot_as_own_machine(&root, &boot);
    let problems = problems(guest);
    assert!(problems.contains("no claim from the systemd credential"), "{problems}");
    assert!(problems.contains("guest.toml line 1"), "{problems}");
}

/// A listening bus socket with nobody behind it.
#[test]
fn a_dead_d_bus_only_degrades() {
    let root = unpacked(Variant::Baked);
    systemctl(&root, &["mask", "systemd-logind.service"]); // it would wait for the bus, and the boot for it
    drop_in(&root, "dbus.service", "[Service]\nType=simple\nExecStart=\nExecStart=/bin/sleep 1000\n");
    put(&root, "etc/firstlight/guest.toml", "[checks]\ndeadline = \"3s\"\n");
    let booted = root.boot("deaf").unwrap();
    let guest = booted.leader().unwrap();
    firstlight_tests::wait::until("sshd", std::time::Duration::from_secs(60), || {
        guest.unit_state("ssh.service").is_ok_and(|state| state == "active").then_some(())
    })
    .unwrap();
    assert!(!crate::whole::baked_keys().contains(&crate::whole::served_key(guest)));
    assert_ne!(assert_reported(guest), "ready");
}

#[test]
fn a_network_that_is_down_and_a_host_that_is_not_there_only_degrade() {
    let root = unpacked(Variant::Baked);
    let pin = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let text = format!(
        "[host]\nurl = \"https://10.77.9.77:1\"\npin = \"{pin}\"\n[report]\ngive_up_after = \"1s\"\n[checks]\ndeadline = \"2s\"\n"
    );
    put(&root, "etc/firstlight/guest.toml", &text);
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("alone").without_network());
    assert_ne!(assert_reported(guest), "ready", "the check of the network passed without one");
    let delivery = firstlight_tests::wait::until("the end", std::time::Duration::from_secs(60), || {
        let delivery = status(guest)["delivery"].clone();
        (delivery["state"] == "gave-up").then_some(delivery)
    });
    delivery.unwrap_or_else(|error| panic!("{error}: {:#}", status(guest)));
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active");
}

#[test]
fn an_rsa_key_that_cannot_be_made_later_only_degrades() {
    let root = unpacked(Variant::Baked);
    drop_in(&root, "firstlight-report.service", "[Service]\nReadOnlyPaths=/etc/ssh\n");
    put(&root, "etc/firstlight/guest.toml", "[checks]\ndeadline = \"2s\"\n");
    let (_booted, guest) = boot_as_own_machine(&root, &Boot::named("no-rsa"));
    assert_ne!(assert_reported(guest), "ready");
    assert_eq!(status(guest)["stamp"]["pending"], serde_json::json!(["rsa"]));
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active");
}
