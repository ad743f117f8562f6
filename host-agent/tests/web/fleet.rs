//! The fleet: who is there, searched, sorted, page by page.

use std::time::{Duration, Instant};

use firstlight::job::{Event, JobSpec, JobStore, NewJob, Recorded, StepInfo};

use crate::browser::between;
use crate::house::{House, OPERATOR, READER};

/// The guests of a page, in their order.
fn guests(page: &str) -> Vec<&str> {
    page.split("<tr id=\"guest-").skip(1).map(|row| row.split_once('"').unwrap().0).collect()
}

fn row<'a>(page: &'a str, guest: &str) -> &'a str {
    between(page, &format!("<tr id=\"guest-{guest}\""), "</tr>")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_guest_has_its_row_and_what_is_stuck_stands_on_top() {
    let house = House::open().await;
    let browser = house.signed_in(READER).await;
    let empty = browser.page("/ui/").await;
    assert!(empty.contains("There is no guest yet"), "{empty}");
    house.up(&["web-01", "web-02"], "").await;
    house.rig.hypervisor.break_guest("web-03", true);
    let spec = house.rig.spec(&["web-03"], "on_failure = \"keep\"");
    house.rig.run(&["up", &spec]).await;
    let page = browser.page("/ui/").await;
    assert_eq!(guests(&page), ["web-01", "web-02", "web-03"]);
    for word in ["ready", "1 passed", "golden.tar", "local", "/ui/guests/web-01"] {
        assert!(row(&page, "web-01").contains(word), "{word}: {}", row(&page, "web-01"));
    }
    assert!(row(&page, "web-03").contains("needs operator"));
    assert!(between(&page, "id=\"attention\"", "</section>").contains("web-03"), "{page}");
    assert!(between(&page, "id=\"count-ready\"", "</a>").contains(">2<"), "{page}");
    assert!(between(&page, "id=\"count-stuck\"", "</a>").contains(">1<"), "{page}");

    for (query, wanted) in [
        ("q=02", &["web-02"][..]),
        ("q=WEB-0", &["web-01", "web-02", "web-03"]),
        ("q=%25", &[]),
        ("q=10.0.0.9", &[]),
        ("state=stuck", &["web-03"]),
        ("state=ready&dir=desc", &["web-02", "web-01"]),
        ("sort=state", &["web-03", "web-01", "web-02"]),
        ("sort=ready", &["web-01", "web-02", "web-03"]),
        ("backend=local&golden=golden.tar&q=1", &["web-01"]),
        ("golden=other", &[]),
        ("backend=none", &[]),
        ("sort=%00&after=%FF&dir=up", &["web-01", "web-02", "web-03"]),
    ] {
        let page = browser.page(&format!("/ui/?{query}")).await;
        let mut found = guests(&page);
        if query == "sort=ready" {
            found.sort_unstable();
        }
        assert_eq!(found, wanted, "{query}");
    }
    let address = house.rig.hypervisor.machine("web-02").unwrap().addresses[0].to_string();
    let page = browser.page(&format!("/ui/?q={address}")).await;
    assert_eq!(guests(&page), ["web-02"], "found by its address {address}");
    // Who may only look sees no form but those that look or sign out.
    let job = house.rig.job("web-01").await;
    assert!(!browser.page(&format!("/ui/jobs/{job}")).await.contains("id=\"do-"));
    house.close().await;
}

/// Jobs that wait for ever: their resource has no place.
async fn queue(house: &House, count: usize) {
    let store = &house.rig.companion.as_ref().unwrap().service.store;
    let job = |number: usize| {
        let spec = JobSpec {
            guest: format!("many-{number:05}"),
            backend: "local".into(),
            spec: serde_json::json!({ "plan": { "golden": "/goldens/<script>alert(1)</script>\u{202e}" } }),
            steps: vec![StepInfo { name: "make".into(), waits: false, deadline_ms: None }],
            keep_on_failure: false,
            batch: "many".into(),
            resources: vec!["closed:all".into()],
            deadline_ms: None,
            retry_of: None,
            by: "test".into(),
            change_of: None,
            destroy_after_ms: None,
            ephemeral: false,
        };
        NewJob {
            id: format!("{number:032x}"),
            created: Recorded { seq: 0, at_ms: 1000 + number as u64, event: Event::Created(spec) },
        }
    };
    let jobs: Vec<NewJob> = (0..count).map(job).collect();
    store.create(&jobs).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_guests_come_page_by_page_each_once_and_soon() {
    let house = House::open_with("[limits]\nclosed = 0\n").await;
    queue(&house, 1230).await;
    let browser = house.signed_in(OPERATOR).await;
    for start in
        ["/ui/", "/ui/?dir=desc", "/ui/?sort=made", "/ui/?sort=made&dir=desc", "/ui/?sort=report&q=many"]
    {
        let (mut path, mut seen) = (start.to_owned(), Vec::new());
        loop {
            let began = Instant::now();
            let page = browser.page(&path).await;
            assert!(began.elapsed() < Duration::from_secs(5), "{path} took {:?}", began.elapsed());
            assert!(page.len() < 300_000, "{path} has {} bytes", page.len());
            assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'));
            let found = guests(&page);
            assert!(found.len() <= 100);
            seen.extend(found.into_iter().map(ToOwned::to_owned));
            let Some((_, next)) = page.split_once("id=\"next-page\" rel=\"next\" href=\"") else { break };
            path = next.split_once('"').unwrap().0.replace("&#38;", "&").replace("&amp;", "&");
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((seen.len(), sorted.len()), (1230, 1230), "{start}");
        if start.ends_with("desc") {
            sorted.reverse();
        }
        assert_eq!(seen, sorted, "{start}");
    }
    let page = browser.page("/ui/jobs?batch=many").await;
    assert!(page.contains("many-01229") && page.contains("closed:all: 0 of 0 places are taken"), "{page}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_images_tell_what_became_of_their_guests() {
    let house = House::open().await;
    let browser = house.signed_in(READER).await;
    assert!(browser.page("/ui/goldens").await.contains("No guest was made"));
    house.up(&["web-01", "web-02"], "").await;
    house.rig.run(&["destroy", "web-02"]).await.ends_with(0);
    house.rig.hypervisor.break_guest("web-03", true);
    house.rig.run(&["up", &house.rig.spec(&["web-03"], "")]).await;
    let page = browser.page("/ui/goldens").await;
    let row = between(&page, "<tr id=\"golden-0\"", "</tr>");
    for (label, count) in [("Bring-ups", 3), ("Ready now", 1)] {
        assert!(row.contains(&format!("data-label=\"{label}\" class=\"num\">{count}")), "{label}: {row}");
    }
    assert!(row.contains("<span class=\"text-bad\">1</span>") && row.contains("<polyline"), "{row}");
    assert!(row.contains("data-label=\"Lint\""), "{row}");
    let guests_of = between(row, "href=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
    assert_eq!(guests(&browser.page(&guests_of).await), ["web-01"]);
    house.close().await;
}

/// A root that carries what no clone may share.
fn root(folder: &std::path::Path) -> std::path::PathBuf {
    let root = folder.join("root");
    std::fs::create_dir_all(root.join("etc/ssh")).unwrap();
    std::fs::write(root.join("etc/ssh/ssh_host_<b>\u{1b}[31m_key"), "x").unwrap();
    root
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_images_show_what_the_lint_says_of_them() {
    let house = House::open().await;
    let browser = house.signed_in(READER).await;
    house.up(&["web-01"], "").await;
    let row = async || {
        let page = browser.page("/ui/goldens").await;
        between(&page, "<tr id=\"golden-0\"", "</tr>").to_owned()
    };
    // The companion looks by itself: the paper golden is no archive.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !row().await.contains("cannot be read") {
        assert!(Instant::now() < deadline, "{}", row().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(row().await.contains("it is not a tar archive"), "{}", row().await);

    // Somebody looked at the root that it was made of.
    let golden = house.rig.path("golden.tar");
    let root = root(house.folder.path());
    let record = format!("--record=local:{}", golden.display());
    let ran = house.rig.run(&["golden", "lint", root.to_str().unwrap(), &record]).await.ends_with(1);
    assert!(ran.stderr.contains("recorded for local golden /"), "{ran:#?}");
    let row = row().await;
    for words in [" errors", "ssh-host-keys", "class=\"text-bad\"", "A folder for any."] {
        assert!(row.contains(words), "{words}: {row}");
    }
    assert!(!row.contains("<b>") && !row.contains('\u{1b}') && !row.contains("cannot be read"), "{row}");
    assert!(row.contains("ssh_host_&#60;b&#62;\\u{1b}[31m_key"), "{row}");
    // Nobody has such a backend.
    let ran = house.rig.run(&["golden", "lint", root.to_str().unwrap(), "--record=incus:x"]).await;
    ran.ends_with(3).tells(&["no backend `incus`"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_read_gets_a_page_that_says_so() {
    let house = House::open().await;
    let browser = house.signed_in(READER).await;
    for path in ["/ui/?q=a&q=b", "/ui/jobs?state=all&state=stuck", "/ui/guests/%ff", "/ui/jobs/%ff/cancel"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        for words in ["this address cannot be read", "href=\"/ui/\"", "bad-address"] {
            assert!(answer.body.contains(words), "{path}: {words}: {answer:?}");
        }
    }
    house.close().await;
}
