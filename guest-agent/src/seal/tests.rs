//! On made-up roots: each item planted, sealed, kept and looked at; broken runs; hostile and packaged images.

mod overrides;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use firstlight_shared::items::{Detect, Finding, Seal};
use nix::errno::Errno;
use tempfile::TempDir;

use super::*;
use crate::items::find;
use crate::items::tests::{golden_root, open, put, snapshot, text};
use crate::sys::{Fuse, MadeUp};

const ID: &str = "7be07251d7584360bfa20bcb52311efb";

/// The header of a program for this machine word.
fn elf(machine: u16) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64, 0);
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes
}

/// What makes a folder the root of a system; the program that is installed is beside it.
fn system(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder.join("usr/lib/systemd")).unwrap();
    fs::create_dir_all(folder.join("etc")).unwrap();
    fs::write(folder.join("usr/lib/systemd/systemd"), elf(62)).unwrap();
    fs::create_dir_all(folder.join("opt")).unwrap();
    fs::write(folder.join("opt/agent"), elf(62)).unwrap();
    folder.join("opt/agent")
}

fn machine(folder: &Path, fuse: Fuse) -> Machine {
    Machine { root: Root::open(folder, fuse).unwrap(), live: false, made_up: None }
}

fn options(folder: &Path) -> Options {
    Options { program: Some(system(folder)), ..Options::default() }
}

fn seal(folder: &Path, options: &Options) -> Sealed {
    run(machine(folder, Fuse::intact()), options).unwrap()
}

fn carried(folder: &Path, item: &'static firstlight_shared::items::Item) -> Vec<String> {
    let found = find(&open(folder), std::iter::once(item)).found;
    found.into_iter().filter(|one| one.finding == Finding::Carried).map(|one| one.path).collect()
}

/// A golden with a bit of everything that can be sealed, as packages and a first boot leave it.
fn lived_in() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("etc/machine-id", format!("{ID}\n")),
        ("var/lib/dbus/machine-id", format!("{ID}\n")),
        ("etc/hostname", "golden\n".to_owned()),
        ("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 golden\n".to_owned()),
        (
            "etc/ssh/ssh_host_rsa_key",
            "-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\n".to_owned(),
        ),
        ("etc/nvme/hostid", "11111111-1111-4111-8111-111111111111\n".to_owned()),
        ("var/lib/firstlight/stamp.json", "{}".to_owned()),
        ("var/lib/dhcp/dhclient.leases", "lease {}\n".to_owned()),
        (&format!("var/log/journal/{ID}/system.journal"), "x".to_owned()),
        ("var/log/dpkg.log", "x\n".to_owned()),
        ("tmp/build/x", "x".to_owned()),
    ] {
        put(folder.path(), path, &text);
    }
    system(folder.path());
    folder
}

#[test]
fn every_item_of_the_table_is_sealed_kept_or_left_as_the_table_says() {
    let mut sealed_items = 0;
    for item in firstlight_shared::items::all().filter(|item| item.detect != Detect::Elsewhere) {
        let name = item.name;
        let (folder, paths) = golden_root(item);
        let root = folder.path();
        if !paths.contains(&"etc/hostname".to_owned()) {
            put(root, "etc/hostname", "golden\n");
        }
        if !paths.contains(&"etc/machine-id".to_owned()) {
            put(root, "etc/machine-id", "");
        }
        let options = options(root);
        let before = snapshot(root);

        let planned = seal(root, &Options { dry_run: true, ..options.clone() });
        assert_eq!(snapshot(root), before, "{name}: a dry run writes nothing");
        assert!(planned.changes.iter().all(|change| !change.done), "{name}");

        if item.seal == Seal::Refuse {
            let refused = seal(root, &options);
            assert_eq!((refused.state, planned.state), (State::Refused, State::Refused), "{name}");
            assert!(refused.refused.iter().any(|left| left.item == name), "{name}");
            assert_eq!(snapshot(root), before, "{name}: nothing is changed where somebody has to decide");
        }

        let kept = Options { keep: vec![name.to_owned()], ..options.clone() };
        let copy = tempfile::tempdir().unwrap();
        for path in &paths {
            put(copy.path(), path, &text(root, path));
        }
        for name in ["etc/hostname", "etc/machine-id"] {
            put(copy.path(), name, &text(root, name));
        }
        let kept = seal(copy.path(), &Options { program: Some(system(copy.path())), ..kept });
        assert_eq!(kept.state, State::Done, "{name}: {kept:?}");
        for path in &paths {
            assert_eq!(text(copy.path(), path), text(root, path), "{name}: {path} is kept");
        }
        let record: serde_json::Value =
            serde_json::from_str(&text(copy.path(), "usr/lib/firstlight/golden.json")).unwrap();
        assert_eq!(record["kept"], serde_json::json!([name]));

        match item.seal {
            Seal::Refuse => {}
            Seal::Leave => {
                let done = seal(root, &options);
                assert_eq!(done.state, State::Done, "{name}: {done:?}");
                let left: Vec<_> = done.left.iter().filter(|left| left.item == name).collect();
                assert_eq!(left.len(), paths.len(), "{name}: {done:?}");
                assert_eq!(carried(root, item), paths, "{name}");
            }
            Seal::Reset => {
                let done = seal(root, &options);
                assert_eq!(done.state, State::Done, "{name}: {done:?}");
                assert_eq!(carried(root, item), Vec::<String>::new(), "{name}");
                let of = |all: &[Change]| all.iter().map(|change| change.path.clone()).collect::<Vec<_>>();
                assert_eq!(of(&planned.changes), of(&done.changes), "{name}: the dry run says what is done");
                let once = snapshot(root);
                let again = seal(root, &options);
                assert_eq!((again.state, again.changes.len()), (State::Unchanged, 0), "{name}: {again:?}");
                assert_eq!(snapshot(root), once, "{name}: a second seal changes nothing");
                sealed_items += 1;
            }
        }
    }
    assert!(sealed_items > 30, "only {sealed_items} items were sealed");
}

#[test]
fn a_sealed_root_has_the_program_its_units_enabled_and_a_record() {
    let folder = lived_in();
    let root = folder.path();
    let sealed = seal(root, &options(root));
    assert_eq!(sealed.state, State::Done, "{sealed:?}");
    for (path, unit) in units::files() {
        assert_eq!(text(root, &path), unit);
    }
    assert_eq!(fs::read(root.join("usr/bin/firstlight-guest")).unwrap(), elf(62));
    assert_eq!(
        fs::metadata(root.join("usr/bin/firstlight-guest")).unwrap().permissions().mode() & 0o777,
        0o755
    );
    let target = |path: &str| fs::read_link(root.join(path)).unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        target("etc/systemd/system/firstlight-gate.target.requires/firstlight-identity.service"),
        "/usr/lib/systemd/system/firstlight-identity.service"
    );
    assert_eq!(
        target("etc/systemd/system/multi-user.target.wants/firstlight-report.service"),
        "/usr/lib/systemd/system/firstlight-report.service"
    );
    assert_eq!(
        target("usr/lib/systemd/system/sysinit.target.wants/firstlight-gate.target"),
        "../firstlight-gate.target"
    );
    assert_eq!(target("var/lib/dbus/machine-id"), "/etc/machine-id");
    assert_eq!(text(root, "etc/machine-id"), "");
    assert_eq!(text(root, "etc/hosts"), "127.0.0.1 localhost\n");
    assert_eq!(text(root, "etc/nvme/hostid"), "", "emptied: the first boot fills it");
    assert!(root.join("tmp").is_dir() && !root.join("tmp/build").exists());
    assert!(root.join("var/log/journal").is_dir() && !root.join("var/log/journal").join(ID).exists());
    let record = text(root, "usr/lib/firstlight/golden.json");
    assert!(!record.contains(ID), "the raw machine-id is nowhere: {record}");
    let golden = crate::golden::load(&open(root), &mut Vec::new()).unwrap();
    assert_eq!((golden.hostnames, golden.machine_ids.len()), (vec!["golden".to_owned()], 1));
}

/// Proxmox's own clearing leaves a line end, and a restore may leave nothing at all.
#[test]
fn whatever_the_machine_id_was_it_is_there_and_empty() {
    for before in [None, Some("\n"), Some("garbage\n"), Some("uninitialized\n"), Some("")] {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        if let Some(text) = before {
            put(folder.path(), "etc/machine-id", text);
        }
        seal(folder.path(), &options);
        assert_eq!(text(folder.path(), "etc/machine-id"), "", "{before:?}");
        assert_eq!(seal(folder.path(), &options).state, State::Unchanged, "{before:?}");
    }
}

/// A link that leads nowhere, a pipe and a folder are no file: each boot would have another id, or none.
#[test]
fn what_is_no_file_becomes_an_empty_machine_id_or_is_refused() {
    let place = |folder: &Path| folder.join("etc/machine-id");
    type Maker<'a> = (&'a str, &'a dyn Fn(&Path));
    let makers: [Maker<'_>; 3] = [
        ("dangling", &|at| symlink("/run/machine-id", at).unwrap()),
        ("to a folder", &|at| symlink("/usr", at).unwrap()),
        ("pipe", &|at| nix::unistd::mkfifo(at, nix::sys::stat::Mode::S_IRWXU).unwrap()),
    ];
    for (what, make) in makers {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        make(&place(folder.path()));
        let first = seal(folder.path(), &options);
        let meta = fs::symlink_metadata(place(folder.path())).unwrap();
        assert!(meta.is_file() && meta.len() == 0, "{what}: {first:?}");
        assert_eq!(seal(folder.path(), &options).state, State::Unchanged, "{what}");
    }
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    fs::create_dir(place(folder.path())).unwrap();
    let refused = seal(folder.path(), &options);
    assert_eq!((refused.state, refused.refused[0].item), (State::Refused, "machine-id"), "{refused:?}");
    // On another volume, and empty there: as it should be. With something in it, somebody has to empty it.
    fs::remove_dir(place(folder.path())).unwrap();
    put(folder.path(), "data/id", "");
    symlink("/data/id", place(folder.path())).unwrap();
    assert_eq!(seal(folder.path(), &options).state, State::Done);
    for text in ["garbage\n", "7be07251d7584360bfa20bcb52311efb\n"] {
        put(folder.path(), "data/id", text);
        let refused = seal(folder.path(), &options);
        assert_eq!((refused.state, refused.refused.len()), (State::Refused, 1), "{refused:?}");
    }
}

#[test]
fn keys_go_wherever_sshd_is_told_to_find_them() {
    let folder = lived_in();
    let root = folder.path();
    let key = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n";
    put(root, "etc/ssh/sshd_config", "HostKey /srv/keys/host_ed25519\nHostKey /etc/ssh/ssh_host_ecdsa_key\n");
    put(root, "srv/keys/host_ed25519", key);
    put(root, "srv/volume/ecdsa", key);
    put(root, "srv/volume/other", key);
    symlink("/srv/volume/ecdsa", root.join("etc/ssh/ssh_host_ecdsa_key")).unwrap();
    let sealed = seal(root, &options(root));
    assert_eq!(sealed.state, State::Done, "{sealed:?}");
    assert!(!root.join("srv/keys/host_ed25519").exists() && !root.join("srv/volume/ecdsa").exists());
    assert!(root.join("srv/volume/other").exists(), "it is no key of sshd");
}

#[test]
fn a_file_keeps_its_owner_and_mode_when_it_is_emptied() {
    let folder = lived_in();
    let log = folder.path().join("var/log/dpkg.log");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
    let is_root = nix::unistd::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&log, Some(104), Some(4)).unwrap();
    }
    seal(folder.path(), &options(folder.path()));
    let after = fs::metadata(&log).unwrap();
    assert_eq!((after.len(), after.permissions().mode() & 0o777), (0, 0o640));
    assert!(!is_root || (after.uid(), after.gid()) == (104, 4));
}

#[test]
fn in_a_container_s_root_with_shifted_owners_what_is_made_is_its_own_root_s() {
    if !nix::unistd::geteuid().is_root() {
        panic!("run this test as root: nobody else may give files away");
    }
    let folder = lived_in();
    let root = folder.path();
    let options = options(root);
    std::os::unix::fs::chown(root, Some(100_000), Some(100_000)).unwrap();
    assert_eq!(seal(root, &options).state, State::Done);
    for path in [
        "usr/bin/firstlight-guest",
        "usr/lib/firstlight",
        "usr/lib/firstlight/golden.json",
        "etc/systemd/system/multi-user.target.wants/firstlight-report.service",
    ] {
        let found = fs::symlink_metadata(root.join(path)).unwrap();
        assert_eq!((found.uid(), found.gid()), (100_000, 100_000), "{path}");
    }
}

#[test]
fn no_link_of_a_hostile_image_leads_out_of_it() {
    let outside = tempfile::tempdir().unwrap();
    for path in ["log/dpkg.log", "tmp/x", "systemd/system/y", "hostname", "ssh/ssh_host_rsa_key"] {
        put(outside.path(), path, "theirs\n");
    }
    let before = snapshot(outside.path());
    // Links lead nowhere in the image; and then to folders of the same name in it.
    for inside in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let options = options(root);
        fs::create_dir_all(root.join("var")).unwrap();
        for (link, target) in [
            ("var/log", "log"),
            ("tmp", "tmp"),
            ("etc/systemd", "systemd"),
            ("etc/hostname", "hostname"),
            ("etc/ssh", "ssh"),
            ("usr/lib/firstlight", "record"),
        ] {
            symlink(outside.path().join(target), root.join(link)).unwrap();
            if inside && !["tmp", "hostname"].contains(&target) {
                let place = outside.path().join(target);
                fs::create_dir_all(root.join("real").join(place.strip_prefix("/").unwrap())).unwrap();
            }
        }
        if inside {
            let top = outside.path().strip_prefix("/").unwrap();
            let first = top.iter().next().unwrap();
            let _ = fs::remove_file(root.join(first)); // the link `tmp`, where that is it
            fs::rename(root.join("real").join(first), root.join(first)).unwrap();
        }
        let before_in = snapshot(root);
        let sealed = seal(root, &options);
        assert_eq!(sealed.state == State::Refused, !inside, "{sealed:?}");
        assert_eq!(snapshot(root) == before_in, !inside, "{sealed:?}");
        let refused: Vec<_> = sealed.refused.iter().map(|left| left.path.as_str()).collect();
        assert!(inside || refused == ["/etc/systemd", "/usr/lib/firstlight"], "{refused:?}");
        let is_lost = |left: &Left| left.path == "/etc/ssh" && left.item == "ssh-host-keys";
        assert_eq!(sealed.left.iter().any(is_lost), !inside, "{sealed:?}");
        assert_eq!(snapshot(outside.path()), before);
    }
}

#[test]
fn a_link_inside_the_root_is_followed_inside_it() {
    let folder = lived_in();
    let root = folder.path();
    fs::create_dir_all(root.join("data")).unwrap();
    fs::rename(root.join("var/log"), root.join("data/log")).unwrap();
    symlink("/data/log", root.join("var/log")).unwrap();
    assert_eq!(seal(root, &options(root)).state, State::Done);
    assert_eq!(text(root, "data/log/dpkg.log"), "");
}

#[test]
fn a_package_s_files_are_left_and_another_version_is_said() {
    let folder = lived_in();
    let root = folder.path();
    put(root, "var/lib/dpkg/info/firstlight-guest.list", "/usr/bin/firstlight-guest\n");
    let unit = "usr/lib/systemd/system/firstlight-report.service";
    put(root, unit, "# of an older version\n");
    put(root, "usr/bin/firstlight-guest", "older");
    let sealed = seal(root, &options(root));
    assert_eq!(sealed.state, State::Done, "{sealed:?}");
    assert_eq!(text(root, unit), "# of an older version\n");
    assert_eq!(text(root, "usr/bin/firstlight-guest"), "older");
    let left: Vec<_> = sealed.left.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, ["/usr/bin/firstlight-guest", "/usr/lib/systemd/system/firstlight-report.service"]);
    fs::remove_file(root.join("var/lib/dpkg/info/firstlight-guest.list")).unwrap();
    assert_eq!(seal(root, &options(root)).state, State::Done);
    assert!(text(root, unit).contains("readiness report"), "what no package owns is brought up to date");
}

#[test]
fn a_program_of_another_machine_is_refused_unless_the_image_has_its_own() {
    let folder = lived_in();
    let root = folder.path();
    let options = options(root);
    fs::write(root.join("usr/lib/systemd/systemd"), elf(183)).unwrap();
    let before = snapshot(root);
    let refused = seal(root, &options);
    assert_eq!(refused.state, State::Refused);
    assert!(
        refused.refused[0].why.contains("amd64") && refused.refused[0].why.contains("arm64"),
        "{refused:?}"
    );
    assert_eq!(snapshot(root), before);
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/firstlight-guest"), elf(183)).unwrap();
    assert_eq!(seal(root, &options).state, State::Done);
    assert_eq!(fs::read(root.join("usr/bin/firstlight-guest")).unwrap(), elf(183));
}

#[test]
fn cloud_init_is_told_once_and_what_somebody_added_stays() {
    let folder = lived_in();
    let root = folder.path();
    let path = "etc/cloud/cloud.cfg.d/95-firstlight.cfg";
    seal(root, &options(root));
    assert!(!root.join("etc/cloud").exists(), "an image without it is told nothing");
    put(root, "etc/cloud/cloud.cfg", "");
    seal(root, &options(root));
    assert!(text(root, path).contains("ssh_deletekeys: false\nssh_genkeytypes: []\n"));
    put(root, path, "ssh_deletekeys: false\nssh_genkeytypes: []\nssh_quiet_keygen: true\n");
    assert_eq!(seal(root, &options(root)).state, State::Unchanged);
    assert!(text(root, path).contains("ssh_quiet_keygen"));
}

#[test]
fn install_leaves_the_identity_and_needs_no_whole_root() {
    let folder = lived_in();
    let root = folder.path();
    let before = snapshot(root);
    let options = Options { only_install: true, ..options(root) };
    assert_eq!(seal(root, &options).state, State::Done);
    let after = snapshot(root);
    assert!(
        before.iter().all(|(path, content)| after.get(path) == Some(content)),
        "nothing of it was touched"
    );
    assert!(!root.join("usr/lib/firstlight/golden.json").exists());
    assert_eq!(seal(root, &options).state, State::Unchanged);
    // A folder to be packed and unpacked over a container.
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(seal(empty.path(), &options).state, State::Done);
    let whole = Options { only_install: false, ..options };
    let error = run(machine(empty.path(), Fuse::intact()), &whole).unwrap_err();
    assert_eq!(error.code(), "no-system");
}

#[test]
fn a_system_that_runs_is_refused_unless_told() {
    let folder = lived_in();
    let options = options(folder.path());
    let before = snapshot(folder.path());
    let runs =
        || Machine { made_up: Some(MadeUp::default()), live: true, ..machine(folder.path(), Fuse::intact()) };
    assert_eq!(run(runs(), &options).unwrap_err().code(), "in-use");
    assert_eq!(snapshot(folder.path()), before);
    assert_eq!(run(runs(), &Options { live: true, ..options }).unwrap().state, State::Done);
}

/// What an image is after a run that broke: no worse, and a second one makes it whole.
#[test]
fn a_run_that_breaks_at_any_effect_takes_nothing_away_that_is_not_renewed() {
    let whole = lived_in();
    seal(whole.path(), &options(whole.path()));
    let expected = without_time(whole.path());
    let mut at = 0;
    loop {
        let folder = lived_in();
        let root = folder.path();
        let options = options(root);
        let machine = machine(root, Fuse::failing_from(at, Errno::ENOSPC));
        let broken = run(machine, &options).unwrap();
        if broken.state == State::Done {
            break;
        }
        assert_eq!(broken.state, State::Failed, "at {at}: {broken:?}");
        assert!(!broken.problems.is_empty(), "at {at}");
        let gone = !root.join("etc/hostname").exists() || !root.join("var/lib/dhcp/dhclient.leases").exists();
        let enabled =
            root.join("etc/systemd/system/firstlight-gate.target.requires/firstlight-identity.service");
        assert!(!gone || enabled.is_symlink(), "at {at}: taken away, and nothing renews it");
        assert!(!gone || root.join("usr/lib/firstlight/golden.json").exists(), "at {at}: and not recorded");
        let done = seal(root, &options);
        assert!(matches!(done.state, State::Done | State::Unchanged), "at {at}: {done:?}");
        assert_eq!(without_time(root), expected, "at {at}");
        // A prime step: over the files all kinds of effects are struck.
        at += 7;
    }
    assert!(at > 100, "only {at} effects were reached");
}

fn without_time(root: &Path) -> std::collections::BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut files = snapshot(root);
    files.remove(&root.join("usr/lib/firstlight/golden.json"));
    files.into_iter().map(|(path, content)| (path.strip_prefix(root).unwrap().to_owned(), content)).collect()
}

#[test]
fn what_people_read_has_one_line_for_each_thing_and_no_escape_of_an_image() {
    let folder = lived_in();
    let root = folder.path();
    put(root, "tmp/\u{1b}[31mred", "x");
    put(root, "root/.ssh/authorized_keys", "ssh-ed25519 AAAA builder\n");
    let options = options(root);
    let said = render(&seal(root, &Options { dry_run: true, ..options.clone() }), true);
    assert!(said.contains("machine-id: would empty /etc/machine-id\n"), "{said}");
    assert!(said.contains("authorized-keys: left /root/.ssh/authorized_keys: "), "{said}");
    assert!(said.lines().all(|line| !line.contains(char::is_control)), "{said:?}");
    let said = render(&seal(root, &options), false);
    assert!(said.contains("machine-id: emptied /etc/machine-id\n") && said.contains("\nsealed: "), "{said}");
    assert!(render(&seal(root, &options), false).ends_with("nothing to change: it is sealed"));
    put(root, "etc/krb5.keytab", "keys");
    assert!(render(&seal(root, &options), false).contains("cannot be sealed with /etc/krb5.keytab: "));
}
