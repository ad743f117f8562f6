//! Whether a guest is ready of which there is nothing but its beacon. Pure.

use firstlight_shared::beacon::{Reason, Seen, State};
use firstlight_shared::wire::HostKey;
use serde::{Deserialize, Serialize};

use super::verdict::{Expected, Problem, seen_from_outside};
use crate::backend::Observed;
use crate::store::Shared;

/// A guest's beacon as it was read through the hypervisor: the guest's word, and surely of this guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BeaconView {
    /// `identity-done`, `ready`, `degraded` or `failed`.
    pub state: String,
    /// Why it is degraded or failed: the guest's own code; `none` if it is neither.
    pub reason: String,
    pub generation: u8,
    /// Of the report that it names: 64 hexadecimal digits, or the first 24 of them where the guest has no IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_sha256: Option<String>,
    /// The guest's ed25519 host key, where the beacon has room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub host_key: Option<HostKey>,
}

impl From<&Seen> for BeaconView {
    fn from(seen: &Seen) -> Self {
        Self {
            state: seen.state().as_str().to_owned(),
            reason: seen.reason().as_str().to_owned(),
            generation: seen.generation,
            report_sha256: seen.report_sha256(),
            host_key: seen.host_key(),
        }
    }
}

impl BeaconView {
    /// The identities that it shows, as pairs of kind and value.
    pub fn identities(&self) -> Vec<(&'static str, String)> {
        self.host_key.iter().map(|key| ("ssh-host-key", key.fingerprint.clone())).collect()
    }
}

/// What is known of a failed guest by its beacon, in words.
pub fn failure(reason: Reason) -> &'static str {
    match reason {
        Reason::NoHostKey => "no fresh SSH host key could be made",
        Reason::GoldenHostKey => "an SSH host key of the golden is still there",
        Reason::HostKeysUnreadable => "whether an SSH host key of the golden is left cannot be told",
        Reason::NoOutcome => "its identity phase left no outcome",
        Reason::NoReport => "it could not make its report",
        Reason::CheckFailed => "a required check did not pass",
        Reason::None | Reason::Other => "it does not say why",
    }
}

/// Every problem, most telling first; none: the guest is ready, as far as can be told without its report.
pub fn verdict_by_beacon(
    beacon: &BeaconView,
    expected: &Expected<'_>,
    observed: &Observed,
    shared: &[Shared],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |code, message: String| problems.push(Problem { code, message });
    if beacon.state == State::Degraded.as_str() {
        problem(
            "check-failed",
            "the guest is degraded; its report, which says why, did not arrive".to_owned(),
        );
    } else if beacon.state != State::Ready.as_str() {
        problem("not-ready", format!("the guest's beacon says {}, not ready", beacon.state));
    }
    if beacon.host_key.is_none() {
        problem(
            "no-host-key",
            "its beacon shows no SSH host key that could be compared, and no report came".to_owned(),
        );
    }
    if !expected.require.is_empty() {
        let checks = expected.require.join(", ");
        problem("report-missing", format!("the spec requires checks that only a report shows: {checks}"));
    }
    if !expected.secrets.is_empty() {
        let message = "whether its secrets are in place is shown by a report only".to_owned();
        problems.push(Problem { code: "report-missing", message });
    }
    problems.extend(seen_from_outside(expected, observed, shared));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ready_guest_without_further_wishes_is_ready_by_its_beacon() {
        let mac = "02:f1:57:00:00:01".parse().unwrap();
        let there = Observed {
            running: true,
            mac: Some(mac),
            addresses: vec![],
            mounts: vec![],
            mounts_unseen: None,
            no_network: false,
        };
        let gone = Observed { running: false, ..there.clone() };
        let twin = Shared {
            kind: "ssh-host-key".into(),
            value: "SHA256:x".into(),
            guest: "web-02".into(),
            job: "j2".into(),
        };
        let wish = ["sshd".to_owned()];
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
        let key = HostKey::of(&line.parse().unwrap()).unwrap();
        for (state, require, observed, shared, codes) in [
            ("ready", &[][..], &there, &[][..], &[][..]),
            ("degraded", &[], &there, &[], &["check-failed"]),
            ("degraded", &wish, &there, &[], &["check-failed", "report-missing"]),
            ("ready", &wish, &there, &[], &["report-missing"]),
            ("identity-done", &[], &there, &[], &["not-ready"]),
            ("failed", &[], &there, &[], &["not-ready"]),
            ("ready", &[], &gone, &[], &["guest-stopped"]),
            ("ready", &[], &there, std::slice::from_ref(&twin), &["duplicate"]),
        ] {
            let beacon = BeaconView {
                state: state.into(),
                reason: "none".into(),
                generation: 1,
                report_sha256: None,
                host_key: Some(key.clone()),
            };
            let expected =
                Expected { guest: "web-01", mac, machine_id: None, mounts: &[], require, secrets: &[] };
            let found: Vec<_> = verdict_by_beacon(&beacon, &expected, observed, shared)
                .into_iter()
                .map(|problem| problem.code)
                .collect();
            assert_eq!(found, codes, "{state}");
        }
        let silent = BeaconView {
            state: "ready".into(),
            reason: "none".into(),
            generation: 1,
            report_sha256: None,
            host_key: None,
        };
        let expected =
            Expected { guest: "web-01", mac, machine_id: None, mounts: &[], require: &[], secrets: &[] };
        let found = verdict_by_beacon(&silent, &expected, &there, &[]);
        assert_eq!(found[0].code, "no-host-key", "a key that nobody can compare proves nothing");
    }
}
