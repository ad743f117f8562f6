//! How many calls a node is given at once that may keep one of its workers waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::backend::proxmox::client::call::{Call, Pace};

/// A node has three workers. A change that waits for a lock holds one for 10 s, a silent agent for 3 s: given all three,
/// it would answer nobody meanwhile.
#[derive(Debug)]
pub(super) struct Gate {
    at_once: usize,
    nodes: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Gate {
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once: at_once.max(1), nodes: Mutex::default() }
    }

    /// Reads pass; others wait until the node has answered one of those before them.
    pub(super) async fn pass(&self, call: &Call) -> Option<OwnedSemaphorePermit> {
        if call.pace == Pace::Read {
            return None;
        }
        let node = call.node().unwrap_or_default().to_owned();
        let semaphore = {
            // Nothing in it can be half done.
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.at_once));
            Arc::clone(nodes.entry(node).or_insert_with(new))
        };
        // Never closed.
        semaphore.acquire_owned().await.ok()
    }
}
