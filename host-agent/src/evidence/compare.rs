//! The bring-up's report and the guest's evidence side by side. Pure: whoever holds both comes to the same result.
//!
//! | what | holds if |
//! |---|---|
//! | `system` | systemd says `running`, or the guest skips `system-running` |
//! | `failed-units` | there are none, or the guest skips `system-running` |
//! | `check ID` | it passes or is skipped, or is advisory; and what it saw (a link's target, a certificate) is the same as then |
//! | `machine-id`, `ssh-host-keys`, `hostname` | the same as then |
//! | `problem` | it was one then, too |
//! | `boot`, `agent` | always: they may change |

use std::collections::BTreeSet;

use firstlight_shared::check::{CheckResult, Severity, Verdict};
use firstlight_shared::text::escape;
use firstlight_shared::wire::{Evidence, Report};

use super::{Compared, Outcome};

const SYSTEM_RUNNING: &str = "system-running";
/// Characters of what was and what is.
const SHOWN: usize = 400;

/// Without a report of the bring-up everything is new.
pub fn compare(before: Option<&Report>, now: &Evidence) -> Vec<Compared> {
    let mut found = vec![system(before, now), failed_units(before, now)];
    for check in &now.report.checks {
        let was = before.and_then(|before| before.checks.iter().find(|was| was.id == check.id));
        found.push(one_check(was, check));
    }
    let Some(before) = before else { return found };
    let gone = |was: &&CheckResult| now.report.checks.iter().all(|check| check.id != was.id);
    found.extend(before.checks.iter().filter(gone).map(gone_check));
    let (was, is) = (&before.identity, &now.report.identity);
    let id = |report: &Report| report.identity.machine_id.derived.map(|id| id.to_string());
    found.push(equal("machine-id", id(before), id(&now.report)));
    found.push(equal("ssh-host-keys", Some(keys(before)), Some(keys(&now.report))));
    found.push(equal("hostname", Some(was.hostname.current.clone()), Some(is.hostname.current.clone())));
    let new = is.problems.iter().filter(|problem| !was.problems.contains(problem));
    found.extend(new.map(|problem| line("problem", Outcome::Worse, false, None, Some(problem.clone()))));
    found.extend(noted("boot", before.boot_id.clone(), now.report.boot_id.clone()));
    found.extend(noted("agent", Some(before.agent.version.clone()), Some(now.report.agent.version.clone())));
    found
}

fn line(what: &str, outcome: Outcome, holds: bool, was: Option<String>, is: Option<String>) -> Compared {
    // A guest's words.
    let shown = |text: Option<String>| text.map(|text| escape(&text, SHOWN));
    Compared { what: escape(what, 80), outcome, holds, was: shown(was), is: shown(is) }
}

fn equal(what: &str, was: Option<String>, is: Option<String>) -> Compared {
    let same = was == is;
    line(what, if same { Outcome::Same } else { Outcome::Differs }, same, was, is)
}

fn noted(what: &str, was: Option<String>, is: Option<String>) -> Option<Compared> {
    (was != is).then(|| line(what, Outcome::Noted, true, was, is))
}

fn verdict_of(report: &Report, id: &str) -> Option<Verdict> {
    report.checks.iter().find(|check| check.id == id).map(|check| check.verdict)
}

/// An image whose failed units may be skips the check that forbids them.
fn is_tolerant(now: &Evidence) -> bool {
    verdict_of(&now.report, SYSTEM_RUNNING) == Some(Verdict::Skip)
}

fn system(before: Option<&Report>, now: &Evidence) -> Compared {
    let ran = before.and_then(|before| verdict_of(before, SYSTEM_RUNNING)) == Some(Verdict::Pass);
    let was = ran.then(|| "running".to_owned());
    let is = now.system.state.clone().unwrap_or_else(|| "unknown: systemd could not be asked".to_owned());
    let (outcome, holds) = match (is == "running", ran) {
        (true, true) => (Outcome::Same, true),
        (true, false) => (if before.is_some() { Outcome::Better } else { Outcome::New }, true),
        (false, _) if is_tolerant(now) => (Outcome::Noted, true),
        (false, _) => (Outcome::Worse, false),
    };
    line("system", outcome, holds, was, Some(is))
}

fn failed_units(before: Option<&Report>, now: &Evidence) -> Compared {
    let ran = before.and_then(|before| verdict_of(before, SYSTEM_RUNNING)) == Some(Verdict::Pass);
    let was = ran.then(|| "0".to_owned());
    let Some(units) = &now.system.failed_units else {
        let is = "unknown: systemd could not be asked".to_owned();
        return line("failed-units", Outcome::Worse, false, was, Some(is));
    };
    let is = match units.len() {
        0 => "0".to_owned(),
        count => format!("{count}: {}", units.join(", ")),
    };
    let (outcome, holds) = match (units.is_empty(), ran) {
        (true, true) => (Outcome::Same, true),
        (true, false) => (if before.is_some() { Outcome::Better } else { Outcome::New }, true),
        (false, _) if is_tolerant(now) => (Outcome::Noted, true),
        (false, _) => (Outcome::Worse, false),
    };
    line("failed-units", outcome, holds, was, Some(is))
}

fn is_good(check: &CheckResult) -> bool {
    matches!(check.verdict, Verdict::Pass | Verdict::Skip)
}

fn one_check(was: Option<&CheckResult>, now: &CheckResult) -> Compared {
    let stands = !now.blocks_readiness();
    let (outcome, holds) = match was {
        None => (Outcome::New, stands),
        Some(was) => match (is_good(was), is_good(now)) {
            (true, false) => (Outcome::Worse, stands),
            (false, true) => (Outcome::Better, true),
            (_, good) => match (&was.seen, &now.seen) {
                // What can be compared and is another is another, although the check itself is content with both.
                (Some(then), seen) if Some(then) != seen.as_ref() && good => (Outcome::Differs, false),
                _ => (Outcome::Same, stands),
            },
        },
    };
    line(&format!("check {}", now.id), outcome, holds, was.map(told), Some(told(now)))
}

fn gone_check(was: &CheckResult) -> Compared {
    let mattered = was.severity == Severity::Required && is_good(was);
    line(&format!("check {}", was.id), Outcome::Gone, !mattered, Some(told(was)), None)
}

/// The verdict, and what it is about: what was seen, or why it does not pass.
fn told(check: &CheckResult) -> String {
    let verdict = check.verdict.as_str();
    match &check.seen {
        Some(seen) if is_good(check) => format!("{verdict}: {seen}"),
        _ if check.verdict == Verdict::Pass => verdict.to_owned(),
        _ => format!("{verdict}: {}", check.reason),
    }
}

fn keys(report: &Report) -> String {
    let keys = report.identity.ssh_host_keys.iter().map(|key| format!("{} {}", key.kind, key.fingerprint));
    keys.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}
