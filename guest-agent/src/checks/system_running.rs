//! `system-running`: systemd finished the boot and no unit failed.

use firstlight_shared::check::Verdict;
use firstlight_shared::error::Chain;

use super::value::names;
use super::{Context, Look};

pub(super) async fn look(context: &Context<'_>) -> Look {
    match context.bus.system_state().await {
        Ok(state) if state == "running" => Look::pass("systemd is running"),
        Ok(state) if state == "degraded" => {
            let units = context.bus.failed_units().await.unwrap_or_default();
            Look::Final(Verdict::Fail, degraded(&units))
        }
        Ok(state) if matches!(state.as_str(), "initializing" | "starting") => {
            Look::not_yet(format!("systemd is still {state}"))
        }
        Ok(state) => Look::Final(Verdict::Fail, format!("systemd is {state}")),
        Err(error) => Look::cannot_tell(Chain(&error).to_string()),
    }
}

fn degraded(units: &[String]) -> String {
    if units.is_empty() {
        "systemd is degraded".to_owned()
    } else {
        format!("failed units: {}", names(units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_units_are_named_but_not_without_end() {
        let units: Vec<String> = (1..=7).map(|n| format!("u{n}.service")).collect();
        assert_eq!(degraded(&units[..1]), "failed units: u1.service");
        assert!(degraded(&units).ends_with("u5.service and 2 more"));
        assert_eq!(degraded(&[]), "systemd is degraded");
    }
}
