//! Beats as long as the companion is well: asks the store, looks at the runner, and tells gauges, probes and the watchdog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Chain;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{notify, process};
use crate::clock::now_ms;
use crate::http::Condition;
use crate::job::{Phase, Runner};
use crate::metrics::Metrics;
use crate::store::{Posted, Store, StoreError};

/// Between two beats, unless the watchdog wants to hear of us more often.
const BEAT: Duration = Duration::from_secs(5);
/// The runner's loop turns several times a second; one that stood so long is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// Counting guests takes no more than this part of the time, however many are stored.
const CENSUS_SHARE: u32 = 20;

/// What a beat looks at and tells.
#[derive(Debug)]
pub(super) struct Heart {
    pub(super) store: Store,
    pub(super) runner: Option<Arc<Runner>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) condition: watch::Sender<Condition>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// How the store did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulse {
    Answers,
    /// It says no at once: it may be away for a while, and a new start of ours would not bring it back.
    Refuses,
    /// Nothing comes back.
    Silent,
}

impl Heart {
    /// Beats until it is dropped.
    pub(super) async fn beat(self) {
        let watchdog = notify::watchdog();
        let every = watchdog.map_or(BEAT, |limit| BEAT.min(limit / 3));
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut census = Instant::now();
        loop {
            ticks.tick().await;
            self.metrics.process(&process::figures());
            let pulse = self.ask_store(every).await;
            let idle = self.runner.as_ref().map_or(Duration::ZERO, |runner| runner.idle());
            let condition = judge(pulse, idle, *self.stopping.borrow());
            self.tell(&condition);
            if pulse == Pulse::Answers && census <= Instant::now() {
                let began = Instant::now();
                // The watchdog must not wait for it.
                if !matches!(timeout(every, self.take_census()).await, Ok(Ok(()))) {
                    self.metrics.store_error("census");
                }
                census = Instant::now() + began.elapsed() * CENSUS_SHARE;
            }
            if watchdog.is_some() && condition.stuck.is_none() {
                notify::notify(&[NotifyState::Watchdog]);
            }
        }
    }

    async fn ask_store(&self, patience: Duration) -> Pulse {
        let answer = timeout(patience, async {
            self.store.ping().await?;
            self.store.count_jobs().await
        });
        match answer.await {
            Ok(Ok(counts)) => {
                self.count(&counts);
                Pulse::Answers
            }
            Ok(Err(error)) => {
                tracing::debug!(error = %Chain(&error), "the store refuses");
                self.metrics.store_error("ping");
                Pulse::Refuses
            }
            Err(_) => {
                self.metrics.store_error("ping");
                Pulse::Silent
            }
        }
    }

    async fn take_census(&self) -> Result<(), StoreError> {
        self.metrics.count_guests(&self.store.count_guests().await?);
        let mut waiting: BTreeMap<String, u64> =
            self.store.targets().iter().map(|target| (target.clone(), 0)).collect();
        for (target, state, count) in self.store.count_messages().await? {
            // Targets of other companions, or of earlier days, are not shown.
            if let Some(waiting) = waiting.get_mut(&target).filter(|_| state == Posted::Waiting) {
                *waiting = count;
            }
        }
        waiting.iter().for_each(|(target, count)| self.metrics.deliveries_wait(target, *count));
        let now = now_ms();
        for (phase, since_ms) in self.store.oldest_jobs().await? {
            let age = since_ms.map_or(0, |since| now.saturating_sub(since));
            self.metrics.oldest_in(phase.as_str(), Duration::from_millis(age));
        }
        Ok(())
    }

    fn count(&self, counts: &[(Phase, u64)]) {
        let of = |phase| counts.iter().find(|(known, _)| *known == phase).map_or(0, |(_, count)| *count);
        // Those that no job is in are shown with 0.
        for phase in Phase::ALL {
            self.metrics.jobs_in(phase.as_str(), of(phase));
        }
        self.metrics.queue_length.set(i64::try_from(of(Phase::Queued)).unwrap_or(i64::MAX));
    }

    fn tell(&self, condition: &Condition) {
        let driven = self.runner.as_ref().map_or(0, |runner| runner.driven().len());
        self.metrics.leases_held.set(i64::try_from(driven).unwrap_or(i64::MAX));
        let changed = self.condition.send_if_modified(|known| {
            let changed = known != condition;
            known.clone_from(condition);
            changed
        });
        match condition.stuck.or(condition.unready) {
            Some(what) if changed => tracing::warn!(what, "the companion is not ready"),
            None if changed => tracing::info!("the companion is ready"),
            _ => {}
        }
        if condition.unready.is_none() {
            notify::notify(&[NotifyState::Status(&format!("{driven} jobs driven here"))]);
        }
    }
}

/// Pure.
fn judge(pulse: Pulse, idle: Duration, stopping: bool) -> Condition {
    let stuck = match pulse {
        _ if idle > STUCK => Some("the runner's loop does not turn"),
        Pulse::Silent => Some("the store does not answer"),
        Pulse::Answers | Pulse::Refuses => None,
    };
    let unready = match pulse {
        _ if stopping => Some("the companion is stopping"),
        Pulse::Refuses => Some("the store refuses"),
        Pulse::Answers | Pulse::Silent => None,
    };
    Condition { stuck, unready }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusing_store_is_unready_and_a_silent_one_or_a_standing_loop_is_stuck() {
        for (pulse, idle, stopping, alive, ready) in [
            (Pulse::Answers, 0, false, true, true),
            (Pulse::Answers, 0, true, true, false),
            (Pulse::Refuses, 0, false, true, false),
            (Pulse::Silent, 0, false, false, true),
            (Pulse::Answers, 60, false, false, true),
            (Pulse::Answers, 60, true, false, false),
        ] {
            let found = judge(pulse, Duration::from_secs(idle), stopping);
            assert_eq!(
                (found.stuck.is_none(), found.unready.is_none()),
                (alive, ready),
                "{pulse:?} {idle} {stopping}"
            );
        }
    }
}
