//! Claims without a secret, and the reports that may answer them.

use std::net::IpAddr;
use std::time::Duration;

use firstlight::job::{Change, JobStore};
use firstlight::store::{Added, Candidate, Refused, Store};
use firstlight_shared::wire::Trust;

use crate::reports::report;
use crate::rig::{Rig, create};

fn candidate(sha256: &str) -> Candidate {
    let report = report("j1", "c1", sha256);
    Candidate {
        sha256: report.sha256,
        claim_id: report.claim_id,
        job: report.job,
        received_at_ms: report.received_at_ms,
        source: report.source,
        envelope: report.envelope,
        refuted: false,
    }
}

fn mismatch(sha256: &str) -> Refused {
    Refused {
        at_ms: 9,
        source: "192.0.2.1".into(),
        code: "report-mismatch".into(),
        message: "another one".into(),
        claim_id: Some("c1".into()),
        guest: Some("j1".into()),
        job: Some("j1".into()),
        sha256: Some(sha256.into()),
    }
}

async fn add(store: &Store, sha256: &str) -> Added {
    store.add_candidate(&candidate(sha256)).await.unwrap()
}

async fn kept(store: &Store) -> Vec<String> {
    store.candidates("c1").await.unwrap().into_iter().map(|one| one.sha256).collect()
}

pub(crate) async fn an_open_claim_keeps_a_few_reports_until_one_is_chosen(rig: &Rig) {
    create(&rig.store, "j1").await;
    let claim = rig.store.open_claim_for("j1", "j1", "c1").await.unwrap();
    assert!(claim.open && claim.secret.expose().is_empty() && claim.beacon.is_empty());
    assert_eq!(rig.other.open_claim_for("j1", "j1", "c2").await.unwrap().id, "c1");

    let mut changes = rig.other.changes();
    for sha256 in ["1", "2", "3"] {
        assert_eq!(add(&rig.store, sha256).await, Added::Added);
    }
    let heard = tokio::time::timeout(Duration::from_secs(10), changes.recv()).await.unwrap().unwrap();
    assert_eq!(heard, Change::Report { claim: "c1".into() });
    let same = Added::Known { source: "192.0.2.1".into(), refuted: false };
    assert_eq!(add(&rig.other, "2").await, same);
    // Two at once for the last place.
    let (one, other) = tokio::join!(add(&rig.store, "4"), add(&rig.other, "5"));
    assert!(matches!((one, other), (Added::Added, Added::Full) | (Added::Full, Added::Added)));
    assert_eq!(kept(&rig.store).await.len(), 4);

    // One that is refuted makes room, and is told once.
    for _ in 0..2 {
        rig.store.refute("c1", &[mismatch("2")]).await.unwrap();
    }
    assert_eq!(rig.store.refusals().await.unwrap(), [mismatch("2")]);
    assert!(matches!(add(&rig.store, "2").await, Added::Known { refuted: true, .. }));
    assert_eq!(add(&rig.store, "6").await, Added::Added);
    assert!(!kept(&rig.store).await.contains(&"2".to_owned()));

    let beacon: Vec<IpAddr> = vec!["fe80:5e11::1".parse().unwrap()];
    rig.store.name_report("c1", &beacon).await.unwrap();
    assert_eq!(rig.other.claim("c1").await.unwrap().unwrap().beacon, beacon);

    let key = [("ssh-host-key", "k1".to_owned())];
    let chosen = report("j1", "c1", "6");
    assert!(rig.store.choose_report(&chosen, &key, &[mismatch("1")]).await.unwrap());
    assert!(!rig.other.choose_report(&report("j1", "c1", "1"), &key, &[mismatch("6")]).await.unwrap());
    assert_eq!(kept(&rig.store).await, [""; 0]);
    assert_eq!(rig.store.refusals().await.unwrap(), [mismatch("2"), mismatch("1")]);
    assert_eq!(rig.store.report_of_job("j1").await.unwrap().unwrap().sha256, "6");
    assert_eq!(rig.store.ground("c1", &[]).await.unwrap().unwrap().answered.unwrap().sha256, "6");
}

pub(crate) async fn a_guest_known_by_its_beacon_alone_has_trust_and_identities(rig: &Rig) {
    create(&rig.store, "j1").await;
    create(&rig.store, "j2").await;
    rig.store.open_claim_for("j1", "j1", "c1").await.unwrap();
    assert_eq!(rig.store.job("j1").await.unwrap().unwrap().trust, None);
    let key = [("ssh-host-key", "k1".to_owned())];
    for _ in 0..2 {
        rig.store.vouch("j1", "j1", Trust::Attested, &key).await.unwrap();
    }
    assert_eq!(rig.other.job("j1").await.unwrap().unwrap().trust, Some(Trust::Attested));
    assert!(rig.other.claim("c1").await.unwrap().unwrap().vouched);
    assert_eq!(rig.other.holder_of_key("k1", "j2", "j2").await.unwrap().as_deref(), Some("j1"));
    // Its report may come all the same, with that key and others.
    let all = [("ssh-host-key", "k1".to_owned()), ("ssh-host-key", "k2".to_owned())];
    assert!(rig.store.choose_report(&report("j1", "c1", "1"), &all, &[]).await.unwrap());
    assert_eq!(rig.store.sharing("j2", &all).await.unwrap().len(), 2);

    create(&rig.store, "j3").await;
    rig.store.open_claim_for("j3", "j3", "c3").await.unwrap();
    let late = Candidate { claim_id: "c3".into(), job: "j3".into(), ..candidate("9") };
    assert_eq!(rig.store.add_candidate(&late).await.unwrap(), Added::Added);
    rig.store.expire_claim("j3").await.unwrap();
    assert_eq!(rig.store.candidates("c3").await.unwrap().len(), 0, "nobody needs it any more");
}
