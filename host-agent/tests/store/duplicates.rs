//! Identities that guests share, ever.

use firstlight::store::{Refused, SharedFilter, SharedPage, Store, StoredReport};

use crate::reports::report;
use crate::rig::{Rig, create};

async fn tells(store: &Store, job: &str, sha256: &str, identities: &[(&'static str, &str)]) {
    let identities: Vec<_> = identities.iter().map(|(kind, value)| (*kind, (*value).to_owned())).collect();
    let claim = format!("claim-{job}");
    assert!(store.take_report(&report(job, &claim, sha256), &identities).await.unwrap());
}

async fn shared(store: &Store) -> SharedPage {
    store.shared_identities(&SharedFilter::default()).await.unwrap()
}

fn lines(page: &SharedPage) -> Vec<String> {
    let line = |row: &firstlight::store::SharedRow| {
        let holders: Vec<String> = row
            .holders
            .iter()
            .map(|one| {
                let from = one.source.as_deref().map(|source| format!("@{source}")).unwrap_or_default();
                format!("{}{from}{}", one.guest, if one.gone { "-" } else { "" })
            })
            .collect();
        format!(
            "{} {} {} {}",
            row.kind,
            row.value,
            if row.open { "open" } else { "settled" },
            holders.join(",")
        )
    };
    page.rows.iter().map(line).collect()
}

pub(crate) async fn what_two_guests_share_is_found_for_ever(rig: &Rig) {
    for job in ["j1", "j2", "j3"] {
        create(&rig.store, job).await;
    }
    assert_eq!(shared(&rig.store).await, SharedPage::default());
    tells(
        &rig.store,
        "j1",
        "01",
        &[("mac", "m1"), ("ssh-host-key", "k1"), ("machine-id", "i1"), ("hostname", "a")],
    )
    .await;
    tells(
        &rig.store,
        "j2",
        "02",
        &[("mac", "m1"), ("ssh-host-key", "k1"), ("machine-id", "i1"), ("hostname", "b")],
    )
    .await;
    tells(
        &rig.store,
        "j3",
        "03",
        &[("mac", "m3"), ("ssh-host-key", "k1"), ("machine-id", "i3"), ("hostname", "a")],
    )
    .await;
    let page = shared(&rig.other).await;
    assert_eq!((page.open, page.total), (4, 4));
    assert_eq!(
        lines(&page),
        [
            "hostname a open j1,j3",
            "mac m1 open j1,j2",
            "machine-id i1 open j1,j2",
            "ssh-host-key k1 open j1,j2,j3"
        ]
    );
    // MACs and names are free again with their guest; keys and machine-ids are remembered.
    rig.store.retire_keys("j1").await.unwrap();
    let page = shared(&rig.other).await;
    assert_eq!(lines(&page), ["ssh-host-key k1 open j2,j3,j1-", "machine-id i1 settled j2,j1-"]);
    rig.store.retire_keys("j2").await.unwrap();
    let page = shared(&rig.other).await;
    assert_eq!((page.open, page.total), (0, 2));
    // The same guest, restored under its name, is no second one.
    let back = StoredReport { guest: "j2".into(), ..report("j4", "claim-j4", "04") };
    assert!(rig.store.take_report(&back, &[("mac", "m4".to_owned())]).await.unwrap());
    assert_eq!(shared(&rig.other).await.total, 2);
}

pub(crate) async fn shared_identities_come_page_by_page(rig: &Rig) {
    for (number, job) in ["j1", "j2"].into_iter().enumerate() {
        create(&rig.store, job).await;
        let macs: Vec<String> = (0..25).map(|mac| format!("m{mac:02}")).collect();
        let identities: Vec<_> = macs.iter().map(|mac| ("mac", mac.as_str())).collect();
        tells(&rig.store, job, &format!("0{number}"), &identities).await;
    }
    let mut filter = SharedFilter { limit: 10, before: None };
    let mut seen = Vec::new();
    loop {
        let page = rig.other.shared_identities(&filter).await.unwrap();
        assert_eq!((page.open, page.total, page.rows.len() <= 10), (25, 25, true));
        seen.extend(page.rows.into_iter().map(|row| (row.value, row.holder_count)));
        match page.next {
            Some(next) => {
                assert!(SharedFilter::is_place(&next), "{next}");
                filter.before = Some(next);
            }
            None => break,
        }
    }
    assert_eq!(seen, (0..25).map(|mac| (format!("m{mac:02}"), 2)).collect::<Vec<_>>());
}

pub(crate) async fn a_claim_that_is_used_from_elsewhere_is_shared(rig: &Rig) {
    create(&rig.store, "j1").await;
    tells(&rig.store, "j1", "01", &[]).await;
    let refused = |source: &str, code: &str| Refused {
        at_ms: 7,
        source: source.into(),
        code: code.into(),
        message: "this claim has been answered by another report".into(),
        claim_id: Some("claim-j1".into()),
        guest: Some("j1".into()),
        job: Some("j1".into()),
        sha256: None,
    };
    // The guest itself, again; and somebody with a wrong secret: neither is a copy.
    rig.store.refuse_report(&refused("192.0.2.1", "claim-used")).await.unwrap();
    rig.store.refuse_report(&refused("192.0.2.7", "wrong-claim")).await.unwrap();
    assert_eq!(shared(&rig.other).await.total, 0);
    for _ in 0..2 {
        rig.store.refuse_report(&refused("192.0.2.9", "claim-used")).await.unwrap();
    }
    let page = shared(&rig.other).await;
    assert_eq!(lines(&page), ["claim claim-j1 open j1@192.0.2.1,j1@192.0.2.9"]);
}

pub(crate) async fn a_copy_that_reported_is_listed_with_its_guest(rig: &Rig) {
    create(&rig.store, "j1").await;
    tells(&rig.store, "j1", "01", &[("ssh-host-key", "k1")]).await;
    let refused = |source: &str, code: &str| Refused {
        at_ms: 7,
        source: source.into(),
        code: code.into(),
        message: "it is signed with the SSH host key of j1".into(),
        claim_id: None,
        guest: Some("j1".into()),
        job: Some("j1".into()),
        sha256: None,
    };
    rig.store.refuse_report(&refused("192.0.2.7", "no-claim")).await.unwrap();
    assert_eq!(shared(&rig.other).await.total, 0);
    for source in ["192.0.2.9", "192.0.2.8", "192.0.2.9"] {
        rig.store.refuse_report(&refused(source, "copied-guest")).await.unwrap();
    }
    let page = shared(&rig.other).await;
    assert_eq!(lines(&page), ["copy j1 open j1,j1@192.0.2.8,j1@192.0.2.9"]);
    assert_eq!((page.open, page.rows[0].holder_count), (1, 3));
}
