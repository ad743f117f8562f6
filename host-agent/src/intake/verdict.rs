//! Whether a guest that reported is the guest that was wanted, and ready. Pure.

use std::path::PathBuf;

use firstlight_shared::check::Verdict;
use firstlight_shared::ids::{DerivedMachineId, MacAddress};
use firstlight_shared::text::escape;
use firstlight_shared::wire::{Report, ReportState, Trust};
use serde::{Deserialize, Serialize};

use crate::backend::Observed;
use crate::identities::duplicates_with;
use crate::store::Shared;

/// What was wanted and chosen.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    pub guest: &'a str,
    pub mac: MacAddress,
    /// As the hypervisor fixed it in advance, where it does.
    pub machine_id: Option<DerivedMachineId>,
    pub mounts: &'a [PathBuf],
    /// Checks that must pass, beyond those that the guest itself requires.
    pub require: &'a [String],
    pub secrets: &'a [Delivered],
}

/// A secret file as it was delivered; of its content there is no more than this anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivered {
    pub path: String,
    /// The first 8 hexadecimal digits of its SHA-256.
    #[schema(example = "ba7816bf")]
    pub sha256_prefix: String,
    #[schema(example = "0400")]
    pub mode: String,
    /// `USER:GROUP`.
    #[schema(example = "root:root")]
    pub owner: String,
}

/// One reason why the guest is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: &'static str,
    pub message: String,
}

/// Every problem, most telling first; none: the guest is ready. `shared` are the identities that other guests have too.
pub fn verdict(
    report: &Report,
    trust: Trust,
    expected: &Expected<'_>,
    observed: &Observed,
    shared: &[Shared],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |code, message: String| problems.push(Problem { code, message });

    if trust > Trust::Claimed {
        problem("untrusted", format!("the report is only {}", trust.as_str()));
    }
    if report.state == ReportState::Failed {
        problem(
            "identity-failed",
            format!("the guest has no identity of its own: {}", escape(&report.identity.reason, 200)),
        );
    }
    for check in &report.checks {
        let required = check.blocks_readiness()
            || (expected.require.contains(&check.id) && check.verdict != Verdict::Pass);
        if required {
            let (id, reason) = (escape(&check.id, 60), escape(&check.reason, 300));
            problem("check-failed", format!("check {id} is {}: {reason}", check.verdict.as_str()));
        }
    }
    for id in expected.require.iter().filter(|id| report.checks.iter().all(|check| check.id != **id)) {
        problem("check-missing", format!("the guest made no check `{id}`"));
    }
    if report.state == ReportState::Degraded && report.checks.iter().all(|check| !check.blocks_readiness()) {
        problem(
            "degraded",
            format!("the guest calls itself degraded: {}", escape(&report.identity.problems.join("; "), 300)),
        );
    }

    let hostname = &report.identity.hostname.current;
    if hostname != expected.guest {
        problem(
            "wrong-hostname",
            format!("the guest calls itself {}, not {}", escape(hostname, 64), expected.guest),
        );
    }
    if !observed.no_network && !report.network.iter().any(|interface| interface.mac == Some(expected.mac)) {
        problem("wrong-mac", format!("no interface of the guest has the MAC {}", expected.mac));
    }
    match (report.identity.machine_id.derived, expected.machine_id) {
        (None, _) => problem("no-machine-id", "the guest has no valid machine-id".to_owned()),
        (Some(found), Some(wanted)) if found != wanted => problem(
            "wrong-machine-id",
            format!("the guest's machine-id (derived: {found}) is not the one that it was given ({wanted})"),
        ),
        _ => {}
    }
    if report.identity.ssh_host_keys.is_empty() {
        problem("no-host-key", "the guest has no SSH host key".to_owned());
    }

    problems.extend(expected.secrets.iter().filter_map(|secret| secret.problem_in(report)));
    problems.extend(seen_from_outside(expected, observed, shared));
    problems
}

impl Delivered {
    /// Why the guest has not found in place what was delivered; none: it has.
    pub fn problem_in(&self, report: &Report) -> Option<Problem> {
        let path = escape(&self.path, 200);
        let problem = |code, message| Some(Problem { code, message });
        let Some(found) = report.secrets.iter().find(|found| found.path == self.path) else {
            let said = "the guest does not tell of it: is its firstlight-guest older than its companion?";
            return problem("secret-missing", format!("secret {path}: {said}"));
        };
        if let Some(reason) = &found.problem {
            return problem("secret-missing", format!("secret {path}: {}", escape(reason, 300)));
        }
        let pairs = [
            ("content (SHA-256)", &found.sha256_prefix, &self.sha256_prefix),
            ("mode", &found.mode, &self.mode),
            ("owner", &found.owner, &self.owner),
        ];
        let (what, found, wanted) =
            pairs.into_iter().find(|(_, found, wanted)| found.as_ref() != Some(*wanted))?;
        let found = escape(found.as_deref().unwrap_or("(unknown)"), 80);
        problem("secret-differs", format!("secret {path}: its {what} is {found} in the guest, not {wanted}"))
    }
}

/// What needs no word of the guest.
pub(super) fn seen_from_outside(
    expected: &Expected<'_>,
    observed: &Observed,
    shared: &[Shared],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |code, message: String| problems.push(Problem { code, message });
    if !observed.running {
        problem("guest-stopped", "the hypervisor says that the guest does not run".to_owned());
    } else if !observed.no_network && observed.mac != Some(expected.mac) {
        problem("wrong-mac", format!("the hypervisor shows another MAC than {}", expected.mac));
    }
    // What nobody tells is no problem of the guest: it is said to be unproven.
    let told = observed.mounts_unseen.is_none();
    for path in expected.mounts.iter().filter(|path| told && !observed.mounts.contains(path)) {
        problem("mount-missing", format!("{} is not mounted in the guest", path.display()));
    }
    for duplicate in duplicates_with(expected.guest, shared) {
        let others = duplicate.guests.into_iter().filter(|guest| guest != expected.guest).collect::<Vec<_>>();
        let message = format!("{} {} is also that of {}", duplicate.kind, duplicate.value, others.join(", "));
        problem("duplicate", message);
    }
    problems
}
