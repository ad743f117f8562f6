//! Runs on a running machine that is made up: what a hypervisor does to a guest, row by row.

use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::{Intent, PredictionSource};

use super::*;
use crate::sys::MadeUp;

const UUID_ONE: &str = "11111111-2222-4333-8444-555555555555";
const UUID_TWO: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

fn put(folder: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    fs::write(path, bytes).unwrap();
}

fn text(folder: &Path, path: &str) -> String {
    fs::read_to_string(folder.join(path)).unwrap()
}

fn stamp(folder: &Path) -> Stamp {
    match load_stamp(&machine(folder).root) {
        StampState::Valid(stamp) => *stamp,
        other => panic!("no stamp: {other:?}"),
    }
}

/// A virtual machine of QEMU's, as sysfs shows it.
fn in_qemu(folder: &Path, product: &str, generation: u8) {
    put(folder, "sys/class/dmi/id/sys_vendor", "QEMU\n");
    put(folder, "sys/class/dmi/id/product_uuid", format!("{product}\n"));
    let mut page = vec![0; 4096];
    page[40..56].copy_from_slice(&[generation; 16]);
    put(folder, "sys/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw", page);
}

fn claim(folder: &Path, id: &str, intent: Intent, more: &str) {
    let intent = serde_json::to_string(&intent).unwrap();
    let claim = format!("{{\"version\":1,\"id\":\"{id}\",\"intent\":{intent}{more}}}");
    put(folder, "run/credentials/@system/firstlight.claim", claim);
}

fn guest() -> MadeUp {
    MadeUp::default().named("web-01").card(1)
}

fn container() -> MadeUp {
    guest().with("container", "lxc")
}

fn id_of(uuid: &str) -> String {
    uuid.parse::<MachineId>().unwrap().expose()
}

#[test]
fn a_rollback_keeps_everything_and_stirs_the_random_pool_once() {
    let folder = golden_root();
    in_qemu(folder.path(), UUID_ONE, 1);
    let first = guest().machine(folder.path());
    assert_eq!(run(&first).failure, None);
    let keys = fingerprints(folder.path());
    in_qemu(folder.path(), UUID_ONE, 2);
    let back = guest().machine(folder.path());
    let outcome = run(&back);
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Keep, None));
    assert!(outcome.identity.reason.contains("another VM generation"), "{}", outcome.identity.reason);
    assert_eq!(back.made_up.as_ref().unwrap().stirred.get(), 1);
    assert_eq!(fingerprints(folder.path()), keys);
    let again = guest().machine(folder.path());
    assert!(plan(&observe(&again)).changes_nothing(), "the new generation is stamped");
}

#[test]
fn a_stamp_of_an_older_agent_learns_the_generation() {
    let folder = golden_root();
    in_qemu(folder.path(), UUID_ONE, 1);
    run(&guest().machine(folder.path()));
    let mut old: serde_json::Value = serde_json::from_str(&text(folder.path(), paths::STAMP)).unwrap();
    old["evidence"].as_object_mut().unwrap().remove("vm_generation");
    old.as_object_mut().unwrap().remove("unfinished");
    put(folder.path(), paths::STAMP, old.to_string());
    assert_eq!(run(&guest().machine(folder.path())).identity.decision, Decision::Keep);
    assert!(stamp(folder.path()).evidence.vm_generation.is_some());
    // Without the kernel's driver in one boot it is not forgotten.
    fs::remove_dir_all(folder.path().join("sys/firmware")).unwrap();
    put(folder.path(), "etc/ssh/ssh_host_ecdsa_key", "");
    assert_eq!(run(&guest().machine(folder.path())).failure, None);
    assert!(stamp(folder.path()).evidence.vm_generation.is_some());
}

#[test]
fn a_container_that_moves_to_another_node_renews_nothing() {
    let folder = golden_root();
    in_qemu(folder.path(), UUID_ONE, 1);
    run(&container().machine(folder.path()));
    let before = snapshot(folder.path());
    // The new node's board, and a container manager that passes no uuid.
    in_qemu(folder.path(), UUID_TWO, 9);
    let there = container().machine(folder.path());
    assert!(plan(&observe(&there)).changes_nothing());
    let outcome = run(&there);
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Keep, None));
    let files = |all: BTreeMap<PathBuf, _>| {
        let own = |path: &PathBuf| {
            !path.starts_with(folder.path().join("sys")) && !path.starts_with(folder.path().join("run"))
        };
        all.into_iter().filter(|(path, _)| own(path)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(files(snapshot(folder.path())), files(before));
}

#[test]
fn a_clone_of_a_live_virtual_machine_is_renewed() {
    let folder = golden_root();
    in_qemu(folder.path(), UUID_ONE, 1);
    run(&guest().machine(folder.path()));
    let first = fingerprints(folder.path());
    in_qemu(folder.path(), UUID_TWO, 2);
    let outcome = run(&MadeUp::default().named("web-01").card(9).machine(folder.path()));
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Renew, None));
    assert!(fingerprints(folder.path()).iter().all(|key| !first.contains(key)));
    // As systemd would make it, so the host's prediction holds.
    assert_eq!(text(folder.path(), "etc/machine-id").trim(), id_of(UUID_TWO));
    let prediction = outcome.identity.machine_id.prediction.unwrap();
    assert_eq!((prediction.source, prediction.holds), (PredictionSource::ProductUuid, true));
    assert_eq!(outcome.identity.problems, Vec::<String>::new());
}

#[test]
fn a_uuid_that_gives_a_taken_machine_id_is_not_used() {
    // Restored under another name without new uuids: the golden's machine-id came from this very uuid.
    let folder = golden_root();
    put(folder.path(), "etc/machine-id", format!("{}\n", id_of(UUID_ONE)));
    in_qemu(folder.path(), UUID_ONE, 1);
    let outcome = run(&guest().machine(folder.path()));
    assert_eq!((outcome.failure, outcome.identity.machine_id.state), (None, MachineIdState::Renewed));
    assert_ne!(text(folder.path(), "etc/machine-id").trim(), id_of(UUID_ONE));
    assert!(
        outcome.identity.problems.iter().any(|p| p.starts_with("predictable duplicate: the product uuid"))
    );
    assert!(!outcome.identity.machine_id.prediction.unwrap().holds);
    // The same by golden.json, where systemd has made the id afresh from the container's uuid.
    let folder = bare_root();
    put(folder.path(), "etc/machine-id", format!("{}\n", id_of(UUID_TWO)));
    put(folder.path(), "proc/1/stat", format!("1 (systemd) S {}", "0 ".repeat(40)));
    let derived = UUID_TWO.parse::<MachineId>().unwrap().derived();
    put(
        folder.path(),
        paths::GOLDEN[0],
        serde_json::json!({"version": 1, "machine_ids": [derived]}).to_string(),
    );
    let podman = || container().with("container_uuid", UUID_TWO).machine(folder.path());
    assert!(observe(&podman()).machine_id_is_fresh);
    let outcome = run(&podman());
    assert_eq!((outcome.failure, outcome.identity.machine_id.state), (None, MachineIdState::Renewed));
    assert!(
        outcome.identity.problems.iter().any(|p| p.starts_with("predictable duplicate: the container uuid"))
    );
    assert_ne!(text(folder.path(), "etc/machine-id").trim(), id_of(UUID_TWO));
}

#[test]
fn a_fresh_machine_id_is_compared_with_its_prediction() {
    let of = |made_up: MadeUp, more: &str| {
        let folder = bare_root();
        put(folder.path(), "etc/machine-id", format!("{}\n", id_of(UUID_ONE)));
        put(folder.path(), "proc/1/stat", format!("1 (systemd) S {}", "0 ".repeat(40)));
        claim(folder.path(), "job", Intent::Provision, more);
        let outcome = run(&made_up.machine(folder.path()));
        assert_eq!((outcome.failure, outcome.identity.machine_id.state), (None, MachineIdState::Fresh));
        let foretold = outcome.identity.machine_id.prediction.map(|p| (p.source, p.holds));
        (foretold, outcome.identity.problems.iter().any(|p| p.contains("foretells")))
    };
    let (right, wrong) = (UUID_ONE.parse::<MachineId>().unwrap(), UUID_TWO.parse::<MachineId>().unwrap());
    let claimed = |id: &MachineId| format!(",\"machine_id\":\"{}\"", id.derived());
    use PredictionSource::{Claim, ContainerUuid};
    assert_eq!(of(container(), ""), (None, false));
    assert_eq!(of(container(), &claimed(&right)), (Some((Claim, true)), false));
    assert_eq!(of(container(), &claimed(&wrong)), (Some((Claim, false)), true));
    assert_eq!(of(container().with("container_uuid", UUID_ONE), ""), (Some((ContainerUuid, true)), false));
    assert_eq!(of(container().with("container_uuid", UUID_TWO), ""), (Some((ContainerUuid, false)), true));
}

#[test]
fn other_cards_are_a_suspicion_that_policy_or_a_claim_can_settle() {
    let folder = golden_root();
    run(&guest().machine(folder.path()));
    let keys = fingerprints(folder.path());
    let moved = || MadeUp::default().named("web-01").card(8).machine(folder.path());
    for _ in 0..2 {
        let outcome = run(&moved());
        assert_eq!((outcome.identity.decision, outcome.failure), (Decision::SuspectClone, None));
        assert!(outcome.identity.problems.iter().any(|problem| problem.contains("maybe a clone")));
    }
    assert_eq!(fingerprints(folder.path()), keys);
    claim(folder.path(), "new", Intent::Restore, "");
    assert_eq!(run(&moved()).identity.decision, Decision::Restamp);
    assert_eq!(fingerprints(folder.path()), keys);
    put(folder.path(), paths::CONFIG, "[identity]\nsuspect_clone = \"renew\"\n");
    fs::remove_dir_all(folder.path().join("run/credentials")).unwrap();
    let outcome = run(&guest().machine(folder.path()));
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Renew, None));
    assert!(fingerprints(folder.path()).iter().all(|key| !keys.contains(key)));
}

#[test]
fn cards_replaced_one_after_the_other_make_no_clone() {
    let folder = golden_root();
    run(&guest().card(2).machine(folder.path()));
    let with = |a, b| run(&MadeUp::default().named("web-01").card(a).card(b).machine(folder.path()));
    assert_eq!(with(2, 3).identity.decision, Decision::Keep);
    assert_eq!(with(3, 4).identity.decision, Decision::Keep);
    // Where some have hardware behind them, bridges do not hide that it is other hardware.
    for name in ["eth4", "eth9"] {
        fs::create_dir_all(folder.path().join("sys/class/net").join(name)).unwrap();
        symlink("../../../devices/pci0", folder.path().join("sys/class/net").join(name).join("device"))
            .unwrap();
    }
    assert_eq!(with(3, 9).identity.decision, Decision::SuspectClone);
}

/// Whatever the disk says, only the hypervisor's word is an intent.
#[test]
fn nothing_on_the_root_disk_gives_an_intent() {
    let claim =
        r#"{"version":1,"id":"evil","intent":"restore","hostname":"evil","url":"https://10.0.0.66:1"}"#;
    let places = [
        "etc/credstore/firstlight.claim",
        "usr/lib/credstore/firstlight.claim",
        "usr/local/lib/credstore/firstlight.claim",
        "etc/credstore.encrypted/firstlight.claim",
        "etc/firstlight/claim.json",
        "etc/firstlight/claim",
        "var/lib/firstlight/claim.json",
        "usr/lib/firstlight/claim.json",
        "run/credentials/firstlight-identity.service/firstlight.claim",
    ];
    let disk = |folder: &Path| {
        for place in places {
            put(folder, place, claim);
        }
        put(folder, paths::CONFIG, "intent = \"restore\"\n[identity]\nintent = \"restore\"\n");
        put(folder, paths::GOLDEN[0], format!("{{\"intent\":\"restore\",\"claim\":{claim}}}"));
        put(folder, "etc/environment", "FIRSTLIGHT_INTENT=restore\n");
        put(folder, "run/firstlight/identity.json", format!("{{\"claim\":{claim}}}"));
    };
    let running = golden_root();
    disk(running.path());
    let foreign = golden_root();
    disk(foreign.path());
    // A foreign root has no hypervisor at all: not even what looks like its places counts.
    put(foreign.path(), "run/credentials/@system/firstlight.claim", claim);
    put(foreign.path(), "proc/1/environ", "FIRSTLIGHT_CLAIM=firstlight1:e30\0FIRSTLIGHT_INTENT=restore\0");
    put(foreign.path(), "sys/class/dmi/id/product_serial", claim);
    for (machine, folder) in
        [(guest().machine(running.path()), &running), (machine(foreign.path()), &foreign)]
    {
        let baked = fingerprints(folder.path());
        let seen = observe(&machine);
        assert!(seen.claim.is_none());
        let outcome = run(&machine);
        assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Renew, None));
        assert_eq!(outcome.identity.hostname.expected, None);
        assert!(fingerprints(folder.path()).iter().all(|key| !baked.contains(key)));
    }
    // The same words from the hypervisor count.
    let told = golden_root();
    put(told.path(), "run/credentials/@system/firstlight.claim", claim);
    assert_eq!(run(&guest().machine(told.path())).identity.decision, Decision::RestoreFirst);
}

#[test]
fn a_name_is_set_everywhere_and_the_goldens_is_gone() {
    let folder = golden_root();
    put(folder.path(), "etc/hostname", "golden\n");
    put(
        folder.path(),
        "etc/hosts",
        "127.0.0.1 localhost\n127.0.1.1 golden.lan golden # golden\n10.0.0.9 golden\n",
    );
    claim(folder.path(), "job", Intent::Provision, ",\"hostname\":\"web-07\"");
    let machine = MadeUp::default().named("golden").machine(folder.path());
    let outcome = run(&machine);
    assert!(outcome.identity.hostname.ok && outcome.hostname_changed);
    assert_eq!(machine.kernel_hostname().as_deref(), Some("web-07"));
    assert_eq!(text(folder.path(), "etc/hostname"), "web-07\n");
    let hosts = "127.0.0.1 localhost\n127.0.1.1 web-07.lan web-07 # golden\n10.0.0.9 golden\n";
    assert_eq!(text(folder.path(), "etc/hosts"), hosts);
    assert!(!run(&machine).hostname_changed, "the second time there is nothing to tell");
}

#[test]
fn where_proxmox_owns_the_name_it_is_only_checked() {
    let block =
        "127.0.0.1 localhost\n# --- BEGIN PVE ---\n127.0.1.1 web-01\n# --- END PVE ---\n127.0.1.1 golden\n";
    for (name, ok) in [("web-01", true), ("web-07", false)] {
        let folder = golden_root();
        put(folder.path(), "etc/hosts", block);
        put(folder.path(), paths::GOLDEN[0], r#"{"version":1,"hostnames":["golden"]}"#);
        claim(folder.path(), "job", Intent::Provision, &format!(",\"hostname\":\"{name}\""));
        let machine = container().machine(folder.path());
        let outcome = run(&machine);
        assert_eq!((outcome.identity.hostname.ok, outcome.hostname_changed), (ok, false));
        assert_eq!(machine.kernel_hostname().as_deref(), Some("web-01"));
        assert_eq!(text(folder.path(), "etc/hostname"), "web-01\n");
        assert_eq!(text(folder.path(), "etc/hosts"), block);
        let told = outcome.identity.problems.iter().any(|problem| problem.contains("Proxmox VE writes it"));
        assert_eq!(told, !ok, "{:?}", outcome.identity.problems);
        // Where the administrator keeps Proxmox away, the name is ours to set.
        put(folder.path(), "etc/.pve-ignore.hostname", "");
        fs::remove_file(folder.path().join(paths::STAMP)).unwrap();
        assert!(run(&machine).identity.hostname.ok);
    }
}

#[test]
fn a_replaced_machine_id_reboots_the_machine_once() {
    let folder = golden_root();
    put(folder.path(), paths::CONFIG, "[identity]\nreboot = \"once\"\n");
    let boot = || {
        let _ = fs::remove_dir_all(folder.path().join("run"));
        let outcome = run(&guest().machine(folder.path()));
        assert_eq!(outcome.failure, None);
        let refused = outcome.identity.problems.iter().any(|p| p.starts_with("not rebooted although"));
        (outcome.identity.decision, outcome.reboot, refused)
    };
    assert_eq!(boot(), (Decision::Renew, true, false));
    assert_eq!(boot(), (Decision::Keep, false, false));
    assert!(!folder.path().join(paths::REBOOTED).exists(), "it did what it was for");
    // A root whose /etc comes back old with each boot: the second time, nothing reboots any more.
    let revert = || put(folder.path(), "etc/machine-id", format!("{BAKED_ID}\n"));
    revert();
    assert_eq!(boot(), (Decision::Renew, true, false));
    for _ in 0..3 {
        revert();
        assert_eq!(boot(), (Decision::Renew, false, true));
    }
    // A root that forgets everything must never try.
    let forgetful = golden_root();
    put(forgetful.path(), paths::CONFIG, "[identity]\nreboot = \"once\"\n");
    let outcome = run(&MadeUp { forgets: true, ..guest() }.machine(forgetful.path()));
    assert!(!outcome.reboot && outcome.identity.problems.iter().any(|p| p.contains("may be in memory")));
    // Nor one that nobody asked to.
    let calm = golden_root();
    assert!(!run(&guest().machine(calm.path())).reboot);
    assert!(!calm.path().join(paths::REBOOTED).exists());
}

#[test]
fn each_state_of_a_missing_machine_id_is_told() {
    for (bytes, said) in [
        (None, "there is no /etc/machine-id"),
        (Some("uninitialized\n"), "empty or `uninitialized`"),
        (Some("what?\n"), "is no machine-id"),
    ] {
        let folder = bare_root();
        fs::remove_file(folder.path().join("etc/machine-id")).unwrap();
        if let Some(bytes) = bytes {
            put(folder.path(), "etc/machine-id", bytes);
        }
        let outcome = run(&guest().machine(folder.path()));
        assert_eq!((outcome.failure, outcome.identity.machine_id.state), (None, MachineIdState::Invalid));
        assert!(outcome.identity.problems.iter().any(|problem| problem.contains(said)), "{said}");
    }
}

#[test]
fn a_copy_of_dbus_that_brings_the_goldens_id_back_becomes_a_link() {
    let folder = golden_root();
    run(&machine(folder.path()));
    let dbus = folder.path().join("var/lib/dbus/machine-id");
    let derived = BAKED_ID.parse::<MachineId>().unwrap().derived();
    put(
        folder.path(),
        paths::GOLDEN[0],
        serde_json::json!({"version": 1, "machine_ids": [derived]}).to_string(),
    );
    put(folder.path(), paths::DBUS_MACHINE_ID, format!("{BAKED_ID}\n"));
    assert_eq!(run(&machine(folder.path())).identity.decision, Decision::Keep);
    assert_eq!(fs::read_link(&dbus).unwrap(), Path::new("/etc/machine-id"));
    // Another one is the administrator's; it is told.
    put(folder.path(), paths::DBUS_MACHINE_ID, format!("{}\n", "9".repeat(32)));
    let outcome = run(&machine(folder.path()));
    assert!(outcome.identity.problems.iter().any(|problem| problem.contains("D-Bus keeps a machine-id")));
    assert!(fs::read_link(&dbus).is_err());
}

/// A container shows its node's DMI data and generation: on another node they are others, and it is the same guest.
#[test]
fn a_container_that_moved_to_another_node_is_kept() {
    let folder = golden_root();
    in_qemu(folder.path(), UUID_ONE, 1);
    run(&container().machine(folder.path()));
    let keys = fingerprints(folder.path());
    in_qemu(folder.path(), UUID_TWO, 2);
    let outcome = run(&container().machine(folder.path()));
    assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Keep, None));
    assert_eq!(fingerprints(folder.path()), keys);
    // The control: the same data in a virtual machine is another machine.
    let folder = golden_root();
    in_qemu(folder.path(), UUID_ONE, 1);
    run(&guest().machine(folder.path()));
    in_qemu(folder.path(), UUID_TWO, 2);
    assert_eq!(run(&guest().machine(folder.path())).identity.decision, Decision::Renew);
}

/// An image on which the phase ran in a chroot or with `--root`: its stamp is no clone's.
#[test]
fn clones_of_an_image_that_was_stamped_before_it_ever_ran_differ() {
    let image = golden_root();
    run(&machine(image.path()));
    let baked = fingerprints(image.path());
    assert!(stamp(image.path()).in_image);
    for name in ["one", "two"] {
        let outcome = run(&MadeUp::default().named(name).card(3).machine(image.path()));
        assert_eq!((outcome.identity.decision, outcome.failure), (Decision::Renew, None));
        assert!(fingerprints(image.path()).iter().all(|key| !baked.contains(key)));
        assert!(!stamp(image.path()).in_image);
        fs::remove_file(image.path().join(paths::STAMP)).unwrap();
        run(&machine(image.path()));
    }
}

/// A vendor that nobody knows: the processor tells that there is a hypervisor.
#[test]
fn a_clone_of_a_virtual_machine_of_an_unknown_vendor_is_renewed() {
    let folder = golden_root();
    let vendor = |uuid| {
        in_qemu(folder.path(), uuid, 1);
        put(folder.path(), "sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
    };
    put(folder.path(), "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n");
    vendor(UUID_ONE);
    run(&guest().machine(folder.path()));
    vendor(UUID_TWO);
    assert_eq!(run(&guest().machine(folder.path())).identity.decision, Decision::Renew);
    // Without the flag it is a board that was replaced.
    let folder = golden_root();
    let board = |uuid| {
        in_qemu(folder.path(), uuid, 1);
        put(folder.path(), "sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
    };
    board(UUID_ONE);
    run(&guest().machine(folder.path()));
    board(UUID_TWO);
    assert_eq!(run(&guest().machine(folder.path())).identity.decision, Decision::Keep);
}

/// The claim stays in a guest's configuration, which a clone copies.
#[test]
fn a_restore_counts_once() {
    let folder = golden_root();
    in_qemu(folder.path(), UUID_ONE, 1);
    run(&guest().machine(folder.path()));
    claim(folder.path(), "r1", Intent::Restore, "");
    in_qemu(folder.path(), UUID_TWO, 1);
    assert_eq!(run(&guest().machine(folder.path())).identity.decision, Decision::Restamp);
    in_qemu(folder.path(), "99999999-2222-4333-8444-555555555555", 1);
    assert_eq!(run(&guest().machine(folder.path())).identity.decision, Decision::Renew);
}

#[test]
fn two_first_runs_at_once_end_with_one_whole_identity() {
    for _ in 0..10 {
        let folder = golden_root();
        let _ = fs::remove_dir_all(folder.path().join(paths::STATE_DIR));
        let path = folder.path().to_owned();
        let other = std::thread::spawn(move || run(&machine(&path)).failure);
        assert_eq!((run(&machine(folder.path())).failure, other.join().unwrap()), (None, None));
        let keys = crate::keys::scan(&machine(folder.path()).root).unwrap();
        assert!(keys.keys.iter().all(KeyFile::is_whole), "{keys:?}");
        assert_eq!(stamp(folder.path()).host_keys.len(), 2);
    }
}
