//! The fleet's page: how soon its first byte comes, and how big it is.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use crate::browser::{Browser, With};
use crate::percentile::percentile;
use crate::site::Site;
use firstlight_tests::figures::{Row, Table};

const FIRST_BYTE: f64 = 100.0;
/// Before compression.
const BYTES: usize = 300_000;
const ROUNDS: usize = 40;

pub(crate) async fn measure(site: &Site, table: &mut Table) {
    let browser = site.browser().await;
    for (name, path) in [
        ("fleet page", "/ui/"),
        ("fleet page, newest report first", "/ui/?sort=report&dir=desc"),
        ("fleet page, one guest searched", "/ui/?q=00042"),
    ] {
        let (mut firsts, mut largest) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let (first, bytes) = fetch(&browser, path).await;
            firsts.push(first);
            largest = largest.max(bytes);
        }
        firsts.sort_unstable();
        let (median, late) = (percentile(&firsts, 0.5), percentile(&firsts, 0.95));
        table.add(Row {
            figure: format!("{name} ({} guests): first byte", site.guests),
            ours: format!("p50 {median:.1} ms, p95 {late:.1} ms"),
            beside: format!("{ROUNDS} requests one after the other, without the handshake of TLS"),
            aim: "<= 100 ms".into(),
            met: Some(late <= FIRST_BYTE),
        });
        table.add(Row {
            figure: format!("{name} ({} guests): size", site.guests),
            ours: format!("{:.0} kB", largest as f64 / 1000.0),
            beside: "with its headers, not compressed".to_owned(),
            aim: "<= 300 kB".into(),
            met: Some(largest <= BYTES),
        });
    }
}

/// Time to the first byte after the request was sent, and the bytes in all.
async fn fetch(browser: &Browser, path: &str) -> (Duration, usize) {
    let mut stream = browser.begin("GET", path, With::default()).await;
    let sent = Instant::now();
    let mut bytes = vec![0; 64 * 1024];
    let mut count = stream.read(&mut bytes).await.unwrap();
    let first = sent.elapsed();
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes[..count]));
    let mut total = count;
    while count > 0 {
        count = stream.read(&mut bytes).await.unwrap_or(0);
        total += count;
    }
    (first, total)
}
