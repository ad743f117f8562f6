//! Answers that go on: lines of JSON as the service tells of changes.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use firstlight_shared::error::Chain;
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::job::Change;

/// An empty line goes out after so long without any, so that either side notices when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

const TICK: Duration = Duration::from_secs(1);

/// What has changed since one last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Jobs(BTreeSet<String>),
    /// Some changes were missed: anything may have changed.
    Everything,
    /// Nothing for a while.
    Silence,
    /// Time to look at what nobody tells of; only for who wants it.
    Tick,
    /// The companion stops.
    End,
}

/// Changes of jobs, gathered: however many come at once, each job is read once.
#[derive(Debug)]
pub(crate) struct Listener {
    changes: Receiver<Change>,
    stopping: watch::Receiver<bool>,
    ticks: bool,
    /// When something was last said.
    heard: Instant,
}

impl Listener {
    pub(crate) fn new(changes: Receiver<Change>, stopping: watch::Receiver<bool>) -> Self {
        Self { changes, stopping, ticks: false, heard: Instant::now() }
    }

    /// With [`News::Tick`] every second.
    pub(crate) fn ticking(self) -> Self {
        Self { ticks: true, ..self }
    }

    pub(crate) async fn next(&mut self) -> News {
        let mut jobs = BTreeSet::new();
        while jobs.is_empty() {
            let patience = if self.ticks { TICK } else { HEARTBEAT };
            let heard = tokio::select! {
                heard = timeout(patience, self.changes.recv()) => heard,
                // Its sender gone means the same.
                _ = self.stopping.wait_for(|stopping| *stopping) => return News::End,
            };
            match heard {
                Err(_) if self.ticks && self.heard.elapsed() < HEARTBEAT => return News::Tick,
                Err(_) => {
                    self.heard = Instant::now();
                    return News::Silence;
                }
                Ok(Err(RecvError::Closed)) => return News::End,
                Ok(Err(RecvError::Lagged(_)) | Ok(Change::Unknown)) => return self.everything(),
                Ok(Ok(Change::Job(job))) => {
                    jobs.insert(job);
                }
                // Their jobs move on, and are told of then.
                Ok(Ok(Change::Report { .. } | Change::Refused { .. })) => {}
            }
        }
        loop {
            match self.changes.try_recv() {
                Ok(Change::Job(job)) => {
                    jobs.insert(job);
                }
                Ok(Change::Report { .. } | Change::Refused { .. }) => {}
                Ok(Change::Unknown) | Err(TryRecvError::Lagged(_)) => return self.everything(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return News::Jobs(jobs),
            }
        }
    }

    /// What waits is part of everything.
    fn everything(&mut self) -> News {
        while matches!(self.changes.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
        News::Everything
    }
}

/// Where a stream's lines go.
#[derive(Debug)]
pub(super) struct Lines(mpsc::Sender<Result<Bytes, std::io::Error>>);

/// The reader is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Lines {
    pub(super) async fn send(&self, line: &impl Serialize) -> Result<(), Gone> {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        self.0.send(Ok(text.into())).await.map_err(|_| Gone)
    }

    pub(super) async fn heartbeat(&self) -> Result<(), Gone> {
        self.0.send(Ok(Bytes::from_static(b"\n"))).await.map_err(|_| Gone)
    }

    /// The reader sees that the stream was cut, and does not take this for its end.
    pub(super) fn cut(&self, why: &(dyn std::error::Error + Send + Sync)) -> impl Future<Output = ()> {
        let why = Chain(why).to_string();
        tracing::error!(error = %why, "a stream was cut");
        let sender = self.0.clone();
        async move {
            let _ = sender.send(Err(std::io::Error::other(why))).await;
        }
    }

    /// Until the reader is gone.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}

/// An answer whose lines `write` sends, until it ends or the reader goes away.
pub(super) fn answer<W, F>(write: W) -> Response
where
    W: FnOnce(std::sync::Arc<Lines>) -> F,
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    // Few lines wait for a slow reader; the changes behind them are gathered.
    let (sender, mut receiver) = mpsc::channel(16);
    let lines = std::sync::Arc::new(Lines(sender));
    let writing = write(std::sync::Arc::clone(&lines));
    tokio::spawn(async move {
        tokio::select! {
            _ = writing => {}
            () = lines.closed() => {}
        }
    });
    let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut response = Response::new(Body::from_stream(stream));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::broadcast;

    fn job(id: &str) -> Change {
        Change::Job(id.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_gathered_and_missed_ones_mean_everything() {
        let (changes, stopping) = (broadcast::Sender::new(4), watch::Sender::new(false));
        let mut listener = Listener::new(changes.subscribe(), stopping.subscribe());
        for change in [job("b"), job("a"), job("b"), Change::Report { claim: "c".into() }] {
            changes.send(change).unwrap();
        }
        assert_eq!(listener.next().await, News::Jobs(["a".to_owned(), "b".to_owned()].into()));
        for _ in 0..9 {
            changes.send(job("a")).unwrap();
        }
        assert_eq!(listener.next().await, News::Everything);
        for change in [job("a"), Change::Unknown, job("b")] {
            changes.send(change).unwrap();
        }
        assert_eq!(listener.next().await, News::Everything);
        assert_eq!(listener.next().await, News::Silence, "what was part of everything came again");
        stopping.send_replace(true);
        assert_eq!(listener.next().await, News::End);
    }

    #[tokio::test]
    async fn a_service_that_is_gone_is_an_end() {
        let (changes, stopping) = (broadcast::Sender::new(4), watch::Sender::new(false));
        let mut listener = Listener::new(changes.subscribe(), stopping.subscribe());
        drop(changes);
        assert_eq!(listener.next().await, News::End);
    }
}
