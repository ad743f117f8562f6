//! `plan` and `status` for people and, with `--json`, for programs. Nothing here holds a raw machine-id or a secret.

use firstlight_shared::text::escape;
use firstlight_shared::wire::{Envelope, Report, ReportState};
use serde::Serialize;

use crate::identity::{self, Adopted, CloudInitPlan, MachineIdPlan, Outcome, Plan, Stamp, StampState};
use crate::paths;
use crate::report::{self, ChannelState, Delivery, DeliveryState};
use crate::sys::Machine;

/// The longest text of a file that is shown on one line.
const SHOWN: usize = 300;

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

pub(crate) fn render_plan(plan: &Plan) -> String {
    let mut lines = vec![format!("decision: {} ({})", word(&plan.decision), escape(&plan.reason, SHOWN))];
    let mut list = |what: &str, names: &[String]| {
        if !names.is_empty() {
            lines.push(format!(
                "{what}: {}",
                names.iter().map(|n| escape(n, 80)).collect::<Vec<_>>().join(", ")
            ));
        }
    };
    list("leftovers to remove", &plan.leftovers);
    list("host keys to remove", &plan.remove_keys);
    list("host keys to make now", &plan.make_keys);
    list("host keys to make after the boot", &plan.pending_keys);
    list("items to renew after the boot", &plan.pending_items);
    list("host keys to repair", &plan.repair_keys);
    lines.push(format!(
        "machine-id: {}",
        match plan.machine_id {
            MachineIdPlan::Keep => "is kept",
            MachineIdPlan::Fresh => "was made in this boot",
            MachineIdPlan::Renew => "is renewed, and a reboot required",
            MachineIdPlan::LeaveToSystemd => "unset: systemd fills it at the next boot",
            MachineIdPlan::Report => "cannot be used: reported",
        }
    ));
    if plan.link_dbus {
        lines.push("D-Bus's own machine-id becomes a symlink".to_owned());
    }
    if let Some(name) = &plan.hostname.expected {
        let does =
            if plan.hostname.write_file || plan.hostname.set_kernel { "is set" } else { "is left as it is" };
        lines.push(format!("host name: {does} (expected: {name})"));
    }
    if plan.hostname.write_hosts {
        lines.push("/etc/hosts: the old host name is replaced".to_owned());
    }
    match plan.hostname.cloud_init {
        CloudInitPlan::Leave => {}
        CloudInitPlan::TellToLeaveName => {
            lines.push("cloud-init is told to leave the host name alone".to_owned())
        }
        CloudInitPlan::TakeBack => lines.push("cloud-init may give the host name again".to_owned()),
    }
    if plan.stir {
        lines.push("fresh bytes go into the kernel's random pool".to_owned());
    }
    for found in &plan.items.found {
        let does = if found.renew { "is renewed" } else { "is found, and left" };
        lines.push(format!("{} {does}: /{}", found.item.name, escape(&found.path, SHOWN)));
    }
    let problems = plan.items.unknown.iter().chain(&plan.problems);
    lines.extend(problems.map(|problem| format!("problem: {}", escape(problem, SHOWN))));
    if plan.changes_nothing() {
        lines.push("nothing would be changed".to_owned());
    }
    lines.join("\n")
}

/// What stands on this machine, as far as it can be read.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    stamp: Option<Stamp>,
    stamp_problem: Option<String>,
    identity: Option<Outcome>,
    report: Option<Report>,
    delivery: Option<Delivery>,
    beacon: crate::beacon::Shown,
}

pub(crate) fn status(machine: &Machine) -> Status {
    let root = &machine.root;
    let (stamp, stamp_problem) = match identity::load_stamp(root) {
        StampState::None => (None, None),
        StampState::Valid(stamp) => (Some(*stamp), None),
        StampState::Unknown(reason) => (None, Some(reason)),
    };
    let report = root.read(paths::REPORT).ok().flatten();
    let envelope = report.and_then(|bytes| Envelope::parse(&bytes).ok());
    Status {
        stamp,
        stamp_problem,
        identity: identity::load_outcome(root),
        report: envelope.and_then(|envelope| serde_json::from_slice(envelope.report.as_bytes()).ok()),
        delivery: report::load_delivery(root),
        beacon: crate::beacon::shown(machine),
    }
}

pub(crate) fn render_status(status: &Status) -> String {
    let mut lines = Vec::new();
    lines.push(match (&status.stamp, &status.stamp_problem) {
        (Some(stamp), _) => format!(
            "stamp: {} host keys, machine-id {}, decided {}",
            stamp.host_keys.len(),
            stamp.evidence.machine_id.map_or("unknown".to_owned(), |id| id.to_string()),
            word(&stamp.decision),
        ),
        (None, Some(problem)) => format!("stamp: {}", escape(problem, SHOWN)),
        (None, None) => "stamp: none, this machine has not been through an identity phase".to_owned(),
    });
    lines.push(match &status.identity {
        None => "identity: no outcome in this boot".to_owned(),
        Some(outcome) => render_outcome(outcome),
    });
    lines.push(match &status.report {
        None => "report: none in this boot".to_owned(),
        Some(report) => format!(
            "report: {}",
            match report.state {
                ReportState::Ready => "ready",
                ReportState::Degraded => "degraded",
                ReportState::Failed => "failed",
            }
        ),
    });
    for check in status.report.iter().flat_map(|report| &report.checks) {
        let (id, reason) = (escape(&check.id, 80), escape(&check.reason, SHOWN));
        lines.push(format!("  {:<8} {id}: {reason} ({} ms)", check.verdict.as_str(), check.elapsed_ms));
    }
    lines.push(match &status.delivery {
        None => "delivery: nothing sent in this boot".to_owned(),
        Some(delivery) => render_delivery(delivery),
    });
    lines.push(status.beacon.to_string());
    lines.join("\n")
}

fn render_delivery(delivery: &Delivery) -> String {
    let mut text = format!(
        "delivery: {}",
        match delivery.state {
            DeliveryState::Sending => "still sending",
            DeliveryState::Acknowledged => "acknowledged",
            DeliveryState::Refused => "refused",
            DeliveryState::GaveUp => "gave up",
            DeliveryState::NoHost => "no host to send it to",
        }
    );
    if let Some(refusal) = &delivery.refusal {
        text.push_str(&format!(" ({}: {})", escape(&refusal.code, 80), escape(&refusal.message, SHOWN)));
    }
    for log in &delivery.channels {
        let state = match log.state {
            ChannelState::Trying => "trying",
            ChannelState::Acknowledged => "acknowledged",
            ChannelState::Refused => "refused",
            ChannelState::Told => "told",
            ChannelState::GaveUp => "gave up",
        };
        let count = log.attempt_count;
        text.push_str(&format!("\n  {state:<12} {}, attempts: {count}", escape(&log.channel, 200)));
        let result = log.attempts.last().map(|attempt| attempt.result.as_str());
        if let Some(result) = result.filter(|result| *result != state) {
            text.push_str(&format!(", the last one: {}", escape(result, SHOWN)));
        }
    }
    text.push_str(&match delivery.claim_source {
        Some(source) => format!("\nclaim: from {source}"),
        None => "\nclaim: none".to_owned(),
    });
    text
}

/// The outcome of the identity phase, for the log and for `status`.
pub(crate) fn render_outcome(outcome: &Outcome) -> String {
    let identity = &outcome.identity;
    let elapsed = outcome.timings_ms.get("identity").copied().unwrap_or_default();
    let mut text = match &outcome.failure {
        Some(failure) => format!("identity: FAILED: {}", escape(&failure.message, SHOWN)),
        None => format!(
            "identity: {} ({}), {elapsed} ms",
            word(&identity.decision),
            escape(&identity.reason, SHOWN)
        ),
    };
    for key in &identity.ssh_host_keys {
        text.push_str(&format!("\n  {} {}", escape(&key.fingerprint, 80), escape(&key.kind, 80)));
    }
    if !identity.pending.is_empty() {
        text.push_str(&format!("\n  to be made later: {}", identity.pending.join(", ")));
    }
    if outcome.reboot {
        text.push_str("\n  this machine reboots now, once, to use its new machine-id");
    }
    for problem in &identity.problems {
        text.push_str(&format!("\n  problem: {}", escape(problem, SHOWN)));
    }
    text
}

/// Why `adopt --json` refused.
#[derive(Debug, Serialize)]
pub(crate) struct Refused<'a> {
    pub code: &'static str,
    pub message: &'a str,
}

pub(crate) fn render_adopted(adopted: &Adopted) -> String {
    let mut lines = vec![format!("adopted as it is, with {} host keys", adopted.ssh_host_keys.len())];
    for key in &adopted.ssh_host_keys {
        lines.push(format!("  {} {}", escape(&key.fingerprint, 80), escape(&key.kind, 80)));
    }
    if let Some(path) = &adopted.kept_aside {
        lines.push(format!("  the old stamp is kept in {path}"));
    }
    lines.extend(adopted.problems.iter().map(|problem| format!("  problem: {}", escape(problem, SHOWN))));
    lines.join("\n")
}

/// A wire enum by the name that it has on the wire.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
