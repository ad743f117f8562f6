//! Much that is sent: bodies without end, and reports that are refused.

use std::net::SocketAddr;
use std::time::Duration;

use firstlight_tests::paths::full;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use crate::honest::{self, Honest};
use crate::post::{connect, request};
use crate::raw::{address, head, say, status};
use crate::site::Site;

const BOUND: Duration = Duration::from_secs(10);
/// What refused reports may take on the disk, in bytes: 10,000 of them are kept, and SQLite's log beside them.
const MOST_STORED: u64 = 64 << 20;

fn every() -> Duration {
    Duration::from_millis(if full() { 3000 } else { 150 })
}

/// Sends a body that is said to have a gigabyte, or does not say when it ends.
async fn sends_giants(target: SocketAddr, number: u16) {
    let lines = if number.is_multiple_of(2) {
        "Content-Length: 1073741824\r\n"
    } else {
        "Transfer-Encoding: chunked\r\n"
    };
    let mut piece = if number.is_multiple_of(2) { Vec::new() } else { b"10000\r\n".to_vec() };
    piece.resize(piece.len() + 0x10000, b'[');
    if number % 2 == 1 {
        piece.extend_from_slice(b"\r\n");
    }
    loop {
        if let Ok(mut stream) = connect(target, address(number)).await {
            let mut sent = stream.write_all(head(lines).as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&piece).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giant_bodies_cost_little_memory_and_keep_no_guest_out() {
    let guests = honest::guests(15);
    let mut site = Site::start(&guests).await;
    // Whoever waits for an answer gets one.
    let mut body = head(&format!("Content-Length: {}\r\nConnection: close\r\n", 400_000)).into_bytes();
    body.resize(body.len() + 400_000, b' ');
    assert_eq!(status(&say(site.reports, address(999), &body).await), 413);
    let mut attack = JoinSet::new();
    for number in 0..96 {
        attack.spawn(sends_giants(site.reports, number % 24));
    }
    let fared = site.beside("96 bodies without end of 24 addresses", attack, guests, every()).await;
    assert!(fared.longest < BOUND, "{fared:?}");
}

/// Sends what is refused, as fast as it can, over connections that stay.
async fn floods(target: SocketAddr, number: u16, reports: Vec<String>) {
    loop {
        let Ok(stream) = connect(target, address(number)).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await
        else {
            continue;
        };
        tokio::spawn(connection);
        for report in reports.iter().cycle() {
            let Ok(answer) = sender.send_request(request(report.clone()).unwrap()).await else { break };
            let status = answer.status().as_u16();
            assert!((400..=599).contains(&status), "a hostile report got {status}");
            if answer.into_body().collect().await.is_err() {
                break;
            }
        }
    }
}

/// Well signed and of no claim that is known, noise, what is deep, what is large, and the reports of others.
fn refused(victims: &[Honest]) -> Vec<String> {
    let stranger = honest::guests(1).remove(0);
    let mut unknown = stranger.claim.clone();
    unknown.id = "x".repeat(5000);
    let mut wrong = victims[0].claim.clone();
    wrong.secret = Some(firstlight_shared::secret::Secret::new(vec![0; 32]));
    let mut reports = vec![
        stranger.guest.report(Some(&unknown)),
        stranger.guest.report(Some(&wrong)),
        stranger.guest.report(None),
        "noise".to_owned(),
        "[".repeat(200_000),
        format!("{{\"version\":1,\"report\":\"{}\"}}", "\\u202e".repeat(30_000)),
    ];
    reports.push(victims[0].report.replacen("guest-1", "guest-2", 1));
    reports
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refused_reports_fills_neither_memory_nor_disk_and_keeps_no_guest_out() {
    let guests = honest::guests(20);
    let mut site = Site::start(&guests).await;
    let reports = refused(&guests);
    let mut attack = JoinSet::new();
    for number in 0..64 {
        attack.spawn(floods(site.reports, number % 16, reports.clone()));
    }
    let fared =
        site.beside("64 connections of 16 addresses with refused reports", attack, guests, every()).await;
    let counted = site.counted().await;
    let refused: u64 = counted.iter().filter(|(code, _)| *code != "taken").map(|(_, count)| count).sum();
    eprintln!("{refused} reports were refused: {counted:?}; {} bytes are stored", site.stored());
    assert!(refused > 200 && counted.len() > 4, "{counted:?}");
    assert!(fared.longest < BOUND, "{fared:?}");
    assert!(site.stored() < MOST_STORED);
}
