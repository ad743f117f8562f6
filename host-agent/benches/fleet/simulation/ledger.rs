//! The ledger, from outside: what the companions export and count, beside the plan, beside what guests were answered, and
//! beside the hypervisor's own journal. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::plan::Plan;
use crate::hypervisor::world::{Entry, Machine, Outcome, Verb};

/// What an export says of one job.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    job: String,
    guest: String,
    state: String,
    failure: Option<String>,
    report: Option<String>,
    /// What does not fit within the journal itself.
    odd: Vec<String>,
    /// From the request until the guest was ready; none: it never was.
    pub(crate) ready: Option<Duration>,
}

impl Line {
    /// From a line of `firstlight store export`.
    pub(crate) fn of(exported: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let events = exported["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            job: text(&exported["job"]),
            guest: text(&exported["guest"]),
            state: text(&exported["state"]),
            failure: exported["failure"]["code"].as_str().map(str::to_owned),
            report: exported["report"]["sha256"].as_str().map(str::to_owned),
            odd: odd(events),
            ready: ready(exported["created_at_ms"].as_u64().unwrap_or_default(), events),
        }
    }

    pub(crate) fn state(&self) -> &str {
        &self.state
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == "done"
    }
}

/// How long after its creation the last step was done.
fn ready(created_ms: u64, events: &[Value]) -> Option<Duration> {
    let is_last = |event: &Value| event["kind"] == "step-succeeded" && event["step"] == "finish";
    let last = events.iter().find(|recorded| is_last(&recorded["event"]))?;
    Some(Duration::from_millis(last["at_ms"].as_u64()?.saturating_sub(created_ms)))
}

/// Numbers without gaps, one beginning, and no step that succeeded twice.
fn odd(events: &[Value]) -> Vec<String> {
    let mut odd = Vec::new();
    let mut succeeded = BTreeSet::new();
    for (place, recorded) in events.iter().enumerate() {
        if recorded["seq"].as_u64() != u64::try_from(place).ok() {
            odd.push(format!("event {place} has the number {}", recorded["seq"]));
        }
        let event = &recorded["event"];
        if (event["kind"] == "created") != (place == 0) {
            odd.push(format!("event {place} is {}", event["kind"]));
        }
        if event["kind"] == "step-succeeded" && !succeeded.insert(event["step"].to_string()) {
            odd.push(format!("step {} succeeded twice", event["step"]));
        }
    }
    odd
}

/// Everything that is known after a run.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    pub(crate) plan: Plan,
    pub(crate) guests: usize,
    pub(crate) lines: &'a [Line],
    /// As the companions count them.
    pub(crate) counts: &'a Value,
    /// The digests of reports that were acknowledged, by guest.
    pub(crate) digests: &'a BTreeMap<String, String>,
    pub(crate) machines: &'a [Machine],
    pub(crate) journal: &'a [Entry],
}

impl Ledger<'_> {
    /// What does not add up; empty: every guest is accounted for, once.
    pub(crate) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut seen: BTreeMap<usize, &Line> = BTreeMap::new();
        for line in self.lines {
            let Some(number) = self.plan.number(&line.guest).filter(|number| *number < self.guests) else {
                findings.push(format!("job {}: nobody asked for {}", line.job, line.guest));
                continue;
            };
            if let Some(other) = seen.insert(number, line) {
                findings.push(format!("{} has two jobs: {} and {}", line.guest, other.job, line.job));
            }
            findings.extend(self.of_line(number, line));
        }
        let lost = (0..self.guests).filter(|number| !seen.contains_key(number));
        findings.extend(lost.map(|number| format!("{} is lost", self.plan.name(number))));
        findings.extend(self.of_counts());
        findings.extend(self.of_hypervisor(&seen));
        findings
    }

    fn of_line(&self, number: usize, line: &Line) -> Vec<String> {
        let role = self.plan.role(number);
        let mut findings: Vec<String> =
            line.odd.iter().map(|odd| format!("{} ({}): {odd}", line.guest, line.job)).collect();
        let (state, failure) = self.plan.end(number);
        if (line.state.as_str(), line.failure.as_deref()) != (state, failure) {
            findings.push(format!(
                "{} ({role:?}) is {} for {:?}, not {state} for {failure:?}",
                line.guest, line.state, line.failure
            ));
        }
        if line.ready.is_some() != role.failure().is_none() {
            findings.push(format!("{} ({role:?}) was ready after {:?}", line.guest, line.ready));
        }
        let acknowledged = self.digests.get(&line.guest);
        if acknowledged != line.report.as_ref() || acknowledged.is_some() != role.is_acknowledged() {
            findings.push(format!(
                "{} ({role:?}): {:?} is kept, {acknowledged:?} was acknowledged",
                line.guest, line.report
            ));
        }
        findings
    }

    /// The export has finished jobs only.
    fn of_counts(&self) -> Option<String> {
        let counted = self.counts["jobs"].as_object()?;
        let (mut open, mut all) = (0, 0);
        for (state, count) in counted {
            let count = count.as_u64().unwrap_or_default();
            all += count;
            if !["done", "rolled-back"].contains(&state.as_str()) {
                open += count;
            }
        }
        let wanted = u64::try_from(self.guests).unwrap_or(u64::MAX);
        (open != 0 || all != wanted)
            .then(|| format!("{wanted} guests, and the companions count {}", self.counts))
    }

    fn of_hypervisor(&self, seen: &BTreeMap<usize, &Line>) -> Vec<String> {
        let mut findings = Vec::new();
        let mut done: BTreeMap<(&str, Verb), usize> = BTreeMap::new();
        for entry in self.journal.iter().filter(|entry| entry.outcome == Outcome::Done) {
            *done.entry((&entry.job, entry.verb)).or_default() += 1;
        }
        let there: BTreeSet<&str> = self.machines.iter().map(|machine| machine.job.as_str()).collect();
        for line in seen.values() {
            let times = |verb| done.get(&(line.job.as_str(), verb)).copied().unwrap_or_default();
            let (made, started, removed) = (times(Verb::Make), times(Verb::Start), times(Verb::Remove));
            if (made, started) != (1, 1) {
                findings.push(format!("{} was made {made} times, started {started} times", line.guest));
            }
            if there.contains(line.job.as_str()) != line.is_done() || removed != usize::from(!line.is_done())
            {
                findings.push(format!("{} is {}, and was removed {removed} times", line.guest, line.state));
            }
        }
        let jobs: BTreeSet<&str> = seen.values().map(|line| line.job.as_str()).collect();
        let strangers = self.machines.iter().filter(|machine| !jobs.contains(machine.job.as_str()));
        findings.extend(strangers.map(|machine| format!("{} is there for no job", machine.guest)));
        findings
    }
}

#[cfg(test)]
#[allow(dead_code, reason = "a benchmark runs no tests")]
mod tests;
