//! On made-up roots: what is found, what becomes of it, and that nothing else does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use firstlight_shared::items::{self, Detect, Finding, FirstBoot, Item, Reset, Seal};
use firstlight_shared::wire::{Decision, ItemAction, ItemOutcome};
use tempfile::TempDir;

use super::*;
use crate::identity;
use crate::sys::{Fuse, Machine, Root};

const ID: &str = "7be07251d7584360bfa20bcb52311efb";

pub(crate) fn open(folder: &Path) -> Root {
    Root::open(folder, Fuse::intact()).unwrap()
}

pub(crate) fn put(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn text(folder: &Path, path: &str) -> String {
    fs::read_to_string(folder.join(path)).unwrap()
}

/// Every file with its bytes and mode.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            files.extend(snapshot(&path));
        } else {
            let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            files.insert(path, (bytes, meta.permissions().mode()));
        }
    }
    files
}

/// Text that a golden would have there.
pub(crate) fn golden_text(rule: Detect) -> String {
    let line = |key: &str| format!("# a comment that stays\n{key}=golden\nother = stays\n");
    match rule {
        Detect::HasValue(keys) => line(keys[0]),
        Detect::IsTrue(key) => format!("{key}: true\n"),
        Detect::Mac(words) => format!("{} bc:24:11:00:00:01\n", words.first().unwrap_or(&"address")),
        Detect::MachineId => format!("{ID}\n"),
        Detect::Word(word) => format!("{word}\n"),
        Detect::PrivateKey => "-----BEGIN PRIVATE KEY-----\n".to_owned(),
        _ => "golden\n".to_owned(),
    }
}

/// A root that carries one item at each of its paths, and the programs that could own it.
pub(crate) fn golden_root(item: &Item) -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let stem = if item.detect == Detect::NamedByMachineId { ID } else { "x" };
    let paths: Vec<String> = item.paths.iter().map(|pattern| pattern.replace('*', stem)).collect();
    for path in &paths {
        put(folder.path(), path, &golden_text(item.detect));
    }
    if let Reset::ByOwner(owners) = item.reset {
        put(folder.path(), owners[0].0, "");
    }
    (folder, paths)
}

fn of_item(root: &Root, item: &'static Item) -> Vec<Found> {
    let scan = find(root, std::iter::once(item));
    assert_eq!(scan.unknown, Vec::<String>::new(), "{}", item.name);
    scan.found
}

#[test]
fn every_item_is_found_where_a_golden_carries_it_and_nowhere_in_an_empty_root() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(find(&open(empty.path()), items::all()), Scan::default());
    for item in items::all() {
        let (folder, paths) = golden_root(item);
        let found: Vec<String> =
            of_item(&open(folder.path()), item).into_iter().map(|found| found.path).collect();
        assert_eq!(found, paths, "{}", item.name);
    }
}

#[test]
fn after_its_reset_an_item_is_found_no_more_and_a_second_reset_changes_nothing() {
    let mut tried = 0;
    // Folders and the golden's own names are `crate::seal`'s, and tested there.
    let elsewhere = |item: &Item| matches!(item.reset, Reset::RemoveTree | Reset::IfOwnName { .. });
    for item in items::all().filter(|item| item.seal == Seal::Reset && !elsewhere(item)) {
        let (folder, paths) = golden_root(item);
        put(folder.path(), "etc/bystander", "stays");
        let root = open(folder.path());
        let found = of_item(&root, item);
        for one in &found {
            assert!(reset(&root, one).unwrap(), "{} {}", item.name, one.path);
        }
        let carried = |found: &Found| found.finding == Finding::Carried;
        assert!(!of_item(&root, item).iter().any(carried), "{} is still there", item.name);
        let once = snapshot(folder.path());
        found.iter().for_each(|one| assert!(reset(&root, one).is_ok(), "{}", item.name));
        assert_eq!(snapshot(folder.path()), once, "{} changed again", item.name);
        assert_eq!(text(folder.path(), "etc/bystander"), "stays");
        tried += paths.len();
    }
    assert!(tried > 40, "only {tried} paths were tried");
}

/// A root as a live Debian guest with a bit of everything leaves it.
fn lived_in_root() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("usr/lib/open-iscsi/startup-checks.sh", ""),
        ("etc/iscsi/initiatorname.iscsi", "## DO NOT EDIT\nInitiatorName=iqn.1993-08.org.debian:01:golden\n"),
        ("etc/nvme/hostnqn", "nqn.2014-08.org.nvmexpress:uuid:11111111-1111-4111-8111-111111111111\n"),
        ("etc/nvme/hostid", "11111111-1111-4111-8111-111111111111\n"),
        (
            "etc/popularity-contest.conf",
            "PARTICIPATE=\"no\"\nMY_HOSTID=\"0123456789abcdef0123456789abcdef\"\n",
        ),
        ("var/lib/dhcp/dhclient.eth0.leases", "lease {}\n"),
        ("var/lib/dhcpcd/duid", "00:01:golden\n"),
        ("var/lib/NetworkManager/secret_key", "nm-v2:golden"),
        ("var/lib/docker/engine-id", "golden"),
        ("var/lib/mysql/auto.cnf", "[auto]\nserver-uuid=golden\n"),
        ("var/lib/tailscale/tailscaled.state", "{}"),
        ("etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = golden\n"),
        ("etc/ssl/private/ssl-cert-snakeoil.key", "-----BEGIN PRIVATE KEY-----\n"),
        ("etc/network/interfaces", "iface eth0 inet dhcp\n  hwaddress ether bc:24:11:00:00:01\n"),
        ("var/lib/systemd/random-seed", "seed"),
        ("root/.bash_history", "secret"),
        ("etc/hostid", "\u{1}\u{2}\u{3}\u{4}"),
    ] {
        put(folder.path(), path, text);
    }
    fs::set_permissions(
        folder.path().join("etc/iscsi/initiatorname.iscsi"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    folder
}

fn actions(outcomes: &[ItemOutcome]) -> BTreeMap<&str, ItemAction> {
    outcomes.iter().map(|outcome| (outcome.item.as_str(), outcome.action)).collect()
}

#[test]
fn a_first_boot_renews_what_services_make_anew_and_reports_the_rest() {
    let folder = lived_in_root();
    let root = open(folder.path());
    let (outcomes, problems) = renew_found(&root, &find_at_first_boot(&root));
    assert_eq!(problems, Vec::<String>::new());
    let (renewed, found): (Vec<_>, Vec<_>) =
        actions(&outcomes).into_iter().partition(|(_, action)| *action == ItemAction::Renewed);
    let names =
        |list: Vec<(&'static str, ItemAction)>| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let known = |list: Vec<(&str, ItemAction)>| {
        names(list.into_iter().map(|(name, action)| (items::named(name).unwrap().name, action)).collect())
    };
    assert_eq!(
        known(renewed),
        [
            "dhclient-leases",
            "dhcpcd-identity",
            "docker-engine-id",
            "iscsi-initiator-name",
            "mysql-server-uuid",
            "networkmanager-secret",
            "nvme-host",
            "popularity-contest-id",
        ]
    );
    assert_eq!(known(found), ["hostid", "ifupdown-mac", "snakeoil", "tailscale-node-key", "wireguard-key"]);
    // What the running system has by right, and what people left, is not a boot's business.
    assert_eq!(text(folder.path(), "root/.bash_history"), "secret");
    assert_eq!(text(folder.path(), "var/lib/systemd/random-seed"), "seed");
}

#[test]
fn what_is_renewed_has_the_form_that_its_owner_wants() {
    let folder = lived_in_root();
    let root = open(folder.path());
    renew_found(&root, &find_at_first_boot(&root));
    let iscsi = folder.path().join("etc/iscsi/initiatorname.iscsi");
    let name = fs::read_to_string(&iscsi).unwrap();
    let end = name.strip_prefix("## DO NOT EDIT\nInitiatorName=iqn.1993-08.org.debian:01:").unwrap();
    assert!(end.trim().len() == 12 && end.trim().bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    assert_eq!(fs::metadata(&iscsi).unwrap().permissions().mode() & 0o777, 0o640, "the mode stays");
    let hostid = text(folder.path(), "etc/nvme/hostid");
    assert_ne!(hostid.trim(), "11111111-1111-4111-8111-111111111111");
    assert_eq!(text(folder.path(), "etc/nvme/hostnqn"), format!("nqn.2014-08.org.nvmexpress:uuid:{hostid}"));
    // popularity-contest's own test: ^([a-f0-9]{32})$ of what a shell reads from the file.
    let shell = format!(". {}/etc/popularity-contest.conf; echo $MY_HOSTID", folder.path().display());
    let id = std::process::Command::new("sh").args(["-c", &shell]).output().unwrap().stdout;
    let id = String::from_utf8(id).unwrap().trim().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'a'..=b'f' | b'0'..=b'9')), "{id}");
    assert_ne!(id, "0123456789abcdef0123456789abcdef");
    for gone in ["var/lib/dhcp/dhclient.eth0.leases", "var/lib/dhcpcd/duid", "var/lib/mysql/auto.cnf"] {
        assert!(!folder.path().join(gone).exists(), "{gone}");
    }
}

#[test]
fn two_clones_of_one_golden_share_nothing_that_a_first_boot_makes() {
    let renewed = || {
        let folder = lived_in_root();
        let root = open(folder.path());
        renew_found(&root, &find_at_first_boot(&root));
        ["etc/nvme/hostid", "etc/nvme/hostnqn", "etc/popularity-contest.conf"]
            .map(|path| text(folder.path(), path))
    };
    for (one, other) in renewed().into_iter().zip(renewed()) {
        assert_ne!(one, other);
    }
}

/// Sealed away, and no postinst will run again in the clone.
#[test]
fn a_place_that_sealing_emptied_is_filled_at_the_first_boot() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "etc/nvme/hostnqn", "");
    put(folder.path(), "etc/nvme/hostid", "");
    put(folder.path(), "etc/popularity-contest.conf", "MY_HOSTID=\"\"\n");
    let root = open(folder.path());
    let scan = find_at_first_boot(&root);
    assert!(scan.found.iter().all(|found| found.finding == Finding::Emptied && found.renew), "{scan:?}");
    let (outcomes, _) = renew_found(&root, &scan);
    assert_eq!(outcomes.len(), 3);
    assert!(text(folder.path(), "etc/nvme/hostnqn").starts_with("nqn.2014-08.org.nvmexpress:uuid:"));
    assert_eq!(text(folder.path(), "etc/popularity-contest.conf").len(), "MY_HOSTID=\"\"\n".len() + 32);
}

/// A missing file stops Debian's daemon, a present one upstream's unit.
#[test]
fn sealing_takes_the_initiator_name_away_as_its_owner_wants_it() {
    let item = items::named("iscsi-initiator-name").unwrap();
    let name = "InitiatorName=iqn.golden\n";
    for (owner, done, left) in [
        ("lib/open-iscsi/startup-checks.sh", true, Some("GenerateName=yes\n")),
        ("usr/lib/systemd/system/iscsi-init.service", true, None),
        ("usr/lib/other", false, Some(name)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "etc/iscsi/initiatorname.iscsi", name);
        put(folder.path(), owner, "");
        let root = open(folder.path());
        for found in of_item(&root, item) {
            assert_eq!(reset(&root, &found).unwrap(), done, "{owner}");
        }
        let now = fs::read_to_string(folder.path().join("etc/iscsi/initiatorname.iscsi")).ok();
        assert_eq!(now.as_deref(), left, "{owner}");
    }
}

/// A root over iSCSI or NVMe: the session was made in the initrd, under the golden's name.
#[test]
fn a_name_under_which_the_system_already_has_its_storage_is_left() {
    let folder = lived_in_root();
    put(folder.path(), "sys/class/iscsi_session/session1/state", "LOGGED_IN");
    put(folder.path(), "sys/class/nvme/nvme0/hostnqn", "nqn.golden");
    let before = snapshot(&folder.path().join("etc/nvme"));
    let root = open(folder.path());
    let (outcomes, problems) = renew_found(&root, &find_at_first_boot(&root));
    assert_eq!(problems, Vec::<String>::new());
    for name in ["iscsi-initiator-name", "nvme-host"] {
        assert_eq!(actions(&outcomes)[name], ItemAction::Found, "{name}");
    }
    assert!(text(folder.path(), "etc/iscsi/initiatorname.iscsi").contains("01:golden"));
    assert_eq!(snapshot(&folder.path().join("etc/nvme")), before);
}

#[test]
fn what_a_symlink_leads_to_is_reported_and_left() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "nix/store/x-initiator", "InitiatorName=iqn.declared\n");
    put(folder.path(), "lib/open-iscsi/startup-checks.sh", "");
    fs::create_dir_all(folder.path().join("etc/iscsi")).unwrap();
    symlink("/nix/store/x-initiator", folder.path().join("etc/iscsi/initiatorname.iscsi")).unwrap();
    let root = open(folder.path());
    let (outcomes, _) = renew_found(&root, &find_at_first_boot(&root));
    assert_eq!(actions(&outcomes), BTreeMap::from([("iscsi-initiator-name", ItemAction::Found)]));
    assert_eq!(text(folder.path(), "nix/store/x-initiator"), "InitiatorName=iqn.declared\n");
    assert!(folder.path().join("etc/iscsi/initiatorname.iscsi").is_symlink());
}

#[test]
fn no_symlink_leads_out_of_the_root() {
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), "engine-id", "theirs");
    put(outside.path(), "nvme/hostid", "theirs");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("var/lib")).unwrap();
    fs::create_dir_all(folder.path().join("etc")).unwrap();
    symlink(outside.path(), folder.path().join("var/lib/docker")).unwrap();
    symlink(outside.path().join("nvme"), folder.path().join("etc/nvme")).unwrap();
    let root = open(folder.path());
    assert_eq!(find(&root, items::all()), Scan::default());
    assert_eq!(text(outside.path(), "engine-id"), "theirs");
}

#[test]
fn where_the_walk_could_not_look_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "var/lib/mysql/auto.cnf", "server-uuid=x\n");
    for number in 0..98 {
        put(folder.path(), &format!("var/lib/dhcpcd/{number}.lease"), "lease");
    }
    fs::write(folder.path().join("var/lib/dhcpcd").join(OsStr::from_bytes(b"\xff.lease")), "x").unwrap();
    for number in 0..150 {
        put(folder.path(), &format!("var/lib/dhcp/dhclient.{number}.leases"), "lease {}\n");
    }
    // A text that must be read whole and is too large, and one whose size alone says enough.
    put(folder.path(), "etc/wireguard/wg0.conf", &"#\n".repeat(1 << 20));
    put(folder.path(), "var/lib/docker/engine-id", &"x".repeat(2 << 20));
    symlink("loop", folder.path().join("etc/iscsi")).unwrap();
    symlink("iscsi", folder.path().join("etc/loop")).unwrap();
    let root = open(folder.path());
    let scan = find_at_first_boot(&root);
    let count = |name: &str| scan.found.iter().filter(|found| found.item.name == name).count();
    assert_eq!(
        (count("dhclient-leases"), count("docker-engine-id"), count("mysql-server-uuid")),
        (100, 1, 1)
    );
    let unknown = scan.unknown.join("\n");
    for part in [
        "more than 100 paths match /var/lib/dhcp/dhclient*.lease*",
        "etc/wireguard/wg0.conf",
        "etc/iscsi",
        ".lease cannot be looked at",
    ] {
        assert!(unknown.contains(part), "{part}: {unknown}");
    }
}

#[test]
fn odd_things_in_place_of_files_are_neither_read_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("var/lib/docker/engine-id")).unwrap();
    fs::create_dir_all(folder.path().join("etc/nvme")).unwrap();
    nix::unistd::mkfifo(&folder.path().join("etc/nvme/hostid"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    put(folder.path(), "var/lib/dhcpcd/a\n\u{1b}[31m.lease", "lease");
    let root = open(folder.path());
    let (outcomes, _) = renew_found(&root, &find_at_first_boot(&root));
    assert_eq!(actions(&outcomes), BTreeMap::from([("dhcpcd-identity", ItemAction::Renewed)]));
    assert!(!outcomes[0].detail.contains(char::is_control), "{:?}", outcomes[0].detail);
    assert!(folder.path().join("var/lib/docker/engine-id").is_dir());
}

/// As a SIGKILL would: whatever was cut off, the next run ends as an uncut one.
#[test]
fn a_run_that_is_cut_off_at_any_effect_is_made_good_by_the_next_one() {
    let mut cuts = 0;
    loop {
        let folder = lived_in_root();
        let root = Root::open(folder.path(), Fuse::blowing_after(cuts)).unwrap();
        let (outcomes, problems) = renew_found(&root, &find_at_first_boot(&root));
        let failed = !problems.is_empty() || outcomes.iter().any(|one| one.action == ItemAction::Failed);
        let root = open(folder.path());
        let (_, problems) = renew_found(&root, &find_at_first_boot(&root));
        assert_eq!(problems, Vec::<String>::new(), "after {cuts} effects");
        let hostid = text(folder.path(), "etc/nvme/hostid");
        assert_eq!(
            text(folder.path(), "etc/nvme/hostnqn"),
            format!("nqn.2014-08.org.nvmexpress:uuid:{hostid}")
        );
        let name = text(folder.path(), "etc/iscsi/initiatorname.iscsi");
        assert!(
            name.contains("InitiatorName=iqn.1993-08.org.debian:01:") && !name.contains("golden"),
            "{name}"
        );
        let left: Vec<PathBuf> = snapshot(folder.path()).into_keys().filter(|path| is_staged(path)).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "after {cuts} effects");
        if !failed {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20, "only {cuts} cuts were tried");
}

fn is_staged(path: &Path) -> bool {
    path.to_string_lossy().ends_with(crate::sys::STAGED)
}

#[test]
fn what_needs_a_folder_or_a_program_is_not_done_here() {
    for item in
        items::all().filter(|item| matches!(item.reset, Reset::RemoveTree | Reset::Run(_) | Reset::Policy))
    {
        let (folder, paths) = golden_root(item);
        let root = open(folder.path());
        let before = snapshot(folder.path());
        for found in of_item(&root, item) {
            assert!(!reset(&root, &found).unwrap(), "{}", item.name);
        }
        assert_eq!(snapshot(folder.path()), before, "{}", item.name);
        assert!(!matches!(item.first_boot, FirstBoot::Reset), "{}: {paths:?}", item.name);
    }
}

#[test]
fn the_identity_phase_renews_items_once_and_later_boots_leave_them_alone() {
    let folder = lived_in_root();
    put(folder.path(), "etc/machine-id", "");
    put(folder.path(), "etc/hostname", "web-01\n");
    let machine = Machine::open(folder.path()).unwrap();
    let planned = identity::plan_with_items(&machine, &identity::observe(&machine));
    let run = identity::run(&machine);
    assert!(run.failure.is_none(), "{:?}", run.failure);
    let of_plan: Vec<_> = planned.items.found.iter().map(|found| (found.item.name, found.renew)).collect();
    let of_run: Vec<_> = run
        .identity
        .items
        .iter()
        .map(|one| (items::named(&one.item).unwrap().name, one.action == ItemAction::Renewed))
        .collect();
    assert_eq!(of_run, of_plan, "the plan says what is done");
    assert_eq!(actions(&run.identity.items)["docker-engine-id"], ItemAction::Renewed);
    // As the services leave it when they have started.
    put(folder.path(), "var/lib/docker/engine-id", "own");
    put(folder.path(), "var/lib/dhcp/dhclient.eth0.leases", "lease {}\n");
    let before = text(folder.path(), "etc/nvme/hostid");
    let machine = Machine::open(folder.path()).unwrap();
    let run = identity::run(&machine);
    assert_eq!((run.identity.decision, run.identity.items), (Decision::Keep, Vec::new()));
    assert_eq!(text(folder.path(), "var/lib/docker/engine-id"), "own");
    assert_eq!(text(folder.path(), "etc/nvme/hostid"), before);
}
