//! The packages that `cargo xtask package` makes: what is in them, and how they live and go in a real Debian 13.

mod companion;
mod content;
mod cross;
mod guest;
mod image;
mod rpm;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use firstlight_tests::dist::{Product, VERSION};
use firstlight_tests::guest::Leader;
use firstlight_tests::guest::bare::Root;
use firstlight_tests::{paths, run};

fn folder(name: &str) -> PathBuf {
    paths::given(paths::PACKAGES_VARIABLE).join(name)
}

/// The .deb for this machine.
fn deb(product: Product, revision: u32) -> PathBuf {
    let path =
        folder(&revision.to_string()).join(format!("{}_{VERSION}-{revision}_amd64.deb", product.name()));
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// The .rpm for this machine.
fn rpm_file(product: Product, revision: u32) -> PathBuf {
    let path =
        folder(&revision.to_string()).join(format!("{}-{VERSION}-{revision}.x86_64.rpm", product.name()));
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// What a command in the guest prints; it has to succeed.
fn must(guest: Leader, words: &[&str]) -> String {
    let ran = guest.run(words).unwrap();
    assert!(ran.ok(), "{words:?}: {}", ran.said());
    ran.stdout
}

/// Before a command of Debian's: it asks nothing.
const QUIETLY: [&str; 4] = [
    "/usr/bin/env",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND=noninteractive",
    "LC_ALL=C",
];

/// apt in a running guest, as docs/install.md has it. There is no network, and it needs none.
fn apt(guest: Leader, words: &[&str]) -> String {
    must(guest, &[&QUIETLY[..], &["apt", "--yes"], words].concat())
}

/// Installs a package over what is there.
fn install(root: &Root, guest: Leader, product: Product, revision: u32) {
    fs::copy(deb(product, revision), root.path().join("root/package.deb")).unwrap();
    apt(guest, &["install", "/root/package.deb"]);
    let version = dpkg_version(guest, product);
    assert_eq!(version, format!("{VERSION}-{revision}"));
}

fn dpkg_version(guest: Leader, product: Product) -> String {
    must(guest, &["/usr/bin/dpkg-query", "--show", "--showformat=${Version}", product.name()])
        .trim()
        .to_owned()
}

/// A property of a unit, as systemd shows it.
fn property(guest: Leader, unit: &str, name: &str) -> String {
    must(guest, &["/usr/bin/systemctl", "show", "--value", "-p", name, unit]).trim().to_owned()
}

/// `enabled`, `disabled`, `masked` ...
fn is_enabled(guest: Leader, unit: &str) -> String {
    guest.run(&["/usr/bin/systemctl", "is-enabled", unit]).unwrap().stdout.trim().to_owned()
}

/// Every file and folder in a root, but what a running system writes by itself.
fn everything(root: &Path) -> BTreeSet<PathBuf> {
    const PASSING: &[&str] = &[
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "root",
        "var/log",
        "var/tmp",
        "var/cache",
        "var/lib/apt",
        "var/lib/dpkg",
        "var/lib/systemd",
        // Locks and former versions of the lists of users.
        "etc/.pwd.lock",
        "etc/passwd-",
        "etc/group-",
        "etc/shadow-",
        "etc/gshadow-",
    ];
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            let inside = path.strip_prefix(root).unwrap().to_owned();
            if PASSING.iter().any(|passing| inside == Path::new(passing)) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
            found.insert(inside);
        }
    }
    found
}

/// Those of `after` that were not there before, and those that are no more.
fn changed(before: &BTreeSet<PathBuf>, after: &BTreeSet<PathBuf>) -> Vec<String> {
    let new = after.difference(before).map(|path| format!("+ {}", path.display()));
    let gone = before.difference(after).map(|path| format!("- {}", path.display()));
    new.chain(gone).collect()
}

/// The lines of a command's output.
fn lines(command: &mut std::process::Command) -> Vec<String> {
    run::must(command).unwrap().lines().map(str::to_owned).collect()
}
