//! What is made of one root twice, under other names, at other times and in another order, is the same to the byte.
//! No network, no mmdebstrap.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::archive::{self, Before};
use super::recipe::Recipe;
use super::tools::Tools;
use super::{Watch, incus, proxmox, tidy};

const EPOCH: u64 = 1_700_000_000;

/// A small root; `names` in the order in which they are made.
fn plant(root: &Path, names: &[&str], log: &str) {
    for folder in ["etc", "usr/bin", "var/log", "var/lib/apt/lists", "dev"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for name in names {
        fs::write(root.join("usr/bin").join(name), *name).unwrap();
        fs::set_permissions(root.join("usr/bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::hard_link(root.join("usr/bin/b"), root.join("usr/bin/d")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::write(root.join("etc/shadow"), format!("x:*:{}:0:::::\n", 20_000 + log.len())).unwrap();
    fs::write(root.join("etc/machine-id"), "").unwrap();
    fs::write(root.join("var/log/dpkg.log"), log).unwrap();
    fs::write(root.join("var/lib/apt/lists/list"), log).unwrap();
    fs::write(root.join("etc/hostname"), log).unwrap();
}

#[test]
fn a_root_that_was_made_twice_gives_the_same_bytes() {
    let recipe = Recipe::parse("name = \"small\"\nsuite = \"trixie\"\n").unwrap();
    let watch = Watch::default();
    let tools = Tools { watch: &watch, epoch: EPOCH };
    let build = |names: &[&str], log: &str| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        plant(&root, names, log);
        tidy::tidy(&root, EPOCH).unwrap();
        let beside = folder.path().join("beside");
        fs::create_dir_all(beside.join("etc/vzdump")).unwrap();
        fs::write(beside.join(proxmox::CONFIGURATION), proxmox::configuration(&recipe)).unwrap();
        fs::write(beside.join(incus::METADATA), incus::metadata(&recipe, EPOCH)).unwrap();
        let first = format!("./{}", proxmox::CONFIGURATION);
        let pve = Before { folder: &beside, name: &first };
        let image = Before { folder: &beside, name: incus::METADATA };
        let files = ["tar", "pve", "incus"].map(|name| folder.path().join(name));
        let made = [
            archive::write(tools, &root, None, None, &files[0]).unwrap(),
            archive::write(tools, &root, Some(pve), None, &files[1]).unwrap(),
            archive::write(tools, &root, Some(image), Some(incus::ROOT), &files[2]).unwrap(),
            archive::digest(tools, &root).unwrap(),
        ];
        for (file, made) in files.iter().zip(&made) {
            assert_eq!(*made, archive::digest_of_file(tools, file).unwrap());
        }
        let listed = files.map(|file| {
            let mut archive = tar::Archive::new(crate::packing::open(&file).unwrap());
            let entries = archive.entries().unwrap().map(Result::unwrap);
            entries
                .map(|entry| {
                    assert!(entry.header().mtime().unwrap() <= EPOCH);
                    String::from_utf8_lossy(&entry.path_bytes()).into_owned()
                })
                .collect::<Vec<_>>()
        });
        (made, listed)
    };
    let (one, listed) = build(&["a", "b", "c"], "one");
    std::thread::sleep(std::time::Duration::from_millis(1100)); // another second of time stamps
    let (other, _) = build(&["c", "b", "a"], "another log");
    assert_eq!(one, other);
    let [tar, pve, incus] = listed;
    let expected =
        ["./", "./bin", "./dev/", "./etc/", "./etc/machine-id", "./etc/shadow", "./usr/", "./usr/bin/"];
    assert_eq!(tar[..8], expected);
    assert_eq!(pve[..2], ["./etc/vzdump/pct.conf", "./"]);
    assert_eq!(pve[1..], tar);
    assert_eq!(incus[..4], ["metadata.yaml", "rootfs/", "rootfs/bin", "rootfs/dev/"]);
    assert_eq!(incus.len(), tar.len() + 1);
}

#[test]
fn links_in_an_image_lead_where_they_did() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    plant(&root, &["b"], "x");
    symlink("./b", root.join("usr/bin/e")).unwrap();
    let watch = Watch::default();
    let file = folder.path().join("image");
    archive::write(Tools { watch: &watch, epoch: EPOCH }, &root, None, Some(incus::ROOT), &file).unwrap();
    let mut archive = tar::Archive::new(crate::packing::open(&file).unwrap());
    let links: Vec<(String, String)> = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .filter_map(|entry| {
            let link = String::from_utf8_lossy(&entry.link_name_bytes()?).into_owned();
            Some((String::from_utf8_lossy(&entry.path_bytes()).into_owned(), link))
        })
        .collect();
    let of = |path: &str| links.iter().find(|(known, _)| known == path).map(|(_, link)| link.as_str());
    assert_eq!(of("rootfs/usr/bin/e"), Some("./b"));
    assert_eq!(of("rootfs/bin"), Some("usr/bin"));
    assert_eq!(of("rootfs/usr/bin/d"), Some("rootfs/usr/bin/b"));
}
