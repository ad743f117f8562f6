//! `firstlight watch` without names: everything, until Ctrl-C, which is how this ends well.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::client::Lines;
use super::failure::{Exit, Failure};
use super::interrupt::Interrupts;
use super::live::{Counts, Row, Screen};
use super::{Session, print_on, render};
use crate::http::api::{JobCounts, WatchLine};

/// Guests that have ended are kept in the picture up to this number.
const ROWS_LIMIT: usize = 2000;
const REDRAW: Duration = Duration::from_millis(200);
/// The companion counts no more often than this.
const COUNT: Duration = Duration::from_secs(1);

pub(super) async fn watch(session: &Session, json: bool) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    interrupts.unless(watched(session, json)).await?;
    Ok(Exit::Ok)
}

async fn watched(session: &Session, json: bool) -> Result<(), Failure> {
    let mut lines = session.client.lines("/v1/watch").await?;
    if json {
        while let Ok(line) = lines.next::<WatchLine>().await {
            if !print_on(render::json_line(&line).as_bytes())? {
                return Ok(());
            }
        }
    } else {
        show(session, lines).await;
    }
    let failure = Failure::new(Exit::NoAnswer, "the companion went away");
    Err(failure.hint("the jobs go on when it is started again; watch again then"))
}

/// Until the companion goes. Lines are read by a task of their own, so that the picture moves while none comes.
async fn show(session: &Session, mut lines: Lines) {
    let (sender, mut heard) = mpsc::channel(64);
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        while let Ok(line) = lines.next::<WatchLine>().await {
            if sender.send(line).await.is_err() {
                return;
            }
        }
    });
    let mut fleet = Fleet { screen: Screen::new(), rows: BTreeMap::new(), counts: Counts::new() };
    let (mut stale, mut counted) = (true, None::<Instant>);
    let mut tick = interval(REDRAW);
    loop {
        tokio::select! {
            line = heard.recv() => match line {
                Some(line) => {
                    fleet.take(line);
                    stale = true;
                }
                None => return,
            },
            _ = tick.tick() => {
                if stale && fleet.screen.is_live() && counted.is_none_or(|at| at.elapsed() >= COUNT) {
                    // Without an answer the old counts stand; the stream tells if the companion is gone.
                    if let Ok(counts) = session.client.get::<JobCounts>("/v1/counts").await {
                        fleet.counts = counts.jobs;
                    }
                    (stale, counted) = (false, Some(Instant::now()));
                }
                fleet.draw();
            }
        }
    }
}

struct Fleet {
    screen: Screen,
    /// By job.
    rows: BTreeMap<String, Row>,
    counts: Counts,
}

impl Fleet {
    fn take(&mut self, line: WatchLine) {
        let jobs = match line {
            WatchLine::Snapshot(page) => {
                self.rows.clear();
                page.jobs
            }
            WatchLine::Job(job) => vec![*job],
        };
        for job in jobs {
            let row = Row::of_line(&job);
            self.screen.changed(&job.id, &row);
            self.rows.insert(job.id, row);
        }
        while self.rows.len() > ROWS_LIMIT {
            let ended = self.rows.iter().find(|(_, row)| row.phase.is_final()).map(|(job, _)| job.clone());
            match ended {
                Some(job) => self.rows.remove(&job),
                None => break,
            };
        }
    }

    fn draw(&mut self) {
        let rows: Vec<Row> = self.rows.values().cloned().collect();
        self.screen.draw_fleet(&rows, &self.counts);
    }
}
