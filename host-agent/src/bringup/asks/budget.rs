//! Memory budgets: what runs, what is about to, and what is asked for, against what a resource may have.
//!
//! What a guest of ours takes counts once: as it runs, or as it will, whichever is more. Whoever counts says which jobs it
//! has seen, and the store makes no job beside one that was not: of companions that count at once, one is the first.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::{Backend, MemoryInUse, Place, RunningGuest};
use crate::bringup::service::{Bringups, store_fault};
use crate::bringup::spec::{Change, ChangeSpec, GuestSpec};
use crate::bringup::steps::id_kind;
use crate::job::JobSpec;
use crate::outcome::Fault;

/// What was counted for one request: read once, and what its own guests take beside that.
#[derive(Debug, Default)]
pub(in crate::bringup) struct Count {
    /// By resource.
    claimed: BTreeMap<String, u64>,
    under_way: Option<Vec<UnderWay>>,
    in_use: Vec<(String, Place, MemoryInUse)>,
}

/// What the guest of a job takes as soon as the job is done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UnderWay {
    /// Of the guest, or of its change.
    job: String,
    /// The guest's own.
    guest_job: String,
    backend: String,
    at: Vec<String>,
    bytes: u64,
}

impl UnderWay {
    /// Of what takes no memory that is known, nothing counts.
    fn of((job, spec): &(String, JobSpec)) -> Self {
        let bytes = match &spec.change_of {
            None => spec.spec["plan"]["size"]["memory_bytes"].as_u64(),
            Some(_) => match ChangeSpec::of(spec).map(|spec| spec.change) {
                Ok(Change::Memory { bytes, .. }) => Some(bytes),
                _ => None,
            },
        };
        Self {
            job: job.clone(),
            guest_job: spec.change_of.clone().unwrap_or_else(|| job.clone()),
            backend: spec.backend.clone(),
            at: spec.resources.clone(),
            bytes: bytes.unwrap_or(0),
        }
    }
}

impl Count {
    /// The jobs that were counted. None: no budget concerns this request.
    pub(in crate::bringup) fn seen(&self) -> Option<BTreeSet<String>> {
        let jobs = self.under_way.as_ref()?;
        Some(jobs.iter().map(|one| one.job.clone()).collect())
    }
}

/// Who asks for memory.
#[derive(Debug, Clone, Copy)]
pub(in crate::bringup) enum Asker<'a> {
    /// A guest that has no job yet.
    New,
    /// A change of this job's guest, which is on this node: what it has now is given back.
    Change(&'a str, Option<&'a str>),
    /// This job itself, on the node that was chosen: those that came after it wait for it.
    Job(&'a str, Option<&'a str>),
}

/// What is taken of a resource, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    running: u64,
    under_way: u64,
}

/// `is_at`: whether what is under way with these resources may come to count for the one in question.
fn taken(
    resource: &str,
    asker: Asker<'_>,
    guests: &[RunningGuest],
    under_way: &[UnderWay],
    is_at: impl Fn(&UnderWay) -> bool,
) -> Taken {
    let own = match asker {
        Asker::New => None,
        Asker::Change(job, _) | Asker::Job(job, _) => Some(job),
    };
    let counts = |guest: &RunningGuest| guest.at.iter().any(|at| at == resource);
    let others = guests.iter().filter(|guest| own.is_none() || guest.job.as_deref() != own);
    let running = others.filter(|guest| counts(guest)).map(|guest| guest.bytes).sum();
    let first = |one: &&UnderWay| match asker {
        Asker::Job(job, _) => one.job.as_str() < job,
        Asker::New | Asker::Change(..) => true,
    };
    let waiting = under_way.iter().filter(first).filter(|one| Some(one.guest_job.as_str()) != own);
    let still_to_come = |one: &UnderWay| {
        let runs = guests.iter().find(|guest| guest.job.as_deref() == Some(&one.guest_job));
        match runs {
            Some(guest) if counts(guest) => one.bytes.saturating_sub(guest.bytes),
            Some(_) => 0,
            None if is_at(one) => one.bytes,
            None => 0,
        }
    };
    Taken { running, under_way: waiting.map(still_to_come).sum() }
}

/// Whether so much more fits; answers it.
fn fits(guest: &str, resource: &str, budget: u64, asked: Option<u64>, taken: Taken) -> Result<u64, Fault> {
    let Some(asked) = asked else {
        let message = format!(
            "guest {guest}: {resource} has a budget of memory, and the spec does not say how much it takes"
        );
        return Err(Fault::new("memory-unknown", message).with_hint("give it `memory`, `1G` for one"));
    };
    let shown = |bytes: u64| format!("{}M", bytes >> 20);
    if asked > budget {
        let message = format!(
            "guest {guest} takes {}, and {resource} has a budget of {} in all",
            shown(asked),
            shown(budget)
        );
        return Err(Fault::new("memory-budget", message)
            .with_hint("it can never fit: give it less, or raise `[budget]`"));
    }
    let Taken { running, under_way } = taken;
    if running.saturating_add(under_way).saturating_add(asked) <= budget {
        return Ok(asked);
    }
    let message = format!(
        "guest {guest} takes {}, and of the budget of {resource} ({}) running guests have {} and those under way {}",
        shown(asked),
        shown(budget),
        shown(running),
        shown(under_way)
    );
    Err(Fault::new("memory-budget", message)
        .with_hint("destroy a guest, or wait until one that is due is gone; then try again"))
}

/// A part counts for its whole, and what is still to be put into a part counts for each.
fn may_be_at(backend: &dyn Backend, resources: &[String], resource: &str) -> bool {
    let whole = backend.whole_of(resource);
    let is_it = |own: &String| {
        own == resource || backend.whole_of(own).as_deref() == Some(resource) || whole.as_ref() == Some(own)
    };
    resources.iter().any(is_it)
}

impl Bringups {
    /// Whether a new guest fits into every budget that concerns it; then it is counted.
    pub(in crate::bringup) async fn check_budget(
        &self,
        spec: &GuestSpec,
        count: &mut Count,
    ) -> Result<(), Fault> {
        self.check_memory(spec, spec.plan.size.memory_bytes, Asker::New, count).await
    }

    /// The same, by the guest's own job: much may have begun to run since it was asked for.
    pub(in crate::bringup) async fn check_in_job(
        &self,
        spec: &GuestSpec,
        job: &str,
        node: Option<&str>,
    ) -> Result<(), Fault> {
        let asked = spec.plan.size.memory_bytes;
        self.check_memory(spec, asked, Asker::Job(job, node), &mut Count::default()).await
    }

    pub(in crate::bringup) async fn check_memory(
        &self,
        spec: &GuestSpec,
        asked: Option<u64>,
        asker: Asker<'_>,
        count: &mut Count,
    ) -> Result<(), Fault> {
        let budgets = self.budgets.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        // Who only waits for a guest takes nothing: it runs.
        if budgets.is_empty() || spec.adopt.is_some() {
            return Ok(());
        }
        let backend = self.hasty_backend(&spec.backend)?;
        let node = match asker {
            Asker::Change(_, node) | Asker::Job(_, node) => node,
            Asker::New => None,
        };
        let mut at: BTreeSet<String> = backend.memory_at(&spec.plan, node).await?.into_iter().collect();
        at.extend(at.iter().filter_map(|resource| backend.whole_of(resource)).collect::<Vec<_>>());
        let concerned: Vec<(String, u64)> =
            at.into_iter().filter_map(|name| budgets.get(&name).map(|bytes| (name, *bytes))).collect();
        if concerned.is_empty() {
            return Ok(());
        }
        self.read(&*backend, spec, count).await?;
        let guests =
            count.in_use.iter().find(|(of, place, _)| *of == spec.backend && *place == spec.plan.place);
        let guests = guests.map(|(.., in_use)| in_use.guests.as_slice()).unwrap_or_default();
        let under_way = count.under_way.as_deref().unwrap_or_default();
        if let (Asker::Change(job, _), Some(asked)) = (asker, asked)
            && guests.iter().any(|guest| guest.job.as_deref() == Some(job) && guest.bytes >= asked)
        {
            // It takes no more than it has, whatever others take.
            return Ok(());
        }
        for (resource, budget) in concerned {
            let is_at =
                |one: &UnderWay| one.backend == spec.backend && may_be_at(&*backend, &one.at, &resource);
            let mut taken = taken(&resource, asker, guests, under_way, is_at);
            let claimed = count.claimed.entry(resource.clone()).or_default();
            taken.under_way = taken.under_way.saturating_add(*claimed);
            *claimed += fits(spec.plan.name.as_str(), &resource, budget, asked, taken)?;
        }
        Ok(())
    }

    /// What is under way is read before what runs: a guest that starts meanwhile is in one of them at least.
    async fn read(&self, backend: &dyn Backend, spec: &GuestSpec, count: &mut Count) -> Result<(), Fault> {
        if count.under_way.is_none() {
            let jobs = self.store.jobs_under_way().await.map_err(store_fault)?;
            count.under_way = Some(jobs.iter().map(UnderWay::of).collect());
        }
        if count.in_use.iter().any(|(of, place, _)| *of == spec.backend && *place == spec.plan.place) {
            return Ok(());
        }
        let Some(mut in_use) = backend.memory_in_use(&spec.plan).await? else {
            let name = &spec.backend;
            let message = format!("`{name}` holds its guests to no memory: no budget can be kept there");
            return Err(Fault::new("no-budget", message).with_hint(
                "take its node out of `[budget]`; of an Incus server of that name, give its projects one",
            ));
        };
        let holders = self.store.holders(&id_kind(backend)).await.map_err(store_fault)?;
        for guest in in_use.guests.iter_mut().filter(|guest| guest.job.is_none()) {
            guest.job = guest.id.as_ref().and_then(|id| holders.get(id)).cloned();
        }
        count.in_use.push((spec.backend.clone(), spec.plan.place.clone(), in_use));
        Ok(())
    }

    /// By resource, in bytes.
    pub fn set_budgets(&self, budgets: BTreeMap<String, u64>) {
        *self.budgets.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = budgets;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_what_is_under_way_and_what_is_asked_must_fit_together() {
        // budget, asked, running, under way; the fault's code
        for (budget, asked, running, under_way, code) in [
            (8, Some(2), 4, 2, None),
            (8, Some(3), 4, 2, Some("memory-budget")),
            (8, Some(9), 0, 0, Some("memory-budget")),
            (8, Some(8), 0, 0, None),
            (8, None, 0, 0, Some("memory-unknown")),
            (8, Some(1), u64::MAX >> 30, 0, Some("memory-budget")),
        ] {
            let gib = |number: u64| number << 30;
            let taken = Taken { running: gib(running), under_way: gib(under_way) };
            let fit = fits("g", "node:a", gib(budget), asked.map(gib), taken);
            let code_found = fit.err().map(|fault| fault.code);
            assert_eq!(code_found.as_deref(), code, "{budget} {asked:?} {running} {under_way}");
        }
    }

    #[test]
    fn each_guest_counts_once_where_it_runs_or_will() {
        let guest = |job: Option<&str>, at: &str, bytes: u64| RunningGuest {
            job: job.map(str::to_owned),
            at: vec![at.to_owned()],
            bytes,
            ..RunningGuest::default()
        };
        let way = |job: &str, guest_job: &str, at: &str, bytes: u64| UnderWay {
            job: job.to_owned(),
            guest_job: guest_job.to_owned(),
            backend: "b".to_owned(),
            at: vec![at.to_owned()],
            bytes,
        };
        let (here, there) = ("node:a", "node:b");
        let new = Asker::New;
        for (what, asker, guests, under_way, running, to_come) in [
            ("nothing", new, vec![], vec![], 0, 0),
            ("somebody else's", new, vec![guest(None, here, 3)], vec![], 3, 0),
            ("elsewhere", new, vec![guest(None, there, 3)], vec![way("j", "j", there, 2)], 0, 0),
            ("queued", new, vec![], vec![way("j", "j", here, 2)], 0, 2),
            (
                "runs, and is not ready",
                new,
                vec![guest(Some("j"), here, 2)],
                vec![way("j", "j", here, 2)],
                2,
                0,
            ),
            ("moved", new, vec![guest(Some("j"), there, 2)], vec![way("j", "j", here, 2)], 0, 0),
            ("grows", new, vec![guest(Some("j"), here, 2)], vec![way("k", "j", here, 5)], 2, 3),
            ("shrinks", new, vec![guest(Some("j"), here, 5)], vec![way("k", "j", here, 2)], 5, 0),
            ("stopped to grow", new, vec![], vec![way("k", "j", here, 5)], 0, 5),
            ("its own change", Asker::Change("j", None), vec![guest(Some("j"), here, 2)], vec![], 0, 0),
            ("changed anew", Asker::Change("j", None), vec![], vec![way("k", "j", here, 5)], 0, 0),
            ("older job", Asker::Job("j2", None), vec![], vec![way("j1", "j1", here, 2)], 0, 2),
            ("younger job", Asker::Job("j2", None), vec![], vec![way("j3", "j3", here, 2)], 0, 0),
            ("younger job runs", Asker::Job("j2", None), vec![guest(Some("j3"), here, 2)], vec![], 2, 0),
            (
                "itself",
                Asker::Job("j2", None),
                vec![guest(Some("j2"), here, 2)],
                vec![way("j2", "j2", here, 2)],
                0,
                0,
            ),
        ] {
            let found = taken(here, asker, &guests, &under_way, |one| one.at == [here]);
            assert_eq!(found, Taken { running, under_way: to_come }, "{what}");
        }
    }
}
