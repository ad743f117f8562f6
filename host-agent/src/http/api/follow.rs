//! Some jobs until they are final.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;
use super::extract::{Params, split};
use super::jobs::resolve;
use super::stream::{Gone, Lines, Listener, News, answer};
use crate::bringup::{Bringups, GuestView};
use crate::outcome::Fault;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowQuery {
    /// Job ids or guests' names, joined by commas.
    jobs: String,
}

/// Follow jobs: one line of JSON (a GuestView) for each now, and one whenever it changes, until all have ended. A job that
/// begins anew is followed on. Empty lines are signs of life. A stream that ends before is to be asked for again.
#[utoipa::path(get, path = "/v1/follow", tag = "jobs", params(FollowQuery), responses(
    (status = 200, body = GuestView, content_type = "application/x-ndjson"), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn follow(
    State(service): State<Arc<Bringups>>,
    Params(query): Params<FollowQuery>,
) -> Result<Response, ApiError> {
    // Before the first look: nothing that happens after it is missed.
    let listener = Listener::new(service.changes(), service.stopping()).ticking();
    let mut open = BTreeMap::new();
    for name in split(&query.jobs) {
        open.insert(resolve(&service, &name).await?, None);
    }
    Ok(answer(|lines| Follower { service, listener, lines, open }.run()))
}

struct Follower {
    service: Arc<Bringups>,
    listener: Listener,
    lines: Arc<Lines>,
    /// The jobs that have not ended, with a digest of what was last shown of each.
    open: BTreeMap<String, Option<u64>>,
}

impl Follower {
    async fn run(mut self) -> Result<(), Gone> {
        let mut due: Vec<String> = self.open.keys().cloned().collect();
        let mut troubles = self.service.troubles();
        loop {
            while let Some(job) = due.pop() {
                due.extend(self.show(&job).await?);
            }
            if self.open.is_empty() {
                return Ok(());
            }
            match self.listener.next().await {
                News::Jobs(jobs) => due.extend(jobs.into_iter().filter(|job| self.open.contains_key(job))),
                News::Everything => due.extend(self.open.keys().cloned()),
                News::Silence => self.lines.heartbeat().await?,
                News::Tick => {
                    let now = self.service.troubles();
                    if now != std::mem::replace(&mut troubles, now.clone()) {
                        due.extend(self.open.keys().cloned());
                    }
                }
                News::End => return Ok(()),
            }
        }
    }

    /// Shows one job if it looks different; answers the job that comes after it.
    async fn show(&mut self, job: &str) -> Result<Option<String>, Gone> {
        let view = match self.service.view(job).await {
            Ok(Some(view)) => view,
            // Announced by the one before it, and not made yet.
            Ok(None) => return Ok(None),
            Err(error) => {
                self.lines.cut(&error).await;
                return Err(Gone);
            }
        };
        let digest = digest(&view);
        if self.open.get(job) != Some(&Some(digest)) {
            self.lines.send(&view).await?;
        }
        if !view.has_ended() {
            self.open.insert(job.to_owned(), Some(digest));
            return Ok(None);
        }
        self.open.remove(job);
        let next = view.successor.filter(|_| view.state.is_gone());
        if let Some(next) = &next {
            self.open.insert(next.clone(), None);
        }
        Ok(next)
    }
}

fn digest(view: &GuestView) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(view).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}
