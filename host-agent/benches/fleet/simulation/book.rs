//! What the guests were answered, and how long that took.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use firstlight_shared::wire::Ack;

/// A report that was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shot {
    pub(crate) at: Instant,
    /// Of the try that was answered: connection, TLS, proof, commit.
    pub(crate) took: Duration,
    /// Since the first try.
    pub(crate) in_all: Duration,
    /// It was not the first try.
    pub(crate) again: bool,
}

#[derive(Debug, Default)]
struct Pages {
    acknowledged: BTreeMap<String, Ack>,
    refused: usize,
    shots: Vec<Shot>,
    wrong: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Pages>);

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same report is answered the same, however often it is sent.
    pub(crate) fn acknowledged(&self, guest: &str, ack: &Ack) {
        let mut pages = self.pages();
        let before = pages.acknowledged.entry(guest.to_owned()).or_insert_with(|| ack.clone());
        if before != ack {
            let wrong = format!("{guest} was answered {before:?}, and then {ack:?}");
            pages.wrong.push(wrong);
        }
    }

    pub(crate) fn refused(&self) {
        self.pages().refused += 1;
    }

    pub(crate) fn answered(&self, first: Instant, sent: Instant, again: bool) {
        let at = Instant::now();
        let shot = Shot { at, took: at - sent, in_all: at - first, again };
        self.pages().shots.push(shot);
    }

    pub(crate) fn wrong(&self, what: String) {
        self.pages().wrong.push(what);
    }

    /// The digest of each guest's report that was acknowledged.
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        let pages = self.pages();
        pages.acknowledged.iter().map(|(guest, ack)| (guest.clone(), ack.report_sha256.clone())).collect()
    }

    pub(crate) fn shots(&self) -> Vec<Shot> {
        self.pages().shots.clone()
    }

    /// Refusals that were due.
    pub(crate) fn refusals(&self) -> usize {
        self.pages().refused
    }

    pub(crate) fn wrongs(&self) -> Vec<String> {
        self.pages().wrong.clone()
    }
}
