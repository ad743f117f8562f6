//! The load generator: guests that send reports over kept-alive connections, on the same cores as the companion.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;

use crate::post;

/// Connections at once.
const CONNECTIONS: u8 = 16;
/// So many share an address: the listener gives each address its share only.
const OF_ONE_ADDRESS: u8 = 4;

/// One report, and when it is to be sent.
#[derive(Debug)]
struct Shot {
    after: Duration,
    report: String,
}

/// Sends all reports, so many a second (none: as fast as they are taken); how long each took from its time on, sorted,
/// and the whole.
pub(crate) async fn send(
    target: SocketAddr,
    reports: Vec<String>,
    rate: Option<f64>,
) -> (Vec<Duration>, Duration) {
    let shots = reports.into_iter().enumerate().map(|(number, report)| Shot {
        after: rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(number as f64 / rate)),
        report,
    });
    let shots = Arc::new(Mutex::new(shots.collect::<VecDeque<_>>()));
    let start = Instant::now();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let source = IpAddr::from([127, 0, 1, 1 + number / OF_ONE_ADDRESS]);
            tokio::spawn(sender(target, source, Arc::clone(&shots), start, rate.is_some()))
        })
        .collect();
    let mut took = Vec::new();
    for sender in senders {
        took.extend(sender.await.unwrap());
    }
    let whole = start.elapsed();
    took.sort_unstable();
    (took, whole)
}

async fn sender(
    target: SocketAddr,
    source: IpAddr,
    shots: Arc<Mutex<VecDeque<Shot>>>,
    start: Instant,
    paced: bool,
) -> Vec<Duration> {
    let (mut took, mut line) = (Vec::new(), Line::default());
    loop {
        let Some(shot) = shots.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
            return took;
        };
        tokio::time::sleep_until((start + shot.after).into()).await;
        let from = if paced { start + shot.after } else { Instant::now() };
        // A connection has its time; the report is then sent over the next one, as guests do.
        while !line.taken(target, source, &shot.report).await {}
        took.push(from.elapsed());
    }
}

/// One kept-alive connection.
#[derive(Debug, Default)]
pub(crate) struct Line(Option<SendRequest<Full<Bytes>>>);

impl Line {
    /// Sends a report; false: the connection was at its end, and is made anew next time.
    pub(crate) async fn taken(&mut self, target: SocketAddr, source: IpAddr, report: &str) -> bool {
        if self.0.is_none() {
            let Ok(stream) = post::connect(target, source).await else { return false };
            let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(driver);
            self.0 = Some(sender);
        }
        let Some(sender) = &mut self.0 else { return false };
        let sent = async {
            sender.ready().await?;
            let response = sender.send_request(post::request(report.to_owned()).unwrap()).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
            Ok::<_, hyper::Error>(())
        };
        let taken = sent.await.is_ok();
        if !taken {
            self.0 = None;
        }
        taken
    }
}

/// Whole TLS handshakes per second, each on a connection of its own.
pub(crate) async fn handshakes(target: SocketAddr, period: Duration) -> f64 {
    let start = Instant::now();
    let callers: Vec<_> = (0..4u8)
        .map(|number| {
            tokio::spawn(async move {
                let mut done = 0u32;
                while start.elapsed() < period {
                    let source = IpAddr::from([127, 0, 2, 1 + number]);
                    done += u32::from(post::connect(target, source).await.is_ok());
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for caller in callers {
        done += caller.await.unwrap();
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}
