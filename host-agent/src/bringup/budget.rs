//! Memory budgets: what runs, what is about to, and what is asked for, against what a resource may have. Pure but for the
//! questions.

use std::collections::BTreeMap;

use super::service::{Bringups, store_fault};
use super::spec::GuestSpec;
use crate::backend::MemoryInUse;
use crate::outcome::Fault;

/// What guests of one request take beside what is on record, by resource.
pub(super) type Claimed = BTreeMap<String, u64>;

/// Whether so much more fits. `under_way`: of guests that are about to be made; one that runs already counts twice until
/// it is ready, so that two never take the last place.
fn fits(
    guest: &str,
    resource: &str,
    budget: u64,
    asked: Option<u64>,
    in_use: Option<&MemoryInUse>,
    under_way: u64,
) -> Result<u64, Fault> {
    let Some(asked) = asked else {
        let message = format!(
            "guest {guest}: {resource} has a budget of memory, and the spec does not say how much it takes"
        );
        return Err(Fault::new("memory-unknown", message).with_hint("give it `memory`, `1G` for one"));
    };
    let running = in_use.map_or(0, |in_use| in_use.bytes);
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
    let sum = running.saturating_add(under_way).saturating_add(asked);
    if sum <= budget {
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

impl Bringups {
    /// Whether a guest fits into every budget that concerns it; then it is counted in `claimed`.
    pub(super) async fn check_budget(&self, spec: &GuestSpec, claimed: &mut Claimed) -> Result<(), Fault> {
        let asked = spec.plan.size.memory_bytes;
        self.check_memory(spec, asked, claimed).await
    }

    /// The same for so much more than the guest has.
    pub(super) async fn check_memory(
        &self,
        spec: &GuestSpec,
        asked: Option<u64>,
        claimed: &mut Claimed,
    ) -> Result<(), Fault> {
        let budgets = self.budgets.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let backend = self.backend(&spec.backend)?;
        let resources = backend.resources(&spec.plan);
        let concerned: Vec<(String, u64)> =
            resources.into_iter().filter_map(|name| budgets.get(&name).map(|bytes| (name, *bytes))).collect();
        if concerned.is_empty() {
            return Ok(());
        }
        // Read before what runs: a guest that starts meanwhile is in one of them at least.
        let jobs = self.store.jobs_under_way().await.map_err(store_fault)?;
        let in_use = backend.memory_in_use(&spec.plan).await?;
        for (resource, budget) in concerned {
            let of = jobs.iter().filter(|job| job.resources.contains(&resource));
            let bytes = of.filter_map(|job| job.spec["plan"]["size"]["memory_bytes"].as_u64());
            let own = claimed.entry(resource.clone()).or_default();
            let under_way = bytes.sum::<u64>().saturating_add(*own);
            *own += fits(spec.plan.name.as_str(), &resource, budget, asked, in_use.as_ref(), under_way)?;
        }
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
            let in_use = MemoryInUse { of: "x".into(), bytes: gib(running), total_bytes: 0 };
            let fit = fits("g", "node:a", gib(budget), asked.map(gib), Some(&in_use), gib(under_way));
            assert_eq!(
                fit.err().map(|fault| fault.code).as_deref(),
                code,
                "{budget} {asked:?} {running} {under_way}"
            );
        }
    }
}
