//! packaging/mkosi: a Debian 13 built by mkosi itself, and cloned. Minutes: only with `--full`.

use std::fs;
use std::process::Command;

use firstlight_tests::{packages, paths, run};

use super::{assert_clones_are_their_own, errors};

/// mkosi adds repositories that few mirrors have (debug symbols); where this file is, it adds none.
const SOURCES: &str = "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie\nComponents: main\n\
    Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";

#[test]
fn mkosi_builds_a_golden_whose_clones_are_their_own() {
    if !paths::full() {
        return;
    }
    packages::ensure_mkosi().unwrap();
    let program =
        packages::unpacked("mkosi/bookworm-backports", "usr/lib/python3/dist-packages/mkosi/__main__.py")
            .unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["mkosi.conf", "mkosi.finalize"] {
        fs::copy(paths::root().join("packaging/mkosi").join(name), folder.path().join(name)).unwrap();
    }
    fs::copy(paths::given(paths::GUEST_VARIABLE), folder.path().join("firstlight-guest")).unwrap();
    let sources = folder.path().join("mkosi.pkgmngr/etc/apt/sources.list.d");
    fs::create_dir_all(&sources).unwrap();
    fs::write(sources.join("mkosi.sources"), SOURCES).unwrap();

    let mut build = Command::new("/usr/bin/python3");
    build.args(["-m", "mkosi", "build"]).current_dir(folder.path());
    build.env("PYTHONPATH", program.ancestors().nth(2).unwrap());
    let built = run::run(&mut build).unwrap();
    assert!(built.ok(), "{}", built.said());
    let golden = folder.path().join("golden.tar.zst");
    assert_eq!(errors(&golden), [""; 0], "{}", built.said());
    assert_clones_are_their_own(&golden);
}

/// Not built: every mkosi that is served has to read each line.
#[test]
fn the_configuration_has_only_keys_that_old_and_new_mkosi_know() {
    let text = fs::read_to_string(paths::root().join("packaging/mkosi/mkosi.conf")).unwrap();
    let keys: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(['#', ' ', '[']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, _)| key)
        .collect();
    // In mkosi 14 as options of its command line, in 24 and 25 in the manual's list of settings.
    assert_eq!(keys, ["Distribution", "Release", "Format", "ImageId", "Bootable", "Packages"]);
}
