//! `failed-units`, `unit` and the units of `replicas`: what systemd says of its units.

use firstlight_shared::error::Chain;
use serde::Deserialize;

use super::value::{matches, names};
use super::{Context, Look};
use crate::bus::UnitState;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FailedUnits {
    /// Patterns of units that may be failed.
    ignore: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unit {
    unit: String,
    #[serde(default = "active")]
    state: String,
}

fn active() -> String {
    "active".to_owned()
}

pub(super) async fn look_at_failed(keys: &FailedUnits, context: &Context<'_>) -> Look {
    let state = match context.bus.system_state().await {
        Ok(state) => state,
        Err(error) => return Look::cannot_tell(Chain(&error).to_string()),
    };
    match context.bus.failed_units().await {
        Ok(failed) => judge_failed(keys, &state, &failed),
        Err(error) => Look::cannot_tell(Chain(&error).to_string()),
    }
}

fn judge_failed(keys: &FailedUnits, state: &str, failed: &[String]) -> Look {
    let ignored = |unit: &String| keys.ignore.iter().any(|pattern| matches(pattern, unit));
    let (ignored, failed): (Vec<String>, Vec<String>) = failed.iter().cloned().partition(ignored);
    if !failed.is_empty() {
        // A unit that restarts may leave this state again.
        return Look::not_yet(format!("failed units: {}", names(&failed)));
    }
    if matches!(state, "initializing" | "starting") {
        return Look::not_yet(format!("systemd is still {state}"));
    }
    match ignored.len() {
        0 => Look::pass("no unit failed"),
        _ => Look::pass(format!("no unit failed but the ignored {}", names(&ignored))),
    }
}

pub(super) async fn look(keys: &Unit, context: &Context<'_>) -> Look {
    match context.bus.active_state(&keys.unit).await {
        Err(error) => Look::cannot_tell(Chain(&error).to_string()),
        Ok(None) => Look::not_yet(format!("systemd has not loaded {}", keys.unit)),
        Ok(Some(state)) if state == keys.state => Look::pass(format!("{} is {state}", keys.unit)),
        Ok(Some(state)) => Look::not_yet(format!("{} is {state}", keys.unit)),
    }
}

/// Units whose names match one of the patterns; `count` of them shall be active, or all, and at least one.
pub(super) fn judge_replicas(units: &[UnitState], count: Option<usize>) -> Look {
    let (active, others): (Vec<&UnitState>, Vec<&UnitState>) =
        units.iter().partition(|unit| unit.active == "active");
    let wanted = count.unwrap_or(units.len().max(1));
    let seen = format!("{} of {wanted} units are active", active.len());
    if active.len() >= wanted {
        return Look::pass(seen);
    }
    let others: Vec<String> = others.iter().map(|unit| format!("{} {}", unit.name, unit.active)).collect();
    if others.is_empty() { Look::not_yet(seen) } else { Look::not_yet(format!("{seen}: {}", names(&others))) }
}

/// What a test compares: the verdict that counts at the deadline, and the reason.
#[cfg(test)]
pub(super) fn said(look: &Look) -> (firstlight_shared::check::Verdict, &str) {
    match look {
        Look::Final(verdict, reason) | Look::NotYet(verdict, reason) => (*verdict, reason),
        Look::Of(look, _) => said(look),
    }
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::*;

    #[test]
    fn failed_units_count_unless_ignored() {
        let failed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (ignore, state, units, verdict) in [
            (&[][..], "running", &[][..], Verdict::Pass),
            (&[], "degraded", &["a.service"], Verdict::Fail),
            (&["a.*"], "degraded", &["a.service"], Verdict::Pass),
            (&["a.*"], "degraded", &["a.service", "b.service"], Verdict::Fail),
            (&["a.*"], "starting", &["a.service"], Verdict::Fail),
        ] {
            let keys = FailedUnits { ignore: failed(ignore) };
            let look = judge_failed(&keys, state, &failed(units));
            assert_eq!(said(&look).0, verdict, "{ignore:?} {state} {units:?}: {look:?}");
        }
    }

    #[test]
    fn n_of_n_units_means_all_that_there_are_and_at_least_one() {
        let units = |states: &[&str]| -> Vec<UnitState> {
            let unit = |(n, state): (usize, &&str)| UnitState {
                name: format!("web@{n}.service"),
                active: (*state).to_owned(),
            };
            states.iter().enumerate().map(unit).collect()
        };
        for (states, count, verdict) in [
            (&["active", "active"][..], None, Verdict::Pass),
            (&["active", "failed"], None, Verdict::Fail),
            (&[], None, Verdict::Fail),
            (&["active", "active"], Some(2), Verdict::Pass),
            (&["active", "active"], Some(3), Verdict::Fail),
            (&["active", "active", "activating"], Some(2), Verdict::Pass),
        ] {
            let look = judge_replicas(&units(states), count);
            assert_eq!(said(&look).0, verdict, "{states:?} {count:?}: {look:?}");
        }
    }
}
