//! Who listens to which project, and what was told of operations that ended just now.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

use super::event::Told;
use super::socket;
use crate::backend::incus::client::endpoint::operation::Operation;
use crate::backend::incus::client::link::Remote;
use crate::backend::incus::client::operation::OperationId;

/// Events that a slow listener may be behind.
const BEHIND: usize = 1024;
/// Operations whose end is remembered: the server forgets each after five seconds.
const REMEMBERED: usize = 512;

/// The sockets of one remote, by project.
#[derive(Debug)]
pub(in crate::backend::incus::client) struct Hubs {
    remote: Arc<Remote>,
    hubs: Mutex<HashMap<String, Hub>>,
}

impl Hubs {
    pub(in crate::backend::incus::client) fn new(remote: Arc<Remote>) -> Self {
        Self { remote, hubs: Mutex::default() }
    }

    /// Opened at the first question for it, and kept as long as any handle of the client is.
    pub(in crate::backend::incus::client) fn of(&self, project: &str) -> Arc<Board> {
        // Nothing in it can be half done.
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = hubs.get(project) {
            return Arc::clone(&hub.board);
        }
        let board = Arc::new(Board::new());
        let listening = socket::listen(Arc::clone(&self.remote), project.to_owned(), Arc::clone(&board));
        let driver = tokio::spawn(listening).abort_handle();
        hubs.insert(project.to_owned(), Hub { board: Arc::clone(&board), driver });
        board
    }
}

#[derive(Debug)]
struct Hub {
    board: Arc<Board>,
    driver: AbortHandle,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Where what was told is put up.
#[derive(Debug)]
pub(in crate::backend::incus::client) struct Board {
    sender: broadcast::Sender<Told>,
    is_open: AtomicBool,
    ended: Mutex<VecDeque<Operation>>,
}

impl Board {
    fn new() -> Self {
        Self {
            sender: broadcast::channel(BEHIND).0,
            is_open: AtomicBool::new(false),
            ended: Mutex::default(),
        }
    }

    pub(in crate::backend::incus::client) fn subscribe(self: &Arc<Self>) -> Events {
        Events { receiver: self.sender.subscribe(), board: Arc::clone(self) }
    }

    /// The operation, if its end was told lately.
    pub(in crate::backend::incus::client) fn ended(&self, id: &OperationId) -> Option<Operation> {
        self.lock().iter().find(|operation| operation.id == *id).cloned()
    }

    pub(super) fn put(&self, told: Told) {
        if let Told::Operation(operation) = &told
            && operation.has_ended()
        {
            let mut ended = self.lock();
            ended.push_back((**operation).clone());
            if ended.len() > REMEMBERED {
                ended.pop_front();
            }
        }
        // Nobody may be listening.
        let _ = self.sender.send(told);
    }

    pub(super) fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::SeqCst);
        self.put(Told::Missed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Operation>> {
        // Nothing in it can be half done.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told from the subscription on.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Told>,
    board: Arc<Board>,
}

impl Events {
    /// Waits for the next one. It may be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Told {
        match self.receiver.recv().await {
            Ok(told) => told,
            Err(RecvError::Lagged(_)) => Told::Missed,
            // The board holds the sender: it cannot be closed.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Whether the server can tell anything now.
    pub fn is_open(&self) -> bool {
        self.board.is_open.load(Ordering::SeqCst)
    }
}
