//! A guest's page: its report in sections, the raw report, the page as a file.

use crate::browser::{between, header};
use crate::house::{House, OPERATOR, READER};

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_page_has_its_timeline_its_report_and_both_to_keep() {
    let house = House::open().await;
    house.up(&["web-01"], "").await;
    let (reader, operator) = (house.signed_in(READER).await, house.signed_in(OPERATOR).await);
    let page = reader.page("/ui/guests/web-01").await;
    for part in [
        "id=\"report-timeline\"",
        "id=\"report-keys\"",
        "id=\"report-checks\"",
        "id=\"report-network\"",
        "SHA256:",
        "<rect",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("id=\"do-destroy\""), "a reader has no form");
    assert!(operator.page("/ui/guests/web-01").await.contains("id=\"do-destroy\""));
    let style =
        between(&page, "rel=\"stylesheet\" href=\"", "report.css").rsplit('"').next().unwrap().to_owned();
    assert_eq!(reader.get(&format!("{style}report.css")).await.status, 200);

    let job = house.rig.job("web-01").await;
    let raw = reader.get(&format!("/ui/jobs/{job}/report.json")).await;
    assert_eq!(header(&raw, "content-type"), "application/json");
    assert!(header(&raw, "content-disposition").starts_with("attachment"), "{raw:?}");
    let report: serde_json::Value = serde_json::from_str(&raw.body).unwrap();
    assert_eq!(report["identity"]["hostname"]["current"], "web-01");
    let file = reader.get(&format!("/ui/jobs/{job}/report.html")).await;
    assert!(header(&file, "content-disposition").starts_with("attachment") && file.body.contains("web-01"));
    for path in ["/ui/jobs/none/report.json", "/ui/jobs/none/report.html", "/ui/guests/none"] {
        assert_eq!(reader.get(path).await.status, 404, "{path}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_identities_are_shown_with_who_has_them() {
    let house = House::open().await;
    house.up(&["web-01", "web-02"], "").await;
    let reader = house.signed_in(READER).await;
    let page = reader.page("/ui/duplicates").await;
    assert!(page.contains("No two guests that are there share an identity"), "{page}");
    // A third guest tells the MAC of the first, and a hostname that is markup.
    let store = &house.rig.companion.as_ref().unwrap().service.store;
    let found = store.list_reports(&Default::default()).await.unwrap().0;
    let first = found.iter().find(|report| report.guest == "web-01").unwrap();
    let mac = house.rig.hypervisor.machine("web-01").unwrap().mac.to_string();
    for (job, claim) in [("aaaa", "c1"), ("bbbb", "c2")] {
        let report = firstlight::store::StoredReport {
            sha256: format!("{job:0<64}"),
            claim_id: claim.into(),
            job: job.into(),
            guest: format!("other-{job}"),
            ..first.clone()
        };
        let told = [("mac", mac.clone()), ("hostname", "<script>alert(1)</script>\u{202e}".to_owned())];
        assert!(store.take_report(&report, &told).await.unwrap());
    }
    let page = reader.page("/ui/duplicates").await;
    for part in [mac.as_str(), "web-01", "other-aaaa", "shared now", "What to do:", "&#60;script&#62;"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'));
    house.close().await;
}
