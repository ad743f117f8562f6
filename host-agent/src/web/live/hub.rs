//! Hears what changes, renders the rows of it once, and hands the same bytes to all readers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Bytes;
use firstlight_shared::error::Chain;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::Instant;

use super::super::fleet::{Digests, OneRow, Tiles, row, row_id, tiles};
use super::super::jobs::{OneJob, job_row};
use crate::bringup::Bringups;
use crate::clock::now_ms;
use crate::http::api::{Listener, News};
use crate::http::session::Way;
use crate::store::StoreError;

/// Changes within this time go out together.
const GATHER: Duration = Duration::from_millis(100);
/// The counts are made anew at most so often.
const COUNTS: Duration = Duration::from_secs(1);
/// Beyond so many changes at once it is cheaper to fetch the page.
const AT_ONCE: usize = 200;
/// Events kept for a slow reader.
const KEPT: usize = 64;
/// Readers over TLS are counted by the listener as well. On the socket they share its places, so that there are few.
const OVER_TLS: usize = 256;
const ON_SOCKET: usize = 32;

/// One for all.
#[derive(Debug)]
pub(in crate::web) struct Hub {
    frames: broadcast::Sender<Bytes>,
    over_tls: Arc<Semaphore>,
    on_socket: Arc<Semaphore>,
}

/// One page that is kept up to date.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) changes: broadcast::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

/// What an event says.
#[derive(Debug, Default, Serialize)]
struct Told {
    /// The jobs that changed.
    jobs: BTreeSet<String>,
    /// Elements by id, as they are now; none: it is gone.
    rows: BTreeMap<String, Option<String>>,
}

impl Hub {
    /// Works until the companion stops.
    pub(in crate::web) fn start(service: &Arc<Bringups>, digests: &Arc<Digests>) -> Arc<Self> {
        let hub = Arc::new(Self {
            frames: broadcast::Sender::new(KEPT),
            over_tls: Arc::new(Semaphore::new(OVER_TLS)),
            on_socket: Arc::new(Semaphore::new(ON_SOCKET)),
        });
        let listener = Listener::new(service.changes(), service.stopping()).ticking();
        let renderer = Renderer { service: Arc::clone(service), digests: Arc::clone(digests) };
        tokio::spawn(run(listener, renderer, hub.frames.clone()));
        hub
    }

    /// None: no place is free.
    pub(super) fn subscribe(&self, way: Way) -> Option<Reader> {
        let places = match way {
            Way::Tls => &self.over_tls,
            Way::Socket => &self.on_socket,
        };
        let place = Arc::clone(places).try_acquire_owned().ok()?;
        Some(Reader { changes: self.frames.subscribe(), _place: place })
    }
}

async fn run(mut listener: Listener, renderer: Renderer, frames: broadcast::Sender<Bytes>) {
    let (mut counts_due, mut counted): (bool, Option<Instant>) = (false, None);
    let mut troubles = renderer.service.troubles();
    loop {
        let news = listener.next().await;
        let is_watched = frames.receiver_count() > 0;
        let frame = match news {
            News::End => return,
            News::Jobs(_) | News::Everything if !is_watched => None,
            News::Jobs(jobs) if jobs.len() <= AT_ONCE => {
                counts_due = true;
                Some(renderer.jobs(jobs).await)
            }
            News::Jobs(_) | News::Everything => Some(Ok(super::RELOAD.to_owned())),
            News::Silence | News::Tick => {
                let now = renderer.service.troubles();
                let is_same = now == std::mem::replace(&mut troubles, now.clone());
                (!is_same && is_watched).then(|| Ok(super::RELOAD.to_owned()))
            }
        };
        send(&frames, frame);
        if counts_due && is_watched && counted.is_none_or(|last| last.elapsed() >= COUNTS) {
            (counts_due, counted) = (false, Some(Instant::now()));
            send(&frames, Some(renderer.counts().await));
        }
        if is_watched {
            tokio::time::sleep(GATHER).await;
        }
    }
}

fn send(frames: &broadcast::Sender<Bytes>, frame: Option<Result<String, StoreError>>) {
    match frame {
        Some(Ok(text)) => drop(frames.send(text.into())),
        Some(Err(error)) => tracing::warn!(error = %Chain(&error), "open pages are not up to date"),
        None => {}
    }
}

struct Renderer {
    service: Arc<Bringups>,
    digests: Arc<Digests>,
}

impl Renderer {
    async fn jobs(&self, jobs: BTreeSet<String>) -> Result<String, StoreError> {
        let ids: Vec<String> = jobs.iter().cloned().collect();
        let now = now_ms();
        let mut told = Told { jobs, ..Told::default() };
        for line in self.service.lines_of(&ids).await? {
            told.rows.insert(row_id(&line.guest), None);
            let shown = job_row(&line, now);
            told.rows.insert(shown.id.clone(), OneJob { row: &shown }.render().ok());
        }
        let guests = self.service.fleet_of_jobs(&ids).await?;
        let checks = self.digests.of(&self.service.store, &guests).await?;
        for guest in &guests {
            let shown = row(guest, &checks, now);
            told.rows.insert(shown.id.clone(), OneRow { row: &shown }.render().ok());
        }
        Ok(event("change", &told))
    }

    async fn counts(&self) -> Result<String, StoreError> {
        let tiles = tiles(&self.service.store.count_fleet().await?);
        let rows = BTreeMap::from([("counts".to_owned(), Tiles { tiles: &tiles }.render().ok())]);
        Ok(event("change", &Told { jobs: BTreeSet::new(), rows }))
    }
}

/// One event; JSON has no line ends. Source: HTML, 9.2.5.
fn event(name: &str, data: &impl Serialize) -> String {
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_data_whatever_is_in_it() {
        let rows =
            BTreeMap::from([("a".to_owned(), Some("<tr>\n\r\n</tr>".to_owned())), ("b".to_owned(), None)]);
        let text = event("change", &Told { jobs: BTreeSet::from(["j".to_owned()]), rows });
        assert_eq!(
            text,
            "event: change\ndata: {\"jobs\":[\"j\"],\"rows\":{\"a\":\"<tr>\\n\\r\\n</tr>\",\"b\":null}}\n\n"
        );
    }
}
