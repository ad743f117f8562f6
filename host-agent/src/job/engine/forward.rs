//! Forward: probe, act if nothing is there yet, follow what is under way, and probe again as long as nobody knows.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::attend::{Cut, Leave};
use super::{Ended, Engine, find};
use crate::job::deadline::{self, EVIDENCE_DEADLINE, UNKNOWN_DEADLINE, earlier};
use crate::job::event::{Event, StepInfo};
use crate::job::step::Step;
use crate::outcome::{Act, Fault, Followed, Probe};

/// How a step ended.
enum Settled {
    Done(Value),
    Failed(Fault),
    /// Nobody knows, and there is no time left to find out.
    Unclear(Fault),
    /// Left as it is: the journal says enough to go on.
    Left,
}

/// What one attempt brought.
enum Attempt {
    Settled(Settled),
    /// A remote task is at work; it is journaled.
    Task(String),
    /// It is not known whether it was done.
    Doubt(Fault),
}

/// A step while it is being settled.
struct Work {
    info: StepInfo,
    leave: Leave,
    /// The first doubt began the time that is left where the step has no deadline.
    doubt_ends: Option<Instant>,
    doubts: u32,
    doubt: Option<Fault>,
}

impl Engine {
    pub(super) async fn forward(&mut self) -> Result<(), Ended> {
        let state = self.cell.state();
        if self.job_ends.is_some_and(|ends| ends <= Instant::now()) && !state.is_committed() {
            let fault = deadline::of_job(state.spec.deadline_ms);
            return self.record(Event::UnwindRequested { by: String::new(), fault, successor: None }).await;
        }
        let saga = Arc::clone(&self.saga);
        let known = state.current_step().and_then(|info| Some((info.clone(), find(&*saga, &info.name)?)));
        let Some((info, step)) = known else { return self.unknown_step().await };
        if !state.started {
            self.record(Event::StepStarted { step: info.name.clone() }).await?;
        }
        drop(state);
        let name = info.name.clone();
        match self.settle(step, info).await? {
            Settled::Done(output) => self.record(Event::StepSucceeded { step: name, output }).await,
            Settled::Failed(fault) => {
                let state = self.cell.state();
                let words = timeout(EVIDENCE_DEADLINE, step.evidence(&self.context(&state))).await;
                let console = words.unwrap_or_default();
                self.record(Event::StepFailed { step: name, fault, console }).await
            }
            Settled::Unclear(fault) => self.stuck(fault).await,
            Settled::Left => Ok(()),
        }
    }

    async fn settle(&mut self, step: &dyn Step, info: StepInfo) -> Result<Settled, Ended> {
        let leave = if info.waits { Leave::Anything } else { Leave::Never };
        let mut task = self.cell.state().tasks.get(&info.name).cloned();
        let mut work = Work { info, leave, doubt_ends: None, doubts: 0, doubt: None };
        loop {
            let attempt = match task.take() {
                Some(task) => self.follow(step, &mut work, &task).await?,
                None => self.probe_or_act(step, &work).await?,
            };
            let fault = match attempt {
                Attempt::Settled(settled) => return Ok(settled),
                Attempt::Task(at_work) => {
                    task = Some(at_work);
                    continue;
                }
                Attempt::Doubt(fault) => fault,
            };
            if let Some(settled) = self.doubt(&mut work, fault).await? {
                return Ok(settled);
            }
        }
    }

    /// Waits for the end of a journaled task.
    async fn follow(&self, step: &dyn Step, work: &mut Work, task: &str) -> Result<Attempt, Ended> {
        let (began, state) = (Instant::now(), self.cell.state());
        let context = self.context(&state);
        let followed = self.attend(self.step_ends, work.leave, step.follow(&context, task)).await;
        // While a task is at work there is no doubt.
        work.doubt_ends = work.doubt_ends.and_then(|ends| ends.checked_add(began.elapsed()));
        Ok(match followed {
            Ok(Followed::Done(output)) => Attempt::Settled(Settled::Done(output)),
            Ok(Followed::Failed(fault)) => Attempt::Settled(Settled::Failed(fault)),
            Ok(Followed::Unknown(fault)) => Attempt::Doubt(fault),
            Err(cut) => Attempt::Settled(cut_short(work, cut)),
        })
    }

    async fn probe_or_act(&mut self, step: &dyn Step, work: &Work) -> Result<Attempt, Ended> {
        let state = self.cell.state();
        let ends = earlier(self.step_ends, work.doubt_ends);
        let probed = match self.attend(ends, work.leave, step.probe(&self.context(&state))).await {
            Ok(probed) => probed,
            Err(cut) => return Ok(Attempt::Settled(cut_short(work, cut))),
        };
        drop(state);
        match probed {
            Ok(Probe::Present(output)) => Ok(Attempt::Settled(Settled::Done(output))),
            Ok(Probe::Foreign(what)) => {
                let fault = Fault::new("foreign", what)
                    .with_hint("choose another name, or remove what is there yourself");
                Ok(Attempt::Settled(Settled::Failed(fault)))
            }
            Ok(Probe::InFlight(task)) => self.task(step, task).await,
            Ok(Probe::Absent) => self.act(step, work).await,
            Err(fault) => Ok(Attempt::Doubt(fault)),
        }
    }

    async fn act(&mut self, step: &dyn Step, work: &Work) -> Result<Attempt, Ended> {
        self.check_lease()?;
        let state = self.cell.state();
        let acted = self.attend(self.step_ends, work.leave, step.act(&self.context(&state))).await;
        drop(state);
        match acted {
            Ok(Act::Applied(output)) => Ok(Attempt::Settled(Settled::Done(output))),
            Ok(Act::Refused(fault)) => Ok(Attempt::Settled(Settled::Failed(fault))),
            Ok(Act::Started(task)) => self.task(step, task).await,
            Ok(Act::Unknown(fault)) => Ok(Attempt::Doubt(fault)),
            Err(cut) => Ok(Attempt::Settled(cut_short(work, cut))),
        }
    }

    /// A task's id is durable before anybody looks at the task.
    async fn task(&mut self, step: &dyn Step, task: String) -> Result<Attempt, Ended> {
        if self.cell.state().tasks.get(step.name()) != Some(&task) {
            self.record(Event::StepProgress { step: step.name().to_owned(), task: task.clone() }).await?;
        }
        Ok(Attempt::Task(task))
    }

    /// Journals a doubt when it is new, and waits before the next look. Some: there is no time left, or the job is left.
    async fn doubt(&mut self, work: &mut Work, fault: Fault) -> Result<Option<Settled>, Ended> {
        if work.doubt.as_ref().is_none_or(|before| before.code != fault.code) {
            let event = Event::StepUncertain { step: work.info.name.clone(), fault: fault.clone() };
            self.record(event).await?;
        }
        work.doubt = Some(fault);
        work.doubts += 1;
        if self.step_ends.is_none() && work.doubt_ends.is_none() {
            work.doubt_ends = Instant::now().checked_add(UNKNOWN_DEADLINE);
        }
        let ends = earlier(self.step_ends, work.doubt_ends);
        if ends.is_some_and(|ends| ends <= Instant::now()) {
            return Ok(Some(cut_short(work, Cut::Deadline)));
        }
        let leave = if work.info.waits { Leave::Anything } else { Leave::Drain };
        let goes_on = self.pause(work.doubts, ends, leave).await;
        Ok((!goes_on).then_some(Settled::Left))
    }
}

/// What it means that a call of the step was ended early.
fn cut_short(work: &Work, cut: Cut) -> Settled {
    match (cut, &work.doubt) {
        (Cut::Left, _) => Settled::Left,
        (Cut::Deadline, doubt) if work.info.deadline_ms.is_some() => {
            let fault = deadline::of_step(&work.info, doubt.as_ref());
            if work.info.waits { Settled::Failed(fault) } else { Settled::Unclear(fault) }
        }
        (Cut::Deadline, Some(doubt)) => Settled::Unclear(doubt.clone()),
        (Cut::Deadline, None) => Settled::Unclear(deadline::of_step(&work.info, None)),
    }
}
