//! How long guests live: what companions do by themselves when a guest's time is over, or an ephemeral one has stopped,
//! and what operators say about it.
//!
//! Nothing is decided here: whoever drives the guest's job judges by its journal, so that a guest that was kept meanwhile
//! is kept, and several companions that ask at once end it once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::service::{Bringups, store_fault};
use crate::clock::now_ms;
use crate::job::{Phase, Request, RequestKind};
use crate::outcome::Fault;

/// Between two looks at most: another companion may have made a guest that is due sooner.
const LOOK: Duration = Duration::from_secs(1);
/// Before it is asked for again, if nobody took it up.
const AGAIN: Duration = Duration::from_millis(200);
/// How long an ephemeral guest must be seen not to run: a reboot takes a few seconds.
const STOPPED: Duration = Duration::from_secs(15);

impl Bringups {
    /// Asks for what is due, for ever.
    pub(super) async fn attend(&self) {
        let mut failed = false;
        loop {
            let now = now_ms();
            let next = match self.store.to_attend(now).await {
                Ok((jobs, next)) => {
                    failed = false;
                    for job in jobs {
                        self.ask_by_itself(&job, RequestKind::Attend, "its time is over, or nearly").await;
                    }
                    next
                }
                Err(error) => {
                    let error = store_fault(error);
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(%error, "whose time is over cannot be told now");
                    }
                    None
                }
            };
            let next = next.map(|at| Duration::from_millis(at.saturating_sub(now)));
            tokio::time::sleep(next.map_or(LOOK, |next| next.clamp(AGAIN, LOOK))).await;
        }
    }

    /// An operator's request is not overwritten; what is due then waits for the next look.
    pub(super) async fn ask_by_itself(&self, job: &str, kind: RequestKind, reason: &str) {
        let request = Request { kind, by: "firstlight".to_owned(), reason: reason.to_owned() };
        if let Err(error) = self.store.ask_in_turn(job, &request).await {
            tracing::warn!(%job, error = %firstlight_shared::error::Chain(&error), "the request was not recorded");
        }
    }

    /// A guest lives for `span` from now, or for ever, whatever its spec says. Answers the job to follow.
    pub async fn keep(&self, guest: &str, span: Option<Duration>, by: &str) -> Result<String, Fault> {
        let row = self.row(guest).await?;
        match row.phase {
            Phase::Unwinding | Phase::RolledBack | Phase::Abandoned => {
                let message = format!("guest {} is {}", row.guest, row.phase.as_str());
                return Err(Fault::new("guest-gone", message)
                    .with_hint(format!("`firstlight retry --anew {}` makes it again", row.guest)));
            }
            _ if row.change_of.is_some() => {
                let message = format!("job {} changes guest {}: name the guest", row.id, row.guest);
                return Err(Fault::new("not-a-guest", message));
            }
            _ if self.is_adopted(&row.id).await? => {
                let message =
                    format!("guest {} was made by somebody else: it is not ours to destroy", row.guest);
                return Err(Fault::new("guest-not-ours", message));
            }
            _ => {}
        }
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let until_ms = span.map(|span| now_ms().saturating_add(millis(span)));
        self.ask(row, RequestKind::Keep { until_ms, promote: false }, by, "").await
    }
}

/// Ephemeral guests that were not seen to run, since when.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    since: BTreeMap<String, Instant>,
}

impl Stopped {
    /// Those that are gone for good. `running`: the jobs whose guests this look saw run.
    pub(super) fn judge(
        &mut self,
        ephemeral: &[String],
        running: &BTreeSet<&str>,
        now: Instant,
    ) -> Vec<String> {
        let stopped: BTreeSet<&String> =
            ephemeral.iter().filter(|job| !running.contains(job.as_str())).collect();
        self.since.retain(|job, _| stopped.contains(job));
        let mut gone = Vec::new();
        for job in stopped {
            let since = *self.since.entry(job.clone()).or_insert(now);
            if now.saturating_duration_since(since) >= STOPPED {
                gone.push(job.clone());
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_stays_stopped_is_gone() {
        let mut stopped = Stopped::default();
        let (both, now) = (["a".to_owned(), "b".to_owned()], Instant::now());
        let none = BTreeSet::new();
        assert!(stopped.judge(&both, &none, now).is_empty());
        let half = now + STOPPED / 2;
        assert!(stopped.judge(&both, &BTreeSet::from(["b"]), half).is_empty(), "b has only rebooted");
        assert_eq!(stopped.judge(&both, &none, now + STOPPED), ["a"]);
        assert_eq!(stopped.judge(&both, &none, now + STOPPED * 2), ["a", "b"]);
        assert!(
            stopped.judge(&both[1..], &none, now + STOPPED * 2 + half.duration_since(now)).contains(&both[1])
        );
        assert!(stopped.judge(&[], &none, now + STOPPED * 3).is_empty(), "what was kept is none of ours");
    }
}
