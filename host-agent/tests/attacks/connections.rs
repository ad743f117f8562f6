//! Many connections that say nothing, or little by little.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use firstlight_tests::paths::full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::honest;
use crate::post::connect;
use crate::raw::{address, head, open_many_files, plain};
use crate::site::{Fared, Site};

const EVERY: Duration = Duration::from_millis(150);
/// What half of the honest guests, and each, may wait for the acknowledgement beside an attack: whose first packets met a
/// full queue comes again after 1, 3 and 7 s. The agent tries for 30 minutes.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(20));

fn assert_got_through(fared: &Fared) {
    assert!(fared.median < BOUNDS.0 && fared.longest < BOUNDS.1, "{fared:?}");
}

/// Connects, says nothing, and connects again when it is closed.
async fn is_silent(target: SocketAddr, number: u16, opened: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut stream) = plain(target, address(number)).await {
            opened.fetch_add(1, Ordering::Relaxed);
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_silent_connections_keep_no_guest_out() {
    open_many_files();
    // Of few addresses, of more than would fill all places with their shares, and of more than there are places.
    let counts: &[u16] = if full() { &[4, 40, 200, 1000, 10_000] } else { &[40, 1000] };
    for addresses in counts {
        let guests = honest::guests(20);
        let mut site = Site::start(&guests).await;
        let opened = Arc::<AtomicUsize>::default();
        let mut attack = JoinSet::new();
        for number in 0..10_000 {
            attack.spawn(is_silent(site.reports, number % addresses, Arc::clone(&opened)));
        }
        // The honest ones come when all are there; how soon that is, is the machine's business.
        let all = async {
            while opened.load(Ordering::Relaxed) < 10_000 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let there = tokio::time::timeout(Duration::from_secs(60), all).await;
        assert!(there.is_ok(), "only {opened:?} were opened");
        let what = format!("10,000 silent connections of {addresses} addresses");
        let fared = site.beside(&what, attack, guests, EVERY).await;
        assert_got_through(&fared);
    }
}

/// Shakes hands, then sends a head, or a body, byte by byte.
async fn is_slow(target: SocketAddr, number: u16) {
    let head = head("Content-Length: 200000\r\nContent-Type: application/json\r\n");
    loop {
        if let Ok(mut stream) = connect(target, address(number)).await {
            let at_once = if number.is_multiple_of(2) { 4 } else { head.len() };
            let mut sent = stream.write_all(&head.as_bytes()[..at_once]).await;
            for byte in head.bytes().skip(at_once).chain(std::iter::repeat(b' ')) {
                if sent.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                sent = stream.write_all(&[byte]).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_byte_by_byte_keeps_no_guest_out() {
    let guests = honest::guests(20);
    let mut site = Site::start(&guests).await;
    let mut attack = JoinSet::new();
    for number in 0..400 {
        attack.spawn(is_slow(site.reports, number % 50));
    }
    let fared = site.beside("400 slow connections of 50 addresses", attack, guests, EVERY).await;
    assert_got_through(&fared);
}

/// Two hundred and fifty guests that start at once are no attack. How long they take is the disk's business: each report is a
/// commit of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_guests_that_start_at_once_are_all_taken() {
    let guests = honest::guests(250);
    let mut site = Site::start(&guests).await;
    site.beside("nothing", JoinSet::new(), guests, Duration::ZERO).await;
    let counted = site.counted().await;
    assert!(counted.keys().all(|code| code == "taken"), "{counted:?}");
}
