//! Claims, reports, refusals, identities.

use firstlight::job::Change;
use firstlight::job::JobStore;
use firstlight::store::{Refused, ReportFilter, Store, StoredReport};
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::{Ack, Envelope, Trust};

use crate::rig::{Rig, create};

pub(crate) async fn claimed(store: &Store, job: &str, id: &str) {
    store.claim_for(job, job, id, &Secret::new(vec![7; 32])).await.unwrap();
}

pub(crate) fn report(job: &str, claim: &str, sha256: &str) -> StoredReport {
    StoredReport {
        sha256: sha256.into(),
        claim_id: claim.into(),
        job: job.into(),
        guest: job.into(),
        received_at_ms: 5_000 + sha256.parse::<u64>().unwrap_or(0),
        source: "192.0.2.1".into(),
        trust: Trust::Claimed,
        envelope: Envelope {
            version: 1,
            report: "{\"signed\": \"bytes\"}".into(),
            signature: "sig".into(),
            signing_key: "key".into(),
            binding: None,
        },
        ack: Ack { version: 1, report_sha256: sha256.into(), accepted_at_ms: 1, host_certificates: vec![] },
    }
}

fn refused(claim: Option<&str>) -> Refused {
    Refused {
        at_ms: 7,
        source: "192.0.2.9".into(),
        code: "shared-host-key".into(),
        message: "guest b has it, too".into(),
        claim_id: claim.map(str::to_owned),
        guest: claim.map(|_| "a".to_owned()),
        job: None,
        sha256: None,
    }
}

pub(crate) async fn a_claim_is_made_once_per_job(rig: &Rig) {
    let first = rig.store.claim_for("j1", "web", "id1", &Secret::new(vec![1; 32])).await.unwrap();
    let again = rig.other.claim_for("j1", "web", "id2", &Secret::new(vec![2; 32])).await.unwrap();
    assert_eq!((again.id.as_str(), &again.secret), ("id1", &first.secret));
    rig.store.expire_claim("j1").await.unwrap();
    rig.store.expire_claim("j1").await.unwrap();
    let claim = rig.other.claim("id1").await.unwrap().unwrap();
    assert!(claim.expired && claim.secret.expose().is_empty());
    assert!(rig.store.claim("id2").await.unwrap().is_none());
}

pub(crate) async fn a_claim_is_answered_once(rig: &Rig) {
    claimed(&rig.store, "j1", "c1").await;
    let (one, two) = (report("j1", "c1", "01"), report("j1", "c1", "02"));
    let (first, second) = tokio::join!(rig.store.take_report(&one, &[]), rig.other.take_report(&two, &[]));
    let taken = [first.unwrap(), second.unwrap()];
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
    let winner = if taken[0] { one } else { two };
    let stored = rig.other.report_of_job("j1").await.unwrap().unwrap();
    assert_eq!((stored.sha256, stored.ack), (winner.sha256.clone(), winner.ack.clone()));
    assert!(!rig.store.take_report(&winner, &[]).await.unwrap(), "the same bytes again");
    rig.store.set_trust(&winner.sha256, Trust::Attested).await.unwrap();
    assert_eq!(rig.other.report_of_job("j1").await.unwrap().unwrap().trust, Trust::Attested);
}

pub(crate) async fn identities_and_host_keys_find_their_holders(rig: &Rig) {
    let identities = |mac: &str, key: &str| {
        [("mac", mac.to_owned()), ("ssh-host-key", key.to_owned()), ("hostname", "x".to_owned())]
    };
    rig.store.take_report(&report("j1", "c1", "01"), &identities("m1", "k1")).await.unwrap();
    rig.store.take_report(&report("j2", "c2", "02"), &identities("m1", "k2")).await.unwrap();
    let shared = rig.other.sharing("j3", &identities("m1", "k1")).await.unwrap();
    let shared: Vec<_> = shared.iter().map(|one| (one.kind.as_str(), one.guest.as_str())).collect();
    assert_eq!(
        shared,
        [("mac", "j1"), ("mac", "j2"), ("ssh-host-key", "j1"), ("hostname", "j1"), ("hostname", "j2")]
    );
    assert!(rig.other.sharing("j1", &[("mac", "m9".to_owned())]).await.unwrap().is_empty());

    assert_eq!(rig.store.holder_of_key("k1", "j9", "other").await.unwrap().as_deref(), Some("j1"));
    assert_eq!(rig.store.holder_of_key("k1", "j1", "j1").await.unwrap(), None, "its own");
    rig.store.retire_keys("j1").await.unwrap();
    assert_eq!(
        rig.store.holder_of_key("k1", "j9", "other").await.unwrap().as_deref(),
        Some("j1"),
        "for ever"
    );
    assert_eq!(rig.store.holder_of_key("k1", "j9", "j1").await.unwrap(), None, "the same guest, restored");
    assert_eq!(
        rig.store.sharing("j2", &identities("m1", "k1")).await.unwrap(),
        [],
        "a gone guest shares nothing"
    );
}

pub(crate) async fn reports_and_refusals_are_listed(rig: &Rig) {
    for number in 10..22 {
        let (job, claim) = (format!("j{}", number % 2), format!("c{number}"));
        rig.store.take_report(&report(&job, &claim, &number.to_string()), &[]).await.unwrap();
    }
    let mut filter = ReportFilter { guest: Some("j0".into()), limit: 4, before: None };
    let mut seen = Vec::new();
    loop {
        let (reports, next) = rig.store.list_reports(&filter).await.unwrap();
        seen.extend(reports.into_iter().map(|report| report.sha256));
        let Some(next) = next else { break };
        filter.before = Some(next);
    }
    assert_eq!(seen, ["20", "18", "16", "14", "12", "10"]);
    let broken = ReportFilter { before: Some("no place".into()), ..ReportFilter::default() };
    assert_eq!(rig.store.list_reports(&broken).await.unwrap().0.len(), 12);

    for claim in [None, Some("c1")] {
        rig.store.refuse_report(&refused(claim)).await.unwrap();
    }
    assert_eq!(rig.other.refusals().await.unwrap(), [refused(None), refused(Some("c1"))]);
    assert_eq!(rig.other.list_refusals(Some(&"a".to_owned()), 0).await.unwrap(), [refused(Some("c1"))]);
    assert_eq!(rig.store.refusal_of_claim("c1").await.unwrap(), None, "anybody may have sent it");
}

pub(crate) async fn a_guest_refused_for_good_is_remembered(rig: &Rig) {
    create(&rig.store, "a").await;
    let mut changes = rig.other.changes();
    rig.store.refuse_guest(&refused(Some("c1"))).await.unwrap();
    assert_eq!(rig.other.refusal_of_claim("c1").await.unwrap(), Some(refused(Some("c1"))));
    let wanted = Change::Refused {
        claim: "c1".into(),
        code: "shared-host-key".into(),
        message: "guest b has it, too".into(),
    };
    while changes.recv().await.unwrap() != wanted {}
}

pub(crate) async fn a_flood_of_one_guest_is_bounded(rig: &Rig) {
    claimed(&rig.store, "a", "c1").await;
    let mut changes = rig.other.changes();
    let both = |_| async {
        let refused = refused(Some("c1"));
        let (one, two) = tokio::join!(rig.store.refuse_guest(&refused), rig.other.refuse_guest(&refused));
        one.and(two).unwrap();
    };
    for number in 0..10 {
        both(number).await;
    }
    assert_eq!(rig.store.refusals().await.unwrap().len(), 20, "shown like any other");
    // Only the first is exempt from being forgotten, and wakes anybody.
    rig.store.ping().await.unwrap();
    rig.store.refuse_report(&refused(None)).await.unwrap();
    let mut heard = 0;
    while let Ok(Ok(change)) =
        tokio::time::timeout(std::time::Duration::from_millis(300), changes.recv()).await
    {
        heard += usize::from(matches!(change, Change::Refused { .. }));
    }
    assert_eq!(heard, 1);
}
