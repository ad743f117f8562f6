//! Jobs and their journals: made, appended to, asked for something.

use async_trait::async_trait;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::time::Duration;
use tokio::sync::broadcast;

use super::database::Dialect;
use super::database::Writing;
use super::error::{StoreError, failed};
use super::rows::{self, signed, text, unsigned};
use super::{Store, claims, identities, leases, outbox, reservations};
use crate::job::{
    Change, Claimant, Claimed, Event, JobStore, JournalError, Lease, NewJob, Outline, Recorded, Request,
    State,
};

/// Why a job's rows were not written.
#[derive(Debug)]
pub(super) enum Refusal {
    Store(StoreError),
    Fenced,
    NoSuchJob,
    NameTaken { guest: String, job: String },
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refusal {
    pub(super) fn of(self, job: &str) -> JournalError {
        let job = job.to_owned();
        match self {
            Self::Store(error) => JournalError::Store { job, source: Box::new(error) },
            Self::Fenced => JournalError::Fenced { job },
            Self::NoSuchJob => JournalError::NoSuchJob { job },
            Self::NameTaken { guest, job } => JournalError::NameTaken { guest, job },
        }
    }
}

#[async_trait]
impl JobStore for Store {
    async fn create(&self, jobs: &[NewJob]) -> Result<(), JournalError> {
        let first = jobs.first().map_or_else(String::new, |job| job.id.clone());
        let jobs = jobs.to_vec();
        let work = self.write(move |writing| Box::pin(create_all(writing, jobs)));
        work.await.map_err(|refusal: Refusal| refusal.of(&first))
    }

    async fn claim(&self, claimant: &Claimant) -> Result<Vec<Claimed>, JournalError> {
        let claimant = claimant.clone();
        let work =
            self.write(move |writing| Box::pin(async move { leases::claim(writing, &claimant).await }));
        work.await.map_err(|error| Refusal::Store(error).of("(any)"))
    }

    async fn append(
        &self,
        lease: &Lease,
        recorded: &Recorded,
        outline: &Outline,
    ) -> Result<(), JournalError> {
        let (own, recorded, outline) = (lease.clone(), recorded.clone(), outline.clone());
        let targets = self.targets();
        let work = self.write_often(move |writing| {
            Box::pin(async move {
                append(writing, &own, &recorded, &outline).await?;
                if !targets.is_empty() && outbox::may_end(&recorded.event, &outline) {
                    outbox::enclose(writing, &targets, &own.job, recorded.seq, recorded.at_ms).await?;
                }
                if matches!(recorded.event, Event::Abandoned { .. }) {
                    let_go(writing, &own.job).await?;
                }
                writing.moves.push(Change::Job(own.job));
                Ok(())
            })
        });
        work.await.map_err(|refusal: Refusal| refusal.of(&lease.job))
    }

    async fn renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<String>, JournalError> {
        let leases = leases.to_vec();
        let work = self
            .write_first(move |writing| Box::pin(async move { leases::renew(writing, &leases, ttl).await }));
        work.await.map_err(|error| Refusal::Store(error).of("(held)"))
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), JournalError> {
        let leases = leases.to_vec();
        let work =
            self.write(move |writing| Box::pin(async move { leases::release(writing, &leases).await }));
        work.await.map_err(|error| Refusal::Store(error).of("(held)"))
    }

    async fn ask(&self, job: &str, request: &Request) -> Result<(), JournalError> {
        let (asked, body) = (job.to_owned(), text("a request", request));
        let work = self.write(move |writing| {
            Box::pin(async move {
                let done = sqlx::query("UPDATE jobs SET request = $2 WHERE id = $1")
                    .bind(&asked)
                    .bind(body?)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("record a request"))?;
                if done.rows_affected() == 0 {
                    return Err(Refusal::NoSuchJob);
                }
                writing.changes.push(Change::Job(asked));
                Ok(())
            })
        });
        work.await.map_err(|refusal| refusal.of(job))
    }

    async fn request(&self, job: &str) -> Result<Option<Request>, JournalError> {
        self.open_request(job).await.map_err(|error| Refusal::Store(error).of(job))
    }

    async fn settle_request(&self, lease: &Lease, request: &Request) -> Result<(), JournalError> {
        let (own, body) = (lease.clone(), text("a request", request));
        let work = self.write(move |writing| {
            Box::pin(async move {
                holds(writing.sql, &own).await?;
                // A request that came meanwhile is another text, and stays.
                sqlx::query("UPDATE jobs SET request = NULL WHERE id = $1 AND request = $2")
                    .bind(&own.job)
                    .bind(body?)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("settle a request"))?;
                writing.moves.push(Change::Job(own.job));
                Ok(())
            })
        });
        work.await.map_err(|refusal: Refusal| refusal.of(&lease.job))
    }

    async fn events(&self, job: &str) -> Result<Vec<Recorded>, JournalError> {
        Store::events(self, job).await.map_err(|error| Refusal::Store(error).of(job))
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.database.changes()
    }
}

impl Store {
    /// What was asked of a job and is not answered in its journal.
    pub async fn open_request(&self, job: &str) -> Result<Option<Request>, StoreError> {
        let mut reader = self.database.reader().await?;
        let body: Option<Option<String>> = sqlx::query_scalar("SELECT request FROM jobs WHERE id = $1")
            .bind(job)
            .fetch_optional(&mut *reader)
            .await
            .map_err(failed("read a request"))?;
        body.flatten().map(|body| rows::parsed("a request", &body)).transpose()
    }

    /// The events of one job; empty if there is no such job.
    pub async fn events(&self, job: &str) -> Result<Vec<Recorded>, StoreError> {
        rows::events(&mut *self.database.reader().await?, job).await
    }
}

fn guest(job: &NewJob) -> &str {
    match &job.created.event {
        Event::Created(spec) => &spec.guest,
        _ => "",
    }
}

/// The guest is ready, and nobody works on it or asked for anything. Its row stays as it is until the transaction ends:
/// whoever asks next sees the change.
async fn can_change(sql: &mut AnyConnection, dialect: Dialect, job: &str) -> Result<bool, Refusal> {
    let look = format!(
        "SELECT CASE WHEN phase = 'done' AND request IS NULL AND held = 0 THEN 1 ELSE 0 END FROM jobs WHERE id = $1{}",
        dialect.locked()
    );
    let free: Option<i64> = sqlx::query_scalar(AssertSqlSafe(look))
        .bind(job)
        .fetch_optional(sql)
        .await
        .map_err(failed("look at the job of a guest"))?;
    Ok(free == Some(1))
}

/// All or none.
pub(super) async fn create_all(writing: &mut Writing<'_>, mut jobs: Vec<NewJob>) -> Result<(), Refusal> {
    // Two companions that make the same guests meet at the first of them, and nobody waits in a circle.
    jobs.sort_by(|one, other| guest(one).cmp(guest(other)));
    for job in jobs {
        create(writing.sql, writing.dialect, &job).await?;
        writing.changes.push(Change::Job(job.id));
    }
    Ok(())
}

async fn create(sql: &mut AnyConnection, dialect: Dialect, job: &NewJob) -> Result<(), Refusal> {
    let state =
        State::created(&job.created).map_err(|illegal| StoreError::row("a job's first event", illegal))?;
    let changed = state.spec.change_of.clone();
    if let Some(of) = &changed
        && !can_change(sql, dialect, of).await?
    {
        return Err(Refusal::NameTaken { guest: state.spec.guest, job: of.clone() });
    }
    if rows::insert_job(sql, &job.id, job.created.at_ms, &state.spec, &state.outline()).await? {
        rows::insert_event(sql, &job.id, &job.created).await?;
        return Ok(());
    }
    let known = sqlx::query("SELECT seq, at_ms, body FROM events WHERE job = $1 AND seq = 0")
        .bind(&job.id)
        .fetch_optional(&mut *sql)
        .await
        .map_err(failed("read a job's first event"))?;
    match known {
        Some(known) if rows::event(&known, 0)?.event == job.created.event => Ok(()),
        Some(_) => Err(StoreError::Sequence { job: job.id.clone(), seq: 0 }.into()),
        None => {
            let holder: Option<String> = sqlx::query_scalar(match &changed {
                None => "SELECT id FROM jobs WHERE guest = $1 AND live = 1 AND change_of IS NULL",
                Some(_) => "SELECT id FROM jobs WHERE change_of = $1 AND live = 1",
            })
            .bind(changed.as_ref().unwrap_or(&state.spec.guest))
            .fetch_optional(sql)
            .await
            .map_err(failed("look for a guest's job"))?;
            Err(Refusal::NameTaken { guest: state.spec.guest, job: holder.unwrap_or_default() })
        }
    }
}

/// What waited for a place has it since it was claimed.
const MOVE_ON: &str = "UPDATE jobs SET events = events + 1, phase = $4, step = $5, failure = $6, works = CASE WHEN \
                       phase = $4 AND phase IN ('queued', 'needs-operator') THEN works ELSE $7 END, is_open = $8, \
                       live = $9, ended_at_ms = $10, ephemeral = $13, due_at_ms = $14, attend_at_ms = $15 \
                       WHERE id = $1 AND held = 1 AND fence = $2 AND events = $3";
const EVENT: &str = "INSERT INTO events (job, seq, at_ms, body) SELECT $1, $3, $11, $12";

async fn append(
    writing: &mut Writing<'_>,
    lease: &Lease,
    recorded: &Recorded,
    outline: &Outline,
) -> Result<(), Refusal> {
    let body = text("an event", &recorded.event)?;
    let failure = outline.failure.as_ref().map(|fault| text("a failure", fault)).transpose()?;
    let append = format!("{}{}", writing.opening(), writing.dialect.both(MOVE_ON, "id", EVENT, ""));
    let done = sqlx::query(AssertSqlSafe(append))
        .bind(&lease.job)
        .bind(signed(lease.fence))
        .bind(signed(recorded.seq))
        .bind(outline.phase.as_str())
        .bind(outline.step.as_deref())
        .bind(failure)
        .bind(i64::from(outline.works))
        .bind(i64::from(outline.open))
        .bind(i64::from(outline.live))
        .bind(outline.ended_ms.map(signed))
        .bind(signed(recorded.at_ms))
        .bind(body)
        .bind(i64::from(outline.ephemeral))
        .bind(outline.due_ms.map(signed))
        .bind(outline.attend_ms.map(signed))
        .fetch_all(&mut *writing.sql)
        .await
        .map_err(failed("append an event"))?;
    if !done.is_empty() {
        return Ok(());
    }
    holds(writing.sql, lease).await?;
    // The same event again is the same call again: its answer was lost.
    let stored = rows::events(writing.sql, &lease.job).await?;
    match stored.last() {
        Some(last) if last == recorded => Ok(()),
        _ => Err(StoreError::Sequence { job: lease.job.clone(), seq: recorded.seq }.into()),
    }
}

/// The guest is in other hands: nothing of it is taken or kept for it any more, as of one that was undone.
async fn let_go(writing: &mut Writing<'_>, job: &str) -> Result<(), StoreError> {
    claims::expire(writing, job).await?;
    identities::retire(writing, job).await?;
    reservations::free(writing, job).await
}

/// The lease is the job's present one.
async fn holds(sql: &mut AnyConnection, lease: &Lease) -> Result<(), Refusal> {
    let row = sqlx::query("SELECT fence, held FROM jobs WHERE id = $1")
        .bind(&lease.job)
        .fetch_optional(sql)
        .await
        .map_err(failed("look at a lease"))?
        .ok_or(Refusal::NoSuchJob)?;
    let (fence, held): (i64, i64) = (row.get(0), row.get(1));
    if held == 1 && unsigned(fence) == lease.fence { Ok(()) } else { Err(Refusal::Fenced) }
}
