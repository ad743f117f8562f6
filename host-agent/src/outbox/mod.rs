//! Takes messages from the store's outbox to where they are wanted, one after the other, until each is taken there or given up.
//!
//! What a message says is made from the journal when it is sent, up to the event that it is about: however often it is sent,
//! it says the same.

mod post;
mod schedule;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use post::{Answered, Postbox};

use crate::bringup::{Bringups, Told};
use crate::clock::now_ms;
use crate::metrics::Metrics;
use crate::store::{Message, Settled, Store, StoreError};

/// Messages to one target that are under way at once: one that hangs holds up few others, and those to others never.
const AT_ONCE: usize = 4;
/// For so long a message belongs to who took it: longer than any attempt.
const HOLD: Duration = Duration::from_secs(60);
/// Looked at so often, if nothing is told.
const LOOK: Duration = Duration::from_secs(2);
/// Of an error, in characters: of a wrong server both keys, and why.
const ERROR: usize = 600;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// For lists: `guest.ready`.
    pub what: String,
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

/// Somebody who is told.
pub trait Target: Send + Sync + fmt::Debug {
    /// As the outbox names it.
    fn name(&self) -> String;

    fn postbox(&self) -> &Postbox;

    /// The letter about this message, signed at `now_ms`; none: the target does not want it. `told`: none for a test.
    fn letter(&self, message: &Message, told: Option<&Told>, now_ms: u64) -> Option<Letter>;
}

/// Everything that the outbox works with.
#[derive(Debug)]
pub struct Outbox {
    pub store: Store,
    pub service: Arc<Bringups>,
    pub metrics: Arc<Metrics>,
    pub targets: Vec<Arc<dyn Target>>,
}

impl Outbox {
    /// Sends until it is dropped.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut changes = this.service.changes();
        let rooms: HashMap<String, Arc<Semaphore>> =
            this.targets.iter().map(|target| (target.name(), Arc::new(Semaphore::new(AT_ONCE)))).collect();
        let mut under_way = JoinSet::new();
        loop {
            for target in &this.targets {
                let Some(room) = rooms.get(&target.name()) else { continue };
                match this.store.take_messages(&target.name(), room.available_permits(), HOLD).await {
                    Ok(messages) => {
                        for message in messages {
                            let Ok(permit) = Arc::clone(room).try_acquire_owned() else { break };
                            let (this, target) = (Arc::clone(&this), Arc::clone(target));
                            under_way.spawn(async move {
                                this.send(&*target, &message).await;
                                drop(permit);
                            });
                        }
                    }
                    Err(error) => {
                        this.metrics.store_error("outbox");
                        tracing::debug!(error = %Chain(&error), "the outbox cannot be read; it is tried again");
                    }
                }
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                // Whoever waited for a place has it now.
                Some(_) = under_way.join_next() => {}
                () = stirred(&mut changes) => {}
            }
        }
    }

    async fn send(&self, target: &dyn Target, message: &Message) {
        let name = target.name();
        let (what, settled) = match self.attempt(target, message).await {
            Ok(done) => done,
            // Nothing was sent: it is tried again when it is free again.
            Err(error) => {
                self.metrics.store_error("outbox");
                tracing::debug!(error = %Chain(&error), "a message cannot be made; it is tried again");
                return;
            }
        };
        let result = match &settled {
            Settled::Sent => "sent",
            Settled::Again { error, .. } => {
                // Once for each message: a receiver that is away for days fills no log.
                if message.tries <= 1 {
                    tracing::warn!(target = %name, id = %message.id, error, "a message was not taken; it is tried again");
                }
                "failed"
            }
            Settled::GivenUp { error } => {
                tracing::warn!(target = %name, id = %message.id, error, "a message was given up");
                "given-up"
            }
            Settled::Dropped => "unwanted",
        };
        self.metrics.delivered(&name, result);
        if let Err(error) = self.store.settle_message(message, what.as_deref(), &settled).await {
            // It is sent once more: at least once is what was promised.
            self.metrics.store_error("outbox");
            tracing::debug!(error = %Chain(&error), "what became of a message cannot be recorded");
        }
    }

    async fn attempt(
        &self,
        target: &dyn Target,
        message: &Message,
    ) -> Result<(Option<String>, Settled), StoreError> {
        let told = match message.job.as_str() {
            "" => None,
            job => match self.service.told_at(job, message.seq).await? {
                Some(told) => Some(told),
                None => return Ok((None, Settled::Dropped)),
            },
        };
        let now = now_ms();
        let Some(letter) = target.letter(message, told.as_ref(), now) else {
            return Ok((None, Settled::Dropped));
        };
        let answered = target.postbox().post(&letter).await;
        let age = Duration::from_millis(now.saturating_sub(message.at_ms));
        let settled = schedule::settle(answered, message.tries, age, rand::random());
        Ok((Some(letter.what), shortened(settled)))
    }
}

/// Errors hold words of whoever answered.
fn shortened(settled: Settled) -> Settled {
    match settled {
        Settled::Again { after, error } => Settled::Again { after, error: escape(&error, ERROR) },
        Settled::GivenUp { error } => Settled::GivenUp { error: escape(&error, ERROR) },
        other => other,
    }
}

/// Something was committed; what else came at the same time is passed over.
async fn stirred(changes: &mut broadcast::Receiver<crate::job::Change>) {
    match changes.recv().await {
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
        // The store is closed: there is nothing to come.
        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
    }
    while changes.try_recv().is_ok() {}
    // Not more often than this: a look is a write.
    sleep(Duration::from_millis(100)).await;
}
