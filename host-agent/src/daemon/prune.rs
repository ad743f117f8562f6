//! Forgets what was kept long enough, in the background.

use std::time::Duration;

use firstlight_shared::error::Chain;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::RetentionSettings;
use crate::store::{Pruned, Store, StoreError};

/// After the start, when interrupted jobs have been taken up.
const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Messages that nobody took anywhere, longer than any companion tries; and those that ended, for people to look at.
const UNTAKEN: Duration = Duration::from_secs(4 * 24 * 60 * 60);
const ENDED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What `never` means.
const FOR_EVER: Duration = Duration::MAX;

/// Prunes until it is dropped. A reload counts from the next time on.
pub(super) async fn prune(store: Store, retention: watch::Receiver<RetentionSettings>) {
    sleep(FIRST).await;
    loop {
        if let Err(error) = prune_messages(&store).await {
            tracing::warn!(error = %Chain(&error), "no messages could be forgotten; it is tried again");
        }
        let kept = retention.borrow().clone();
        if kept.jobs.is_some() || kept.reports.is_some() {
            match store.prune(kept.jobs.unwrap_or(FOR_EVER), kept.reports.unwrap_or(FOR_EVER)).await {
                Ok(pruned) if pruned != Pruned::default() => tracing::info!(
                    jobs = pruned.jobs,
                    reports = pruned.reports,
                    evidence = pruned.evidence,
                    refusals = pruned.refusals,
                    "forgot what was kept long enough"
                ),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "nothing could be forgotten; it is tried again")
                }
            }
        }
        sleep(EVERY).await;
    }
}

async fn prune_messages(store: &Store) -> Result<(), StoreError> {
    match store.prune_messages(UNTAKEN, ENDED).await? {
        0 => {}
        messages => tracing::info!(messages, "forgot messages that ended"),
    }
    Ok(())
}
