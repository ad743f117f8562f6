//! Watches over all bring-ups of this companion: wakes those who wait when the store changes, and looks at each hypervisor
//! every few seconds, once for all guests. Whose guest stopped is told so; what came late is handed to the sweeper.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::facts::{FINISH, id_of};
use super::service::{Bringups, store_fault};
use crate::backend::{Backend, Surveyed};
use crate::clock::now_ms;
use crate::job::{Change, JobStore, Phase, Request, RequestKind};
use crate::outcome::Fault;

/// A look that takes longer is given up; the next one may be luckier.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a part of a guest may be seen after its job was rolled back before it is swept: whoever removes it may only be
/// slow to be seen.
const GRACE: Duration = Duration::from_secs(10);
/// How long after a job's end a request of it may still be carried out, in milliseconds.
const LATE: u64 = 15 * 60 * 1000;
/// A part that is still there so long after it was swept is swept again.
const AGAIN: Duration = Duration::from_secs(60);

impl Bringups {
    /// Works until [`Bringups::stop`]. Beside it a [`crate::job::Runner`] drives the jobs.
    pub async fn run(self: Arc<Self>) {
        self.works.store(true, Ordering::Relaxed);
        let mut stopping = self.stopping();
        tokio::select! {
            () = self.wake() => {}
            () = self.look() => {}
            () = self.attend() => {}
            () = self.hear() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    async fn wake(&self) {
        let mut changes = self.store.changes();
        // Whatever happened before somebody listened.
        self.waiters.heard(&Change::Unknown);
        loop {
            match changes.recv().await {
                Ok(change) => self.waiters.heard(&change),
                Err(RecvError::Lagged(_)) => self.waiters.heard(&Change::Unknown),
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn look(&self) {
        let watches = self.backends.iter().map(|backend| self.watch(&**backend));
        futures_util::future::join_all(watches).await;
    }

    /// One hypervisor, for ever.
    async fn watch(&self, backend: &dyn Backend) {
        // A companion that died after its last guest went may have left what guests shared.
        self.tidy(backend).await;
        let mut seen = Sightings::default();
        let mut troubles = Troubles::default();
        loop {
            let looked = tokio::time::timeout(PATIENCE, backend.survey()).await;
            let looked = looked.unwrap_or_else(|_| Err(Fault::new("survey-timeout", "no answer in time")));
            if let Some(found) =
                troubles.survey.tell(backend, "guests cannot be looked at; trying on", looked)
            {
                self.surveyed(backend, &found, &mut seen, &mut troubles).await;
            }
            tokio::time::sleep(backend.survey_every()).await;
        }
    }

    async fn surveyed(
        &self,
        backend: &dyn Backend,
        found: &[Surveyed],
        seen: &mut Sightings,
        troubles: &mut Troubles,
    ) {
        let running: BTreeSet<&str> =
            found.iter().filter(|one| one.running).filter_map(|one| one.job.as_deref()).collect();
        // Asked for every guest that is waited for, of as many as there are.
        let mut by_job: BTreeMap<&str, Vec<&Surveyed>> = BTreeMap::new();
        for one in found.iter().filter(|one| one.running) {
            by_job.entry(one.job.as_deref().unwrap_or_default()).or_default().push(one);
        }
        let runs = |job: &str, id: Option<&str>| {
            by_job.get(job).is_some_and(|of| of.iter().any(|one| one.is_of(job, id)))
        };
        self.waiters.surveyed(backend.name(), runs);
        let tended = self.tend(backend, found).await;
        troubles.reports.tell(backend, "no place for reports", tended);
        let ephemeral = self.store.ephemeral_jobs(backend.name()).await.map_err(store_fault);
        if let Some(ephemeral) =
            troubles.lives.tell(backend, "which guests are ephemeral cannot be told now", ephemeral)
        {
            for job in seen.stopped.judge(&ephemeral, &running, Instant::now()) {
                self.ask_by_itself(&job, RequestKind::Stopped, "an ephemeral guest stopped").await;
            }
        }
        let suspects = self.suspects(found).await;
        if let Some(suspects) =
            troubles.owners.tell(backend, "whose guests these are cannot be told now", suspects)
        {
            let verdict = seen.judge(&suspects, Instant::now());
            self.act_on(backend, verdict).await;
        }
    }

    /// Takes reports here as long as there are guests, also those of other companions: any of us may die.
    async fn tend(&self, backend: &dyn Backend, found: &[Surveyed]) -> Result<(), Fault> {
        if !found.is_empty() {
            self.endpoints.ensure(backend).await?;
        } else if self.endpoints.is_open(backend).await {
            self.tidy(backend).await;
        }
        Ok(())
    }

    /// The parts that are not plainly a living job's, with the job if there is one. A part without a stamp belongs to the
    /// guest's newest job.
    pub(super) async fn suspects(&self, found: &[Surveyed]) -> Result<Suspects, Fault> {
        let jobs: Vec<String> = found.iter().filter_map(|one| one.job.clone()).collect();
        let gone = if jobs.is_empty() {
            Vec::new()
        } else {
            self.store.gone_or_unknown(&jobs).await.map_err(store_fault)?
        };
        let gone: BTreeMap<String, Option<Phase>> = gone.into_iter().collect();
        let mut suspects = Suspects::new();
        for one in found {
            let job = match &one.job {
                Some(job) => match gone.get(job) {
                    None => continue,
                    Some(phase) => phase.map(|phase| (job.clone(), phase)),
                },
                None => {
                    let newest = self.store.job_of_guest(&one.guest).await.map_err(store_fault)?;
                    newest.map(|row| (row.id, row.phase))
                }
            };
            let owner = match job {
                Some((job, phase)) => Some(self.owner(&job, phase, one.id.as_deref()).await?),
                None => None,
            };
            suspects.insert(one.clone(), owner);
        }
        Ok(suspects)
    }

    /// Of a job that was rolled back it is asked when; a guest that had been ready had no request under way any more.
    async fn owner(&self, job: &str, phase: Phase, id: Option<&str>) -> Result<Owner, Fault> {
        let (mut recent, mut is_it) = (true, true);
        if phase == Phase::RolledBack
            && let Some(state) = self.state(job).await.map_err(store_fault)?
        {
            let since = state.ended_ms.map_or(0, |ended| now_ms().saturating_sub(ended));
            recent = since < LATE && !state.outputs.contains_key(FINISH);
            is_it = id.zip(id_of(&state)).is_none_or(|(found, chosen)| found == chosen);
        }
        Ok(Owner { job: job.to_owned(), phase, recent, is_it })
    }

    /// The stamp of a survey may be a minute old: a sweep undoes the job's steps again, and each reads it anew before it
    /// removes anything.
    pub(super) async fn act_on(&self, backend: &dyn Backend, verdict: Verdict) {
        for stranger in verdict.strangers {
            tracing::warn!(backend = backend.name(), guest = %stranger.guest, job = ?stranger.job,
                "something here carries our mark, and is no living job's of ours; it is left alone");
        }
        for job in verdict.sweep {
            tracing::warn!(backend = backend.name(), %job, "something of a job that was rolled back is here; it is removed");
            let request = Request {
                kind: RequestKind::Sweep,
                by: "sweeper".to_owned(),
                reason: "something with the job's stamp came late".to_owned(),
            };
            // An operator's request is not overwritten; what is there then waits for the next look.
            if let Err(error) = self.store.ask_in_turn(&job, &request).await {
                tracing::warn!(%job, error = %firstlight_shared::error::Chain(&error), "the sweep was not recorded");
            }
        }
    }
}

/// What goes wrong look after look, each told as a warning once.
#[derive(Debug, Default)]
struct Troubles {
    survey: Trouble,
    reports: Trouble,
    owners: Trouble,
    lives: Trouble,
}

/// Lasts from its first failure to the next success.
#[derive(Debug, Default)]
struct Trouble {
    lasts: bool,
}

impl Trouble {
    /// None: it failed, and that is told: as a warning the first time, then for who debugs.
    fn tell<T>(&mut self, backend: &dyn Backend, what: &str, outcome: Result<T, Fault>) -> Option<T> {
        match (self.is_news(outcome.is_err()), outcome) {
            (_, Ok(value)) => return Some(value),
            (true, Err(fault)) => tracing::warn!(backend = backend.name(), error = %fault, "{what}"),
            (false, Err(fault)) => tracing::debug!(backend = backend.name(), error = %fault, "{what}"),
        }
        None
    }

    fn is_news(&mut self, failed: bool) -> bool {
        let lasted = std::mem::replace(&mut self.lasts, failed);
        failed && !lasted
    }
}

/// The job that a part belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    job: String,
    phase: Phase,
    /// A request of the job may still be under way: it ended a short while ago. Whatever comes later came by somebody
    /// else: a guest's backup carries its stamp, too.
    recent: bool,
    /// It has the id that the job's guest had: else it is a copy, with the stamp in its notes.
    is_it: bool,
}

/// Parts that may have nothing to be here for; None: nobody knows of them.
pub(super) type Suspects = BTreeMap<Surveyed, Option<Owner>>;

/// Parts that should not be there, since when they are seen.
#[derive(Debug, Default)]
struct Sightings {
    /// By job: when it is to be swept next.
    due: BTreeMap<String, Instant>,
    strangers: BTreeSet<Surveyed>,
    stopped: super::lives::Stopped,
}

/// What is to be done after a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) sweep: Vec<String>,
    /// New ones only.
    pub(super) strangers: Vec<Surveyed>,
}

impl Sightings {
    /// Only what belongs to a job that is rolled back is swept: an abandoned job's guest stays as it is, and what nobody
    /// knows is nobody's to remove.
    fn judge(&mut self, suspects: &Suspects, now: Instant) -> Verdict {
        let mut verdict = Verdict::default();
        let gone: BTreeSet<&String> = suspects
            .values()
            .flatten()
            .filter(|owner| owner.phase == Phase::RolledBack && owner.recent && owner.is_it)
            .map(|owner| &owner.job)
            .collect();
        self.due.retain(|job, _| gone.contains(job));
        for job in gone {
            let due = self.due.entry(job.clone()).or_insert_with(|| now + GRACE);
            if *due <= now {
                *due = now + AGAIN;
                verdict.sweep.push(job.clone());
            }
        }
        let returned = |owner: &Owner| owner.phase == Phase::RolledBack && !(owner.recent && owner.is_it);
        let strangers: BTreeSet<Surveyed> = suspects
            .iter()
            .filter(|(_, owner)| owner.as_ref().is_none_or(returned))
            .map(|(one, _)| one.clone())
            .collect();
        verdict.strangers = strangers.difference(&self.strangers).cloned().collect();
        self.strangers = strangers;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(job: Option<&str>, guest: &str) -> Surveyed {
        Surveyed { job: job.map(Into::into), guest: guest.into(), id: None, running: false }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_rolled_back_is_swept_and_only_after_a_grace() {
        let found = [part(Some("j1"), "a"), part(None, "b"), part(Some("j3"), "c"), part(Some("j4"), "d")];
        let owner = |job: &str, phase| Some(Owner { job: job.into(), phase, recent: true, is_it: true });
        let suspects: Suspects = [
            (found[0].clone(), owner("j1", Phase::RolledBack)),
            (found[1].clone(), owner("j2", Phase::RolledBack)),
            (found[2].clone(), owner("j3", Phase::Abandoned)),
            (found[3].clone(), owner("j4", Phase::Done)),
        ]
        .into();
        let mut without_first = suspects.clone();
        without_first.remove(&found[0]);
        let mut seen = Sightings::default();
        let now = Instant::now();
        assert_eq!(seen.judge(&suspects, now), Verdict::default());
        assert_eq!(seen.judge(&suspects, now + GRACE / 2), Verdict::default());
        assert_eq!(seen.judge(&suspects, now + GRACE).sweep, ["j1", "j2"]);
        assert_eq!(seen.judge(&suspects, now + GRACE * 2), Verdict::default(), "it was asked for");
        assert_eq!(seen.judge(&without_first, now + GRACE + AGAIN).sweep, ["j2"]);
        let later = now + GRACE + AGAIN + GRACE;
        assert_eq!(seen.judge(&suspects, later), Verdict::default(), "j1 is new again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_came_back_after_its_job_is_left_alone() {
        let found = [part(Some("j1"), "a")];
        let owner = Owner { job: "j1".into(), phase: Phase::RolledBack, recent: false, is_it: true };
        let suspects: Suspects = [(found[0].clone(), Some(owner))].into();
        let mut seen = Sightings::default();
        let now = Instant::now();
        assert_eq!(seen.judge(&suspects, now).strangers, found, "it is told of");
        assert_eq!(seen.judge(&suspects, now + GRACE * 9), Verdict::default(), "once, and never swept");
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_with_the_stamp_is_nobodys_to_sweep() {
        let copy = Surveyed { id: Some("900".into()), ..part(Some("j1"), "a") };
        assert!(copy.is_of("j1", Some("900")) && copy.is_of("j1", None));
        assert!(!copy.is_of("j1", Some("101")) && !copy.is_of("j2", Some("900")));
        let owner = Owner { job: "j1".into(), phase: Phase::RolledBack, recent: true, is_it: false };
        let suspects: Suspects = [(copy.clone(), Some(owner))].into();
        let (mut seen, now) = (Sightings::default(), Instant::now());
        let found = [copy];
        assert_eq!(seen.judge(&suspects, now).strangers, found);
        assert_eq!(seen.judge(&suspects, now + GRACE * 9), Verdict::default());
    }

    #[test]
    fn a_trouble_is_news_once_until_it_has_passed() {
        let mut trouble = Trouble::default();
        let told = [false, true, true, true, false, true].map(|failed| trouble.is_news(failed));
        assert_eq!(told, [false, true, false, false, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_are_told_of_once_and_never_swept() {
        let suspects: Suspects = [part(Some("x"), "a"), part(None, "b")].map(|one| (one, None)).into();
        let mut seen = Sightings::default();
        let now = Instant::now();
        let first = seen.judge(&suspects, now);
        assert_eq!((first.strangers.len(), first.sweep.len()), (2, 0));
        assert_eq!(seen.judge(&suspects, now + GRACE * 20), Verdict::default());
    }
}
