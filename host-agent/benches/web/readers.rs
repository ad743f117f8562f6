//! Many open pages: what they cost, and how soon they hear of a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::client::TlsStream;

use crate::browser::With;
use crate::fleet::{processor_time, resident, spec};
use crate::percentile::percentile;
use crate::site::Site;
use firstlight_tests::figures::{Row, Table};

const READERS: usize = 200;
/// A second; each is a new guest, whose job changes several times.
const EVENTS: u64 = 10;
const LASTING: Duration = Duration::from_secs(20);
const MEGABYTES: f64 = 150.0;
const SHARE: f64 = 0.10;
const SEEN: f64 = 200.0;

pub(crate) async fn measure(site: &Site, table: &mut Table) {
    let alone = happen(site, site.guests, &mut None).await;
    let before = resident();
    let browser = site.browser().await;
    let (mut readers, bytes) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
    for _ in 1..READERS {
        let stream = browser.begin("GET", "/ui/live", With::default()).await;
        readers.spawn(drain(stream, Arc::clone(&bytes)));
    }
    let mut watcher = Some(Watcher::begin(browser.begin("GET", "/ui/live", With::default()).await).await);
    let from = bytes.load(Ordering::Relaxed);
    let watched = happen(site, site.guests + 1000, &mut watcher).await;
    let memory = resident() - before;
    assert_eq!(readers.len(), READERS - 1, "every page is still open");
    let heard = bytes.load(Ordering::Relaxed) - from;
    let mut seen = watched.seen;
    seen.sort_unstable();
    let what = format!("{READERS} open pages, {EVENTS} events/s");
    table.add(Row {
        figure: format!("{what}: memory"),
        ours: format!("{memory:.0} MB"),
        beside: format!("both ends of each; {:.1} MB were sent", heard as f64 / 1e6),
        aim: "<= 150 MB".into(),
        met: Some(memory <= MEGABYTES),
    });
    let share = watched.share - alone.share;
    table.add(Row {
        figure: format!("{what}: processor"),
        ours: format!("{:.1} % of a core", 100.0 * share),
        beside: format!("both ends of each; the events alone {:.1} %", 100.0 * alone.share),
        aim: "<= 10 %".into(),
        met: Some(share <= SHARE),
    });
    let (median, late) = (percentile(&seen, 0.5), percentile(&seen, 0.95));
    table.add(Row {
        figure: format!("{what}: a new guest is on an open page"),
        ours: format!("p50 {median:.0} ms, p95 {late:.0} ms"),
        beside: format!("{} guests, from the answer to their order", seen.len()),
        aim: "<= 200 ms".into(),
        met: Some(late <= SEEN),
    });
    readers.shutdown().await;
}

/// What a time with events cost.
struct Happened {
    /// Of one core.
    share: f64,
    /// From each event until the watcher saw it.
    seen: Vec<Duration>,
}

/// Orders guests, evenly over the time.
async fn happen(site: &Site, first: usize, watcher: &mut Option<Watcher>) -> Happened {
    let mut ticks = interval(Duration::from_millis(1000 / EVENTS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (from, start, mut number, mut seen) = (processor_time(), Instant::now(), first, Vec::new());
    while start.elapsed() < LASTING {
        ticks.tick().await;
        site.fleet.companion.service.submit(&[spec(number)], "bench").await.unwrap();
        let ordered = Instant::now();
        if let Some(watcher) = watcher {
            watcher.until(&format!("guest-guest-{number:05}")).await;
            seen.push(ordered.elapsed());
        }
        number += 1;
    }
    let used = processor_time().saturating_sub(from);
    Happened { share: used.as_secs_f64() / start.elapsed().as_secs_f64(), seen }
}

async fn drain(mut stream: TlsStream<TcpStream>, count: Arc<AtomicU64>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// The one page that is read.
struct Watcher {
    stream: TlsStream<TcpStream>,
    text: String,
}

impl Watcher {
    async fn begin(stream: TlsStream<TcpStream>) -> Self {
        let mut watcher = Self { stream, text: String::new() };
        watcher.until("retry:").await;
        watcher
    }

    /// Reads until these words come; what was before them is forgotten.
    async fn until(&mut self, words: &str) {
        let mut bytes = [0; 16 * 1024];
        loop {
            if let Some((_, rest)) = self.text.split_once(words) {
                self.text = rest.to_owned();
                return;
            }
            let count = self.stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "the stream ended before `{words}`");
            self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }
}
