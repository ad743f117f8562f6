//! Drives one job from its journal: forward while steps succeed, backward when one is refused or somebody asks.
//!
//! Whatever is done was journaled before. A state that a dead companion left behind is a state like any other: the
//! engine cannot tell, and does not ask. It stops at once when its lease is gone.

mod attend;
mod backward;
mod forward;
mod record;
mod requests;
mod successor;
mod sweep;

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::cell::Cell;
use super::deadline::{self, WallClock};
use super::event::Event;
use super::fold::{IllegalEvent, State};
use super::journal::JobStore;
use super::phase::Phase;
use super::step::{Context, Saga, Sagas, Step};
use crate::outcome::Fault;

/// What all engines of a runner work with.
pub(super) struct Hands {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) sagas: Arc<dyn Sagas>,
    pub(super) companion: String,
    pub(super) clock: WallClock,
    /// Every job is left at the end of its step.
    pub(super) draining: watch::Sender<bool>,
    /// A job has given back its place of the limits.
    pub(super) place_free: Notify,
}

/// Why an engine no longer drives its job.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing more will happen unless somebody asks.
    Final,
    /// Left at the end of a step, or to wait for a place.
    Drained,
    /// Another companion has the job.
    Fenced,
    /// The lease could not be held.
    Lost,
    /// The job's steps cannot be built here.
    NoSaga(Fault),
    /// What happened does not fit the journal: a mistake of this program.
    Illegal(IllegalEvent),
}

/// One job at work.
pub(super) struct Engine {
    hands: Arc<Hands>,
    cell: Arc<Cell>,
    saga: Arc<dyn Saga>,
    /// The job was stopped when it was claimed, so it has a place to be tried again in.
    has_place: bool,
    step_ends: Option<Instant>,
    job_ends: Option<Instant>,
}

/// Drives the job until it is final, drained, or lost.
pub(super) async fn drive(hands: Arc<Hands>, cell: Arc<Cell>, taken_over: bool) -> Ended {
    let saga = match hands.sagas.saga(cell.job(), &cell.state()).await {
        Ok(saga) => saga,
        Err(fault) => return Ended::NoSaga(fault),
    };
    let has_place = cell.state().can_retry();
    let mut engine = Engine { hands, cell, saga, has_place, step_ends: None, job_ends: None };
    engine.resume_deadlines();
    match engine.run(taken_over).await {
        Ok(ended) | Err(ended) => ended,
    }
}

impl Engine {
    async fn run(&mut self, taken_over: bool) -> Result<Ended, Ended> {
        if taken_over {
            let companion = self.hands.companion.clone();
            self.record(Event::TakenOver { companion, fence: self.cell.lease.fence }).await?;
        }
        loop {
            if *self.hands.draining.borrow() {
                return Ok(Ended::Drained);
            }
            self.answer_requests().await?;
            let state = self.cell.state();
            let (phase, keeps, owes) = (state.phase, state.keeps(), state.owes_successor());
            drop(state);
            match phase {
                Phase::Queued | Phase::Running | Phase::Waiting => self.forward().await?,
                Phase::Unwinding if keeps => self.keep().await?,
                Phase::Unwinding => self.backward().await?,
                Phase::RolledBack if owes => self.begin_anew().await?,
                Phase::Done | Phase::NeedsOperator | Phase::RolledBack | Phase::Abandoned => {
                    return Ok(Ended::Final);
                }
            }
        }
    }

    async fn keep(&mut self) -> Result<(), Ended> {
        let fault = Fault::new("kept", "the guest was kept for inspection, as its spec asks");
        self.stuck(fault).await
    }

    async fn stuck(&mut self, fault: Fault) -> Result<(), Ended> {
        let state = self.cell.state();
        let leftovers = self.saga.leftovers(&self.context(&state)).await;
        drop(state);
        self.record(Event::NeedsOperator { fault, leftovers }).await
    }

    async fn unknown_step(&mut self) -> Result<(), Ended> {
        self.stuck(Fault::new("unknown-step", "the journal names a step that this version does not know"))
            .await
    }

    fn resume_deadlines(&mut self) {
        let (state, now) = (self.cell.state(), (self.hands.clock)());
        self.job_ends = state.timed_ms.and_then(|from| deadline::resumed(state.spec.deadline_ms, from, now));
        let step = state.current_step().filter(|_| state.started);
        let timing = step.and_then(|step| state.timings.get(&step.name));
        self.step_ends = step
            .zip(timing)
            .and_then(|(step, timing)| deadline::resumed(step.deadline_ms, timing.started_ms, now));
    }

    fn context<'a>(&'a self, state: &'a State) -> Context<'a> {
        Context { job: self.cell.job(), state }
    }

    /// Nothing is done on a hypervisor without a lease that surely holds.
    fn check_lease(&self) -> Result<(), Ended> {
        if self.cell.holds() { Ok(()) } else { Err(Ended::Lost) }
    }
}

fn find<'a>(saga: &'a dyn Saga, name: &str) -> Option<&'a dyn Step> {
    saga.steps().iter().map(|step| &**step).find(|step| step.name() == name)
}
