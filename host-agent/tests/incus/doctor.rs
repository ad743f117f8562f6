//! `doctor` against a real server, over its socket and over HTTPS with a restricted certificate.

use firstlight::backend::findings::{Findings, State};
use firstlight::backend::incus::client::Settings;
use firstlight::backend::incus::client::link::Place;
use firstlight::backend::incus::doctor::examine;
use firstlight::backend::incus::{Defaults, IncusConfig};
use firstlight::backend::link::Reports;
use firstlight_tests::rig::incus::{IncusServer, SILENT_NETWORK};

use crate::real::{far_place, settings, trust};

async fn asked(remotes: Vec<Settings>, defaults: Defaults) -> Findings {
    let config = IncusConfig { remotes, defaults, reports: Reports { url: None, port: 7443 } };
    examine(&config, None, &mut |_| ()).await.unwrap()
}

#[track_caller]
fn said(findings: &Findings, what: &str, words: &str) -> State {
    let of_this =
        |one: &&firstlight::backend::findings::Finding| one.what.contains(what) && one.why.contains(words);
    let found = findings.findings.iter().find(of_this);
    found.unwrap_or_else(|| panic!("no `{what}: {words}` in {findings:#?}")).state
}

#[tokio::test]
async fn a_real_server_is_judged_as_it_is() {
    let server = IncusServer::shared();
    server.project("doctor", &[]).unwrap();
    let local = || settings(Place::Socket(server.socket()), "doctor");
    let findings = asked(vec![local()], Defaults::default()).await;
    for (what, words) in [
        ("server real", "answers"),
        ("version of real", "all that is needed"),
        ("trust of real", "over its socket"),
        ("clock of real", "s from ours"),
        ("project doctor", "is there"),
        ("events of project doctor", "opens"),
        ("profiles of project doctor", "root disk `root`"),
        ("pool default", "GiB free"),
        ("network br0", "addresses 10."),
    ] {
        assert_eq!(said(&findings, what, words), State::Ok, "{what}");
    }
    assert!(findings.are_well());
    let silent = Defaults { network: Some(SILENT_NETWORK.to_owned()), ..Defaults::default() };
    let findings = asked(vec![local()], silent).await;
    assert_eq!(said(&findings, &format!("network {SILENT_NETWORK}"), "gives no addresses"), State::Warn);
    let nowhere =
        asked(vec![settings(Place::Socket("/nowhere/socket".into()), "doctor")], Defaults::default()).await;
    assert_eq!(said(&nowhere, "server real", "/nowhere/socket"), State::Fail);
    let other = Settings { project: "no-such".to_owned(), ..local() };
    let findings = asked(vec![other], Defaults::default()).await;
    assert_eq!(said(&findings, "project no-such", "no such project; it shows"), State::Fail);
}

#[tokio::test]
async fn over_https_it_tells_who_we_are_and_what_we_may() {
    let server = IncusServer::shared();
    server.project("doctor-far", &["restricted=true"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (place, file) = far_place(server, folder.path());
    let far = || settings(Place::Server(place.clone()), "doctor-far");
    let strange = asked(vec![far()], Defaults::default()).await;
    assert_eq!(said(&strange, "trust of real", "does not trust our certificate"), State::Fail);
    assert_eq!(said(&strange, "pin of real", "its key"), State::Ok);
    trust(server, &file, "doctor-far");
    let findings = asked(vec![far()], Defaults::default()).await;
    assert_eq!(said(&findings, "trust of real", "restricted to doctor-far"), State::Ok);
    assert_eq!(said(&findings, "project doctor-far", "restricted.snapshots is block"), State::Warn);
    assert_eq!(said(&findings, "events of project doctor-far", "opens"), State::Ok);
    assert!(findings.are_well(), "{findings:#?}");
    let elsewhere = Settings { project: "default".to_owned(), ..far() };
    let findings = asked(vec![elsewhere], Defaults::default()).await;
    assert!(!findings.are_well(), "{findings:#?}");
}
