//! Looks at guests that wait, through their hypervisors, for what their beacons say. One hand per node does it, within the
//! node's budget; guests are here only while this companion drives their jobs.

mod judge;
mod learned;
mod schedule;
mod sight;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::backend::{Backend, Look, LookBudget, Placement};
use crate::outcome::Fault;
pub(super) use judge::{Came, Verdict, judge, last_resort};
use learned::Learned;
use schedule::{Guest, Next, Stage, next};
pub(super) use sight::Sight;

/// A look that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Two looks that are further apart say little of when a beacon appeared between them.
const CLOSE: Duration = Duration::from_millis(2500);
/// So many goldens are remembered.
const GOLDENS: usize = 1000;

/// Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lookout {
    posts: Arc<Mutex<Posts>>,
}

#[derive(Debug, Default)]
struct Posts {
    next: u64,
    nodes: HashMap<Node, Post>,
    learned: HashMap<Golden, Learned>,
}

/// Backend and name.
type Node = (&'static str, String);
type Golden = (&'static str, String);

/// One node.
#[derive(Debug)]
struct Post {
    /// Between two looks.
    gap: Duration,
    /// No look before that.
    gate: Instant,
    guests: BTreeMap<u64, Watched>,
    /// Somebody is at it.
    manned: bool,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Watched {
    guest: Guest,
    backend: Arc<dyn Backend>,
    placement: Arc<Placement>,
    started: Option<Instant>,
    golden: Golden,
    sight: watch::Sender<Sight>,
}

/// A guest's place here; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Spot {
    lookout: Lookout,
    node: Node,
    number: u64,
    sight: watch::Receiver<Sight>,
}

impl Lookout {
    /// From now on the guest is looked at; `started`: when it was, if that is known.
    pub(super) fn enter(
        &self,
        backend: &Arc<dyn Backend>,
        budget: LookBudget,
        placement: Placement,
        started: Option<Instant>,
    ) -> Spot {
        let from = started.map_or_else(Instant::now, |started| started + budget.not_before);
        self.add(backend, budget, placement, Guest { calm: budget.calm, ..Guest::new(from) }, started)
    }

    /// One look, as soon as the node's budget has one.
    pub(super) async fn once(
        &self,
        backend: &Arc<dyn Backend>,
        budget: LookBudget,
        placement: Placement,
    ) -> Sight {
        let guest = Guest { urgent: true, ..Guest::new(Instant::now()) };
        let mut spot = self.add(backend, budget, placement, guest, None);
        spot.changed().await;
        spot.sight()
    }

    fn add(
        &self,
        backend: &Arc<dyn Backend>,
        budget: LookBudget,
        placement: Placement,
        mut guest: Guest,
        started: Option<Instant>,
    ) -> Spot {
        let node = (backend.name(), backend.look_at(&placement));
        let golden = (backend.name(), placement.plan.golden.clone());
        let (sender, sight) = watch::channel(Sight::default());
        let mut posts = self.lock();
        if let (Some(started), Some(learned)) = (started, posts.learned.get(&golden)) {
            guest.alive_from = learned.alive_from().map(|after| started + after);
            guest.told_from = learned.told_from().map(|after| started + after);
        }
        posts.next += 1;
        let number = posts.next;
        let post = posts.nodes.entry(node.clone()).or_insert_with(|| Post {
            gap: Duration::from_secs(1) / budget.per_second.max(1),
            gate: Instant::now(),
            guests: BTreeMap::new(),
            manned: false,
            changed: Arc::default(),
        });
        let watched = Watched {
            guest,
            backend: Arc::clone(backend),
            placement: Arc::new(placement),
            started,
            golden,
            sight: sender,
        };
        post.guests.insert(number, watched);
        if std::mem::replace(&mut post.manned, true) {
            post.changed.notify_one();
        } else {
            tokio::spawn(self.clone().man(node.clone(), Arc::clone(&post.changed)));
        }
        Spot { lookout: self.clone(), node, number, sight }
    }

    /// Does the looks of one node, as long as it has guests.
    async fn man(self, node: Node, changed: Arc<Notify>) {
        let mut looks = FuturesUnordered::new();
        loop {
            let at = match self.step(&node) {
                Step::Look(look) => {
                    looks.push(look);
                    continue;
                }
                // What is under way was for guests that have left.
                Step::End => return,
                Step::Nothing => None,
                Step::At(at) => Some(at),
            };
            let later = async {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(done) = looks.next() => self.took(&node, done),
                () = later => {}
                () = changed.notified() => {}
            }
        }
    }

    fn step(&self, node: &Node) -> Step {
        let mut posts = self.lock();
        let Some(post) = posts.nodes.get_mut(node) else { return Step::End };
        if post.guests.is_empty() {
            // Under the lock: whoever enters from now on mans it anew. The node stays for its gate.
            post.manned = false;
            return Step::End;
        }
        let now = Instant::now();
        let number = match next(now, post.gate, post.guests.iter().map(|(number, one)| (*number, &one.guest)))
        {
            Next::Look(number) => number,
            Next::At(at) => return Step::At(at),
            Next::Nothing => return Step::Nothing,
        };
        let Some(watched) = post.guests.get_mut(&number) else { return Step::Nothing };
        post.gate = now + post.gap;
        let guest = &mut watched.guest;
        (guest.in_flight, guest.urgent, guest.last) = (true, false, Some(now));
        let (backend, placement) = (Arc::clone(&watched.backend), Arc::clone(&watched.placement));
        Step::Look(Box::pin(async move {
            let look = timeout(PATIENCE, backend.look(&placement)).await;
            let look = look.unwrap_or_else(|_| {
                Err(Fault::new("look-timeout", format!("no answer within {} s", PATIENCE.as_secs())))
            });
            Done { number, began: now, look }
        }))
    }

    fn took(&self, node: &Node, done: Done) {
        let mut posts = self.lock();
        let posts = &mut *posts;
        let Some(watched) = posts.nodes.get_mut(node).and_then(|post| post.guests.get_mut(&done.number))
        else {
            return;
        };
        if let Err(fault) = &done.look {
            tracing::debug!(job = %watched.placement.job, error = %fault, "a look at a guest failed");
        }
        let before = watched.guest.stage;
        let guest = &mut watched.guest;
        let looked_before = watched.sight.borrow().looked;
        guest.in_flight = false;
        guest.failures = if done.look.is_ok() { 0 } else { guest.failures.saturating_add(1) };
        watched.sight.send_modify(|sight| guest.stage = sight.take(done.look, done.began, Instant::now()));
        let close = looked_before.filter(|looked| done.began.duration_since(*looked) <= CLOSE);
        if let (Some(without), Some(started)) = (close, watched.started) {
            let after = without.saturating_duration_since(started);
            let golden = &watched.golden;
            if posts.learned.len() < GOLDENS || posts.learned.contains_key(golden) {
                learn(posts.learned.entry(golden.clone()).or_default(), before, guest.stage, after);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `after` its start the guest was seen at `before`, and now it is further.
fn learn(learned: &mut Learned, before: Stage, now: Stage, after: Duration) {
    match (before, now) {
        (Stage::Unseen, Stage::Alive) => learned.not_alive_at(after),
        (Stage::Unseen, Stage::Told) => {
            learned.not_alive_at(after);
            learned.not_told_at(after);
        }
        (Stage::Alive, Stage::Told) => learned.not_told_at(after),
        _ => {}
    }
}

enum Step {
    Look(BoxFuture<'static, Done>),
    At(Instant),
    Nothing,
    End,
}

struct Done {
    number: u64,
    began: Instant,
    look: Result<Look, Fault>,
}

impl Spot {
    /// Resolves after the next look.
    pub(super) async fn changed(&mut self) {
        // Its sender lives as long as this.
        let _ = self.sight.changed().await;
    }

    pub(super) fn sight(&self) -> Sight {
        self.sight.borrow().clone()
    }

    /// Something came that a look would bind to this guest: it is the next one, within the node's budget.
    pub(super) fn hurry(&self) {
        let mut posts = self.lookout.lock();
        if let Some(post) = posts.nodes.get_mut(&self.node)
            && let Some(watched) = post.guests.get_mut(&self.number)
        {
            watched.guest.urgent = true;
            post.changed.notify_one();
        }
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let mut posts = self.lookout.lock();
        if let Some(post) = posts.nodes.get_mut(&self.node) {
            post.guests.remove(&self.number);
            post.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
