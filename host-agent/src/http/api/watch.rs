//! Everything that happens, as it happens.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::jobs::PAGE_LIMIT;
use super::stream::{Gone, Lines, Listener, News, answer};
use crate::bringup::{Bringups, JobFilter, JobLine, JobPage};
use crate::job::Phase;
use crate::outcome::Fault;

/// The jobs that a snapshot shows.
const UNFINISHED: [Phase; 5] =
    [Phase::Queued, Phase::Running, Phase::Waiting, Phase::Unwinding, Phase::NeedsOperator];

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WatchLine {
    /// The newest jobs that have not ended, at the beginning and whenever changes were missed.
    Snapshot(JobPage),
    /// A job that was made or changed.
    Job(Box<JobLine>),
}

/// Watch all jobs: a snapshot, then one line of JSON for each change, until the reader or the companion goes. Empty lines are
/// signs of life.
#[utoipa::path(get, path = "/v1/watch", tag = "jobs", responses(
    (status = 200, body = WatchLine, content_type = "application/x-ndjson"), (status = "default", body = Fault)))]
pub(super) async fn watch(State(service): State<Arc<Bringups>>) -> Result<Response, ApiError> {
    let listener = Listener::new(service.changes(), service.stopping()).ticking();
    let snapshot = snapshot(&service).await?;
    Ok(answer(|lines| run(service, listener, lines, snapshot)))
}

async fn snapshot(service: &Bringups) -> Result<WatchLine, ApiError> {
    let filter = JobFilter { states: UNFINISHED.to_vec(), limit: PAGE_LIMIT, ..JobFilter::default() };
    Ok(WatchLine::Snapshot(service.jobs(&filter).await?))
}

async fn run(
    service: Arc<Bringups>,
    mut listener: Listener,
    lines: Arc<Lines>,
    first: WatchLine,
) -> Result<(), Gone> {
    lines.send(&first).await?;
    let mut troubles = service.troubles();
    loop {
        let mut news = listener.next().await;
        if news == News::Tick {
            let now = service.troubles();
            if now == std::mem::replace(&mut troubles, now.clone()) {
                continue;
            }
            news = News::Everything;
        }
        match news {
            News::Jobs(jobs) => {
                for job in jobs {
                    match service.line(&job).await {
                        Ok(Some(line)) => lines.send(&WatchLine::Job(Box::new(line))).await?,
                        // Pruned in between.
                        Ok(None) => {}
                        Err(error) => {
                            lines.cut(&error).await;
                            return Err(Gone);
                        }
                    }
                }
            }
            News::Everything => match snapshot(&service).await {
                Ok(snapshot) => lines.send(&snapshot).await?,
                Err(error) => {
                    lines.cut(&error.fault).await;
                    return Err(Gone);
                }
            },
            News::Silence | News::Tick => lines.heartbeat().await?,
            News::End => return Ok(()),
        }
    }
}
