//! What an operator may ask of a job, and when. Pure; the service decides in the end.

use crate::bringup::GuestView;
use crate::job::Phase;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Action {
    Cancel,
    Retry,
    Anew,
    Destroy,
    Abandon,
}

const ALL: [Action; 5] = [Action::Retry, Action::Anew, Action::Cancel, Action::Destroy, Action::Abandon];

impl Action {
    /// As the address names it.
    pub(in crate::web) fn of(name: &str) -> Option<Self> {
        ALL.into_iter().find(|action| action.name() == name)
    }

    pub(in crate::web) fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Anew => "anew",
            Self::Destroy => "destroy",
            Self::Abandon => "abandon",
        }
    }

    pub(in crate::web) fn label(self) -> &'static str {
        match self {
            Self::Cancel => "Cancel",
            Self::Retry => "Try again",
            Self::Anew => "Begin anew",
            Self::Destroy => "Destroy",
            Self::Abandon => "Abandon",
        }
    }

    /// What will happen, before anybody says yes.
    pub(in crate::web) fn means(self) -> &'static str {
        match self {
            Self::Cancel => "The job is stopped, and everything that it did is undone.",
            Self::Retry => "The failed step is tried again, and the job goes on from there.",
            Self::Anew => "What is left of the job is undone; then a new job begins from the first step.",
            Self::Destroy => {
                "The guest is removed with everything that was made for it: its disks, too. This cannot be taken back."
            }
            Self::Abandon => {
                "Everything stays as it is on the hypervisor, and the guest's name is free again. The companion looks after it no more."
            }
        }
    }

    pub(in crate::web) fn said(self) -> &'static str {
        match self {
            Self::Cancel => "Asked for: the job is stopped and undone.",
            Self::Retry => "Asked for: the failed step is tried again.",
            Self::Anew => "Asked for: it begins anew.",
            Self::Destroy => "Asked for: the guest is removed.",
            Self::Abandon => "Asked for: the job is abandoned.",
        }
    }

    /// It removes something for good.
    pub(in crate::web) fn is_grave(self) -> bool {
        matches!(self, Self::Cancel | Self::Destroy)
    }
}

/// In the order in which they are offered.
pub(in crate::web) fn offered(job: &GuestView) -> Vec<Action> {
    if job.asked.is_some() {
        return Vec::new();
    }
    let is_change = job.change_of.is_some();
    let fits = |action: Action| match (action, job.state) {
        (Action::Cancel, Phase::Queued | Phase::Running | Phase::Waiting) => true,
        (Action::Retry, _) => job.can_retry,
        (Action::Anew, Phase::NeedsOperator | Phase::RolledBack) => job.successor.is_none() && !job.adopted,
        (Action::Destroy, Phase::Done | Phase::NeedsOperator) => !is_change && !job.adopted,
        (Action::Abandon, Phase::NeedsOperator) => true,
        (Action::Abandon, Phase::Done) => job.adopted && !is_change,
        _ => false,
    };
    ALL.into_iter().filter(|action| fits(*action)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(state: &str, more: serde_json::Value) -> GuestView {
        let mut view = json!({ "name": "a", "job": "1", "backend": "b", "state": state, "step": null, "trust": null,
            "mac": null, "addresses": [], "machine_id": null, "hostname": null, "ssh_host_keys": [], "timings_ms": {},
            "checks": [], "failure": null, "console_tail": [], "leftovers": [], "reach": null, "created_at_ms": 0,
            "ended_at_ms": null, "batch": "", "by": "", "retry_of": null, "successor": null, "companion": null,
            "can_retry": false, "asked": null, "steps": [] });
        view.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn only_what_makes_sense_is_offered() {
        for (state, more, names) in [
            ("queued", json!({}), &["cancel"][..]),
            ("waiting", json!({}), &["cancel"]),
            ("unwinding", json!({}), &[]),
            ("done", json!({}), &["destroy"]),
            ("done", json!({ "adopted": true }), &["abandon"]),
            ("done", json!({ "change_of": "0" }), &[]),
            ("rolled-back", json!({}), &["anew"]),
            ("rolled-back", json!({ "successor": "2" }), &[]),
            ("abandoned", json!({}), &[]),
            ("needs-operator", json!({ "can_retry": true }), &["retry", "anew", "destroy", "abandon"]),
            ("needs-operator", json!({ "change_of": "0" }), &["anew", "abandon"]),
            ("needs-operator", json!({ "can_retry": true, "asked": "retry" }), &[]),
        ] {
            let found: Vec<&str> = offered(&view(state, more)).into_iter().map(Action::name).collect();
            assert_eq!(found, names, "{state}");
        }
        assert_eq!(Action::of("anew"), Some(Action::Anew));
        assert_eq!(Action::of("keep"), None);
    }
}
