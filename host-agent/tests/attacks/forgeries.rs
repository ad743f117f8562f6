//! Requests that could be read in two ways, reports of others, and claims of others, on a companion that honest guests
//! use meanwhile.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::honest;
use crate::post::post;
use crate::raw::{address, head, say, status};
use crate::site::Site;

/// Two lengths, a length and chunks, chunks of no size: whoever reads such a request otherwise than another one did before
/// could be made to take a part of it for a second request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_can_be_read_in_two_ways_is_not_read() {
    let guests = honest::guests(2);
    let mut site = Site::start(&guests).await;
    let report = &guests[0].report;
    let length = report.len();
    for lines in [
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        format!("Content-Length: {length}, 0\r\n"),
        format!("Content-Length: +{length}\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n"),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        format!("Content-Length : {length}\r\n"),
        format!("Content-Length: {length}\r\n folded: x\r\n"),
        "Content-Length: 18446744073709551616\r\n".to_owned(),
    ] {
        let answer =
            say(site.reports, guests[0].source(), format!("{}{report}", head(&lines)).as_bytes()).await;
        assert!(matches!(status(&answer), 0 | 400..=499), "{lines:?}: {answer}");
        assert_eq!(site.counted().await["taken"], 0, "{lines:?} was taken");
    }
    // A length is not counted where chunks are said.
    let chunks = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n";
    let body = format!("{}{:x}\r\nnoise\r\n0\r\n\r\n", head(chunks), 5);
    let answer = say(site.reports, address(3), body.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 ").count() <= 1, "two answers to one request: {answer}");
    for line in ["x".repeat(100_000), "X: y\r\n".repeat(200)] {
        let answer = say(site.reports, address(4), head(&format!("{line}\r\n")).as_bytes()).await;
        assert!(matches!(status(&answer), 0 | 400 | 431), "{answer}");
    }
    let fared = site.beside("requests of two meanings", JoinSet::new(), guests, Duration::ZERO).await;
    assert!(fared.longest < Duration::from_secs(5), "{fared:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reports_in_the_name_of_another() {
    let guests = honest::guests(3);
    let site = Site::start(&guests).await;
    let [one, two, _] = &guests[..] else { panic!("three guests") };
    let thief = address(5);
    let code = async |source, report: String| {
        let (status, body) = post(site.reports, source, report).await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    // The claim of another, with its id alone, and with the attacker's own secret.
    let mut stolen = one.claim.clone();
    stolen.secret = two.claim.secret.clone();
    assert_eq!(code(thief, two.guest.report(Some(&stolen))).await, (403, "wrong-claim".into()));
    stolen.secret = None;
    assert_eq!(code(thief, two.guest.report(Some(&stolen))).await, (403, "wrong-claim".into()));
    // The binding of one report on another.
    let parts = |report: &str| serde_json::from_str::<serde_json::Value>(report).unwrap();
    let (mine, mut theirs) = (parts(&one.report), parts(&two.report));
    theirs["binding"] = mine["binding"].clone();
    let refused = code(thief, theirs.to_string()).await;
    assert!(refused.0 >= 400 && refused.0 < 500, "{refused:?}");
    // The guest itself; then the same bytes from elsewhere, and other bytes of its own.
    assert_eq!(code(one.source(), one.report.clone()).await, (200, String::new()));
    assert_eq!(code(thief, one.report.clone()).await, (409, "replayed".into()));
    assert_eq!(code(one.source(), one.guest.report(Some(&one.claim))).await, (409, "claim-used".into()));
    assert_eq!(
        code(one.source(), one.report.clone()).await,
        (200, String::new()),
        "the guest itself may ask again"
    );
    let counted = site.counted().await;
    assert_eq!((counted["taken"], counted["replayed"]), (2, 1), "{counted:?}");
}
