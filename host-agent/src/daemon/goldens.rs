//! Looks at goldens that can be read here, as `golden lint` does, once for each content: what it finds is on the page of
//! golden images. One at a time, on a thread that lets everybody else go first, in the lint's own bounded memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Chain;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::bringup::Bringups;
use crate::golden::{Limits, Target, lint, refused};
use crate::store::LintLook;

/// After a change: guests that were just asked for are on their way then.
const SOON: Duration = Duration::from_secs(3);
/// Between two looks for what is new.
const PAUSE: Duration = Duration::from_secs(10);
const LIMITS: Limits = Limits { bytes: 256 << 30, entries: 20_000_000 };

/// Looks until it is dropped.
pub(super) async fn look(service: Arc<Bringups>) {
    let mut changes = service.changes();
    loop {
        sleep(SOON).await;
        match service.unseen_goldens().await {
            Ok(unseen) => {
                for golden in unseen {
                    let target = if golden.backend == "incus" { Target::Incus } else { Target::Local };
                    let Some(look) = looked(golden.golden.clone(), target).await else { continue };
                    if let Err(fault) = service.seen(&golden, look).await {
                        tracing::warn!(golden = golden.golden, error = %fault, "what was found in a golden is not kept");
                    }
                }
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "goldens are not looked at for now"),
        }
        sleep(PAUSE).await;
        match changes.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => changes = service.changes(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// None: the thread could not be made, or did not come back.
async fn looked(golden: String, target: Target) -> Option<LintLook> {
    let (sender, ended) = oneshot::channel();
    let work = move || {
        // On Linux it is the thread's own.
        let _ = rustix::process::nice(19);
        let look = match lint(Path::new(&golden), Some(target), LIMITS) {
            Ok(report) => report.in_short(),
            Err(fault) => refused(&golden, target, &fault),
        };
        let _ = sender.send(look);
    };
    if let Err(error) = std::thread::Builder::new().name("golden-lint".to_owned()).spawn(work) {
        tracing::warn!(%error, "no thread to look at a golden");
        return None;
    }
    ended.await.ok()
}
