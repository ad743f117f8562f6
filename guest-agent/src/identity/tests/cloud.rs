//! Who names a guest that has cloud-init too.

use super::*;
use crate::sys::MadeUp;

const SAID: &str = "preserve_hostname: true";

/// A root with cloud-init, and a claim that gives this name.
fn root(name: Option<&str>) -> TempDir {
    let folder = golden_root();
    fs::create_dir_all(folder.path().join(paths::CLOUD_CONFIG)).unwrap();
    claim(folder.path(), "job", name);
    folder
}

fn claim(folder: &Path, id: &str, name: Option<&str>) {
    let name = name.map(|name| format!(",\"hostname\":\"{name}\"")).unwrap_or_default();
    let claim = format!("{{\"version\":1,\"id\":\"{id}\",\"intent\":\"provision\"{name}}}");
    fs::create_dir_all(folder.join("run/credentials/@system")).unwrap();
    write(&folder.join("run/credentials/@system/firstlight.claim"), claim.as_bytes(), 0o600);
}

fn live(folder: &Path, card: u8) -> Machine {
    MadeUp::default().named("web-01").card(card).machine(folder)
}

fn said(folder: &Path) -> bool {
    fs::read_to_string(folder.join(paths::CLOUD_NAME)).is_ok_and(|text| text.lines().any(|line| line == SAID))
}

#[test]
fn a_name_of_the_claims_or_the_configurations_is_kept_from_cloud_init() {
    let claimed = root(Some("web-07"));
    run(&live(claimed.path(), 1));
    assert!(said(claimed.path()));
    let before = snapshot(&claimed.path().join("etc"));
    run(&live(claimed.path(), 1));
    assert_eq!(snapshot(&claimed.path().join("etc")), before, "the second time there is nothing to tell");

    let configured = root(None);
    fs::create_dir_all(configured.path().join("etc/firstlight")).unwrap();
    write(&configured.path().join(paths::CONFIG), b"hostname = \"web-08\"\n", 0o644);
    run(&live(configured.path(), 1));
    assert!(said(configured.path()));
}

#[test]
fn a_name_that_nobody_gives_is_cloud_inits() {
    let folder = root(None);
    run(&live(folder.path(), 1));
    assert!(!folder.path().join(paths::CLOUD_NAME).exists());
}

#[test]
fn without_cloud_init_nothing_is_written() {
    let folder = golden_root();
    claim(folder.path(), "job", Some("web-07"));
    run(&live(folder.path(), 1));
    assert!(!folder.path().join("etc/cloud").exists());
}

#[test]
fn the_word_stays_without_its_claim_and_is_taken_back_in_a_clone_that_nobody_names() {
    let folder = root(Some("web-07"));
    run(&live(folder.path(), 1));
    fs::remove_file(folder.path().join("run/credentials/@system/firstlight.claim")).unwrap();
    run(&live(folder.path(), 1));
    assert!(said(folder.path()), "the claim of a guest is not there in every boot");

    claim(folder.path(), "another", None);
    let outcome = run(&live(folder.path(), 2));
    assert_eq!(outcome.identity.decision, Decision::Renew);
    assert!(!folder.path().join(paths::CLOUD_NAME).exists());
}

#[test]
fn a_torn_word_is_said_anew() {
    let folder = root(Some("web-07"));
    write(&folder.path().join(paths::CLOUD_NAME), b"# Firstlight: this g", 0o644);
    run(&live(folder.path(), 1));
    assert!(said(folder.path()));
}
