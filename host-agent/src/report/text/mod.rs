//! The report page in a terminal: a pure function of the page, the width and whether there is colour.

mod blame;
mod duplicates;
mod paper;
mod timeline;

pub use blame::blame;
pub use duplicates::duplicates;
pub use paper::Look;

use super::page::{GuestReport, Head, HostKeyCard, IdentitySection};
use super::words::{age, counted, took};
use crate::clock::utc;
use crate::job::Phase;
use paper::{Ink, Paper};

/// Randomart stands beside each other where there is room for two.
const ART_WIDTH: usize = 19;

/// The whole page.
pub fn page(report: &GuestReport, look: Look) -> String {
    let mut paper = Paper::new(look);
    head(&mut paper, report);
    timeline::timeline(&mut paper, &report.timeline);
    if let Some(identity) = &report.identity {
        section_identity(&mut paper, identity);
    }
    host_keys(&mut paper, &report.host_keys);
    checks(&mut paper, report);
    network(&mut paper, report);
    if !report.facts.is_empty() {
        paper.heading("Facts", "the guest's word; nothing is decided on them");
        for fact in &report.facts {
            paper.fact(&fact.name, Ink::Plain, &fact.value);
        }
    }
    rest(&mut paper, report);
    paper.text()
}

fn ink_of(state: Phase) -> Ink {
    match state {
        Phase::Done => Ink::Good,
        Phase::NeedsOperator | Phase::RolledBack => Ink::Bad,
        Phase::Queued | Phase::Running | Phase::Waiting | Phase::Unwinding => Ink::Busy,
        Phase::Abandoned => Ink::Dim,
    }
}

fn head(paper: &mut Paper, report: &GuestReport) {
    let head = &report.head;
    let ready = head.ready_after_ms.filter(|_| head.state == Phase::Done);
    let state = ready.map_or(head.state_in_words.clone(), |after| format!("ready in {}", took(after)));
    let trust = head.trust.as_ref().map_or("nothing has come from it", |trust| trust.level.as_str());
    paper.title(&[
        (Ink::Strong, &head.guest),
        (ink_of(head.state), &state),
        (if head.trust.as_ref().is_some_and(|trust| trust.suffices) { Ink::Good } else { Ink::Warn }, trust),
    ]);
    for (label, ink, value) in facts(head, report.made_at_ms) {
        paper.fact(label, ink, &value);
    }
}

/// Only what there is.
fn facts(head: &Head, now_ms: u64) -> Vec<(&'static str, Ink, String)> {
    let mut facts = Vec::new();
    let mut add = |label, ink, value: Option<String>| {
        facts.extend(value.filter(|value| !value.is_empty()).map(|value| (label, ink, value)));
    };
    if let Some(trust) = &head.trust {
        let ink = if trust.suffices { Ink::Good } else { Ink::Warn };
        add("trust", ink, Some(format!("{}: {}", trust.level, trust.why)));
        add("", Ink::Dim, Some(format!("{} means: {}", trust.level, trust.means)));
    }
    for unproven in &head.unproven {
        add("not proven", Ink::Warn, Some(unproven.clone()));
    }
    if let Some(failure) = &head.failure {
        add("failure", Ink::Bad, Some(format!("{} ({})", failure.message, failure.code)));
        add("hint", Ink::Plain, failure.hint.clone());
    }
    if let Some(trouble) = &head.trouble {
        add("trouble", Ink::Warn, Some(format!("{} ({})", trouble.message, trouble.code)));
        add("hint", Ink::Plain, trouble.hint.clone());
    }
    for command in &head.to_do {
        add("to do", Ink::Strong, Some(command.clone()));
    }
    let made_by = if head.adopted { " (made by somebody else, and only waited for)" } else { "" };
    add("backend", Ink::Plain, Some(format!("{}{made_by}", head.backend)));
    add("golden", Ink::Plain, head.golden.clone());
    add("MAC", Ink::Plain, head.mac.clone());
    add("address", Ink::Plain, Some(head.addresses.join(", ")));
    add("log in", Ink::Plain, head.log_in.clone());
    add("job", Ink::Plain, Some(head.job.clone()));
    add("asked", Ink::Plain, Some(asked(head)));
    if let (Some(at), Some(old)) = (head.report_at_ms, head.report_age_ms) {
        let says = head.guest_says.as_deref().unwrap_or("?");
        add("report", Ink::Plain, Some(format!("{}, {} ago; the guest says {says}", utc(at), age(old))));
        add("agent", Ink::Plain, head.agent.clone());
    }
    if let Some(due) = head.due_at_ms {
        let left = age(due.saturating_sub(now_ms));
        add("lives until", Ink::Warn, Some(format!("{}: {left} more, unless somebody keeps it", utc(due))));
    }
    if head.ephemeral {
        add("ephemeral", Ink::Warn, Some("gone once it stops".to_owned()));
    }
    for line in &head.console {
        add("console", Ink::Dim, Some(line.clone()));
    }
    facts
}

fn asked(head: &Head) -> String {
    let by = if head.by.is_empty() { String::new() } else { format!(" by {}", head.by) };
    format!("{}{by}", utc(head.created_at_ms))
}

fn section_identity(paper: &mut Paper, identity: &IdentitySection) {
    paper.heading("Identity", &format!("{}: {}", identity.decision, identity.reason));
    for line in &identity.lines {
        let (mark, ink) = if line.ok { ("ok", Ink::Good) } else { ("bad", Ink::Bad) };
        let change = match (line.before.as_str(), line.after.as_str()) {
            ("", "") => String::new(),
            ("", after) => format!(" {after}"),
            (before, "") => format!(" {before}"),
            (before, after) => format!(" {before} -> {after}"),
        };
        paper.item(mark, ink, &format!("{}:{change} ({})", line.item, line.how));
    }
    for pending in &identity.pending {
        paper.item("wait", Ink::Busy, &format!("{pending}: not made so far"));
    }
    for problem in &identity.problems {
        paper.item("bad", Ink::Bad, problem);
    }
    if identity.reboot_required {
        paper.item("wait", Ink::Warn, "a reboot is needed until all of the system uses the new machine-id");
    }
}

fn host_keys(paper: &mut Paper, keys: &[HostKeyCard]) {
    if keys.is_empty() {
        return;
    }
    paper.heading("Host keys", "compare with what ssh shows at the first login");
    for key in keys {
        let bits = key.bits.map(|bits| format!("{bits} ")).unwrap_or_default();
        let (mark, ink) = if key.contradicts { ("bad", Ink::Bad) } else { ("key", Ink::Good) };
        let lie = if key.contradicts { "; the report names another fingerprint for it" } else { "" };
        paper.item(mark, ink, &format!("{bits}{} ({}){lie}", key.fingerprint, key.family));
    }
    let together = (paper.width().saturating_sub(2) / (ART_WIDTH + 2)).max(1);
    let drawn: Vec<&HostKeyCard> = keys.iter().filter(|key| !key.randomart.is_empty()).collect();
    for row in drawn.chunks(together) {
        for line in 0..row[0].randomart.len() {
            let parts: Vec<&str> =
                row.iter().filter_map(|key| key.randomart.get(line).map(String::as_str)).collect();
            paper.verbatim(&parts.join("  "));
        }
    }
}

fn checks(paper: &mut Paper, report: &GuestReport) {
    if report.checks.is_empty() {
        return;
    }
    let counts = &report.check_counts;
    let summary = counted(&[
        (counts.passed, "pass"),
        (counts.failed, "fail"),
        (counts.unknown, "unknown"),
        (counts.skipped, "skip"),
    ]);
    paper.heading("Checks", &summary);
    for check in &report.checks {
        let ink = match (check.blocks, check.verdict.as_str()) {
            (true, _) => Ink::Bad,
            (false, "pass") => Ink::Good,
            (false, "skip") => Ink::Dim,
            (false, _) => Ink::Warn,
        };
        let blocks = if check.blocks { ", keeps it from being ready" } else { "" };
        let told =
            format!("{} ({}{blocks}, {}): {}", check.id, check.severity, took(check.took_ms), check.reason);
        paper.item(&check.verdict, ink, &told);
    }
}

fn network(paper: &mut Paper, report: &GuestReport) {
    if report.network.is_empty() {
        return;
    }
    paper.heading("Network", "");
    for interface in &report.network {
        let (mark, ink) = if interface.up { ("up", Ink::Good) } else { ("down", Ink::Dim) };
        let mac = interface.mac.as_deref().map(|mac| format!(" {mac}")).unwrap_or_default();
        paper.item(mark, ink, &format!("{}{mac} {}", interface.name, interface.addresses.join(" ")));
    }
}

fn rest(paper: &mut Paper, report: &GuestReport) {
    if !report.secrets.is_empty() {
        paper.heading("Secrets", "");
        for secret in &report.secrets {
            let (mark, ink) = match secret.confirmed {
                Some(true) => ("ok", Ink::Good),
                Some(false) => ("bad", Ink::Bad),
                None => ("?", Ink::Warn),
            };
            let told = format!("{} {} {} {}", secret.path, secret.mode, secret.owner, secret.sha256_prefix);
            paper.item(mark, ink, &told);
        }
    }
    if !report.refusals.is_empty() {
        paper.heading("Refused reports", "newest first");
        for refusal in &report.refusals {
            let told = format!("{} from {}: {}", utc(refusal.at_ms), refusal.from, refusal.message);
            paper.item("no", Ink::Warn, &format!("{told} ({})", refusal.code));
        }
    }
    if !report.evidence.is_empty() {
        paper.heading("Verified anew", "newest first");
        for evidence in &report.evidence {
            let (mark, ink) = if evidence.holds { ("holds", Ink::Good) } else { ("not", Ink::Bad) };
            paper.item(mark, ink, &format!("{} by {}", utc(evidence.at_ms), evidence.by));
        }
    }
    if !report.history.is_empty() {
        paper.heading("Earlier guests of this name", "newest first");
        for line in &report.history {
            let told = format!(
                "{} {}, {} (job {})",
                utc(line.received_at_ms),
                line.guest_says,
                line.trust,
                line.job
            );
            if line.shares.is_empty() {
                paper.item("-", Ink::Dim, &told);
            } else {
                paper.item("same", Ink::Bad, &format!("{told}; shares {}", line.shares.join(", ")));
            }
        }
    }
    for left_out in &report.left_out {
        paper.note(&format!("not shown: {left_out}"));
    }
}

#[cfg(test)]
mod tests;
