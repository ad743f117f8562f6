//! What people ask of jobs: checked at once, durable when it returns, answered by whichever companion drives the job.

use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;

use super::budget::Count;
use super::submit::{new_id, overtaken};
use crate::bringup::facts::{is_adoption, spec_of};
use crate::bringup::service::{Bringups, store_fault};
use crate::bringup::spec::ChangeSpec;
use crate::clock::now_ms;
use crate::job::{
    Asked, Event, JobSpec, JobStore, JournalError, NewJob, Phase, Recorded, Request, RequestKind, State,
};
use crate::outcome::Fault;
use crate::store::JobRow;

impl Bringups {
    /// Asks for a job to be stopped and undone. Answers the job to follow.
    pub async fn cancel(&self, job: &str, by: &str, reason: &str) -> Result<String, Fault> {
        let row = self.row(job).await?;
        match row.phase {
            Phase::Queued | Phase::Running | Phase::Waiting | Phase::Unwinding => {
                self.unwind(row, by, reason).await
            }
            Phase::Done | Phase::RolledBack if row.change_of.is_some() => Err(ended(&row)),
            Phase::NeedsOperator if row.change_of.is_some() => {
                let hint = format!(
                    "`firstlight retry {0}` tries again, `firstlight abandon {0}` leaves the guest as it is",
                    row.id
                );
                Err(ended(&row).with_hint(hint))
            }
            Phase::Done | Phase::NeedsOperator if self.is_adopted(&row.id).await? => {
                let hint = format!("`firstlight abandon {}` forgets the guest", row.guest);
                Err(ended(&row).with_hint(hint))
            }
            Phase::Done | Phase::NeedsOperator => {
                let hint = format!("remove the guest with `firstlight destroy {}`", row.guest);
                Err(ended(&row).with_hint(hint))
            }
            Phase::RolledBack | Phase::Abandoned => Err(ended(&row)),
        }
    }

    /// Why this guest cannot be destroyed, if that is so; looks only.
    pub async fn destroyable(&self, guest: &str) -> Result<(), Fault> {
        self.to_destroy(guest).await.map(drop)
    }

    async fn to_destroy(&self, guest: &str) -> Result<JobRow, Fault> {
        let row = self.store.job_of_guest(guest).await.map_err(store_fault)?;
        let row = row.filter(|row| !row.phase.is_gone()).ok_or_else(|| {
            Fault::new("no-such-guest", format!("there is no guest {}", escape(guest, 80)))
                .with_hint("`firstlight jobs` lists what there is")
        })?;
        if !self.is_adopted(&row.id).await? {
            return Ok(row);
        }
        let name = &row.guest;
        let message = format!("guest {name} was made by somebody else: it is not ours to destroy");
        Err(Fault::new("guest-not-ours", message).with_hint(match row.phase {
            Phase::Done | Phase::NeedsOperator => {
                format!("`firstlight abandon {name}` forgets it; remove it with the tool that made it")
            }
            _ => format!("`firstlight cancel {name}` ends the wait; remove it with the tool that made it"),
        }))
    }

    /// Asks for everything of this guest to be undone. Answers the job to follow.
    pub async fn destroy(&self, guest: &str, by: &str, reason: &str) -> Result<String, Fault> {
        let row = self.to_destroy(guest).await?;
        self.unwind(row, by, reason).await
    }

    /// Asks for the failed step to be tried again, or (`anew`) for a new job once everything is undone. Answers the job to
    /// follow.
    pub async fn retry(&self, job: &str, anew: bool, by: &str) -> Result<String, Fault> {
        let row = self.row(job).await?;
        let state = self.state(&row.id).await.map_err(store_fault)?;
        let state = state.ok_or_else(|| unreadable(&row))?;
        if anew {
            return self.begin_anew(row, &state, by).await;
        }
        if state.can_retry() {
            return self.ask(row, RequestKind::Retry, by, "").await;
        }
        let guest = &row.guest;
        Err(match row.phase {
            Phase::NeedsOperator => Fault::new(
                "cannot-retry",
                format!("job {} was being undone: its failed step cannot be tried again", row.id),
            )
            .with_hint(format!("`firstlight retry --anew {guest}` undoes the rest and begins again")),
            Phase::RolledBack | Phase::Abandoned => {
                ended(&row).with_hint(format!("`firstlight retry --anew {}` makes a new job of it", row.id))
            }
            Phase::Done => ended(&row),
            _ => in_progress(&row),
        })
    }

    /// Leaves everything of a job that needs an operator as it is, and frees the guest's name. A guest that somebody else
    /// made is forgotten like this when it is ready, too.
    pub async fn abandon(&self, job: &str, by: &str, reason: &str) -> Result<String, Fault> {
        let row = self.row(job).await?;
        match row.phase {
            // Nothing of it is ours but its rows: they go.
            Phase::Done if self.is_adopted(&row.id).await? => self.unwind(row, by, reason).await,
            Phase::NeedsOperator => self.ask(row, RequestKind::Abandon, by, reason).await,
            Phase::Abandoned => Ok(row.id),
            phase if phase.is_final() => Err(ended(&row)),
            _ => Err(in_progress(&row)),
        }
    }

    async fn begin_anew(&self, row: JobRow, state: &State, by: &str) -> Result<String, Fault> {
        match row.phase {
            Phase::NeedsOperator | Phase::Unwinding => {
                if let Some(successor) = &state.successor {
                    return Ok(successor.clone());
                }
                let successor = new_id();
                let kind = RequestKind::Anew { successor: successor.clone() };
                match self.ask_of(&row, kind, by, "to begin anew").await? {
                    Some(RequestKind::Anew { successor }) => Ok(successor),
                    _ => Ok(successor),
                }
            }
            Phase::RolledBack | Phase::Abandoned => self.repeat(&row, state, by).await,
            Phase::Done if is_adoption(state) => {
                Err(ended(&row).with_hint("`firstlight wait --again` waits for its next report"))
            }
            Phase::Done => {
                let hint = format!("`firstlight destroy {}` first, then apply its spec again", row.guest);
                Err(ended(&row).with_hint(hint))
            }
            _ => Err(in_progress(&row)),
        }
    }

    /// A new job from the spec of one that is gone.
    async fn repeat(&self, row: &JobRow, state: &State, by: &str) -> Result<String, Fault> {
        let spec = self.again(&row.id, state).await?;
        let mut count = Count::default();
        match &spec.change_of {
            Some(of) => {
                self.check_room(&self.row(of).await?, &ChangeSpec::of(&spec)?.change, &mut count).await?;
            }
            None => self.check_budget(&spec_of(state)?, &mut count).await?,
        }
        let spec = JobSpec { by: by.to_owned(), retry_of: Some(row.id.clone()), ..spec };
        let created = Recorded { seq: 0, at_ms: now_ms(), event: Event::Created(spec) };
        let job = NewJob { id: new_id(), created };
        match self.create(std::slice::from_ref(&job), &count).await {
            Ok(true) => Ok(job.id),
            Ok(false) => Err(overtaken()),
            Err(error @ JournalError::NameTaken { .. }) => {
                let hint = format!("`firstlight show {}` shows it", row.guest);
                Err(Fault::new("guest-exists", error.to_string()).with_hint(hint))
            }
            Err(error) => Err(journal_fault(&error)),
        }
    }

    async fn unwind(&self, row: JobRow, by: &str, reason: &str) -> Result<String, Fault> {
        if row.phase == Phase::Unwinding {
            let state = self.state(&row.id).await.map_err(store_fault)?;
            let asked = self.store.request(&row.id).await.map_err(|error| journal_fault(&error))?;
            let anew = asked.is_some_and(|asked| matches!(asked.kind, RequestKind::Anew { .. }));
            // Asked again only where it takes back that the job begins anew.
            if !anew && state.is_none_or(|state| state.successor.is_none()) {
                return Ok(row.id);
            }
        }
        if row.phase == Phase::Done && row.change_of.is_none() {
            // Asked first: no other change begins then.
            let job = self.ask(row, RequestKind::Unwind, by, reason).await?;
            self.cancel_change_of(&job, by, "its guest is to be destroyed").await?;
            return Ok(job);
        }
        self.ask(row, RequestKind::Unwind, by, reason).await
    }

    /// Durable when it returns; whoever drives the job, or claims it then, takes it up.
    pub(in crate::bringup) async fn ask(
        &self,
        row: JobRow,
        kind: RequestKind,
        by: &str,
        reason: &str,
    ) -> Result<String, Fault> {
        self.ask_of(&row, kind, by, reason).await?;
        Ok(row.id)
    }

    /// Some: the same was asked before, and this is what counts.
    async fn ask_of(
        &self,
        row: &JobRow,
        kind: RequestKind,
        by: &str,
        reason: &str,
    ) -> Result<Option<RequestKind>, Fault> {
        let request = Request { kind, by: by.to_owned(), reason: reason.to_owned() };
        match self.store.ask_in_turn(&row.id, &request).await.map_err(|error| journal_fault(&error))? {
            Asked::Recorded => Ok(None),
            Asked::Already(kind) => Ok(Some(kind)),
            Asked::Pending(open) => Err(pending(row, &open)),
        }
    }

    pub(in crate::bringup) async fn row(&self, job: &str) -> Result<JobRow, Fault> {
        let found = self.find(job).await.map_err(store_fault)?;
        found.ok_or_else(|| {
            Fault::new("no-such-job", format!("there is no job or guest `{}`", escape(job, 80)))
                .with_hint("`firstlight jobs` lists what there is")
        })
    }
}

fn ended(row: &JobRow) -> Fault {
    Fault::new("job-ended", format!("job {} of guest {} is {}", row.id, row.guest, row.phase.as_str()))
}

fn pending(row: &JobRow, open: &Request) -> Fault {
    let (job, guest, by) = (&row.id, &row.guest, escape(&open.by, 80));
    let what = open.kind.as_str();
    Fault::new("request-pending", format!("{by} asked for `{what}` of job {job}, which is not answered yet"))
        .with_hint(format!("`firstlight show {guest}` tells when it is; then ask again"))
}

fn in_progress(row: &JobRow) -> Fault {
    Fault::new(
        "job-in-progress",
        format!("job {} of guest {} is still {}", row.id, row.guest, row.phase.as_str()),
    )
    .with_hint(format!("`firstlight cancel {}` stops and undoes it", row.guest))
}

fn unreadable(row: &JobRow) -> Fault {
    Fault::new("journal-unreadable", format!("the journal of job {} cannot be read", row.id))
}

fn journal_fault(error: &JournalError) -> Fault {
    Fault::new("journal", format!("the request was not recorded: {}", Chain(error)))
        .with_hint("is there space left for the store, and is its server up? the companion's log tells more")
}
