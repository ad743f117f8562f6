//! Waiting for a step's call, and for whatever may end it early. Only these calls are ever dropped half-way, no write is.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::job::deadline::{RETRY, over};

/// Who may end a call before it has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nobody: the call would leave an outcome that nobody knows.
    Never,
    /// A drain: between two attempts nothing is under way.
    Drain,
    /// A drain, a request, the job's deadline: the step only waits.
    Anything,
}

/// How a call ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Deadline,
    Left,
}

impl Engine {
    pub(super) async fn attend<T>(
        &self,
        ends: Option<Instant>,
        leave: Leave,
        call: impl Future<Output = T>,
    ) -> Result<T, Cut> {
        tokio::select! {
            biased;
            value = call => Ok(value),
            () = self.left(leave) => Err(Cut::Left),
            () = over(ends) => Err(Cut::Deadline),
        }
    }

    /// Sleeps before the next attempt, not beyond `ends`. False: the job is to be left.
    pub(super) async fn pause(&self, attempt: u32, ends: Option<Instant>, leave: Leave) -> bool {
        let delay: Duration = RETRY.delay(attempt, self.spread(attempt));
        self.attend(ends, leave, tokio::time::sleep(delay)).await != Err(Cut::Left)
    }

    /// Jobs that fail together are not tried again together; the same job always is in the same way.
    pub(super) fn spread(&self, attempt: u32) -> u32 {
        let mut hasher = DefaultHasher::new();
        (self.cell.job(), attempt).hash(&mut hasher);
        (hasher.finish() >> 32) as u32
    }

    async fn left(&self, leave: Leave) {
        match leave {
            Leave::Never => std::future::pending().await,
            Leave::Drain => self.drained().await,
            Leave::Anything => tokio::select! {
                biased;
                () = self.drained() => {}
                () = self.asked() => {}
                () = over(self.job_ends) => {}
            },
        }
    }

    async fn drained(&self) {
        let mut draining = self.hands.draining.subscribe();
        // The sender lives as long as the engine.
        let _ = draining.wait_for(|draining| *draining).await;
    }

    async fn asked(&self) {
        loop {
            self.cell.asked.notified().await;
            for attempt in 1.. {
                match self.look_for_request().await {
                    Ok(Some(_)) => return,
                    Ok(None) => break,
                    // Nobody is called twice for the same request.
                    Err(_) => tokio::time::sleep(RETRY.delay(attempt, self.spread(attempt))).await,
                }
            }
        }
    }
}
