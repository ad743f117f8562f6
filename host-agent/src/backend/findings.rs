//! What came of an examination of a hypervisor.
//!
//! What could not be checked is never well: a finding says so and why.

use serde::Serialize;

use crate::outcome::Fault;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// It works; something about it will not always, or is not as good as it could be.
    Warn,
    /// It could not be checked.
    Unknown,
    Fail,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub state: State,
    /// What was looked at: `version`, `/vms`, `storage local on pve1`, `project lab`.
    pub what: String,
    pub why: String,
    /// What to do: commands for the hypervisor's own shell, and sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
}

/// Everything that was looked at, in the order in which it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    pub findings: Vec<Finding>,
}

impl Findings {
    /// The worst; without any finding nothing was checked.
    pub fn worst(&self) -> State {
        self.findings.iter().map(|finding| finding.state).max().unwrap_or(State::Unknown)
    }

    /// Nothing is missing; warnings do not count.
    pub fn are_well(&self) -> bool {
        self.worst() <= State::Warn
    }

    pub(crate) fn say(
        &mut self,
        state: State,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> &mut Finding {
        self.findings.push(Finding { state, what: what.into(), why: why.into(), fix: Vec::new() });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// Guests of a spec, and what `up` would say to each.
    pub(crate) fn say_preflights(&mut self, ends: &[(String, Result<(), Fault>)]) {
        let well: Vec<&str> =
            ends.iter().filter(|(_, end)| end.is_ok()).map(|(guest, _)| guest.as_str()).collect();
        if !well.is_empty() {
            self.say(State::Ok, "preflight", well.join(", "));
        }
        for (guest, end) in ends {
            let Err(fault) = end else { continue };
            let state = if NO_ANSWER.contains(&&*fault.code) { State::Unknown } else { State::Fail };
            self.say(state, format!("preflight of {guest}"), &fault.message).with_fix(fault.hint.clone());
        }
    }
}

impl Finding {
    pub(crate) fn with_fix(&mut self, lines: impl IntoIterator<Item = impl Into<String>>) {
        self.fix.extend(lines.into_iter().map(Into::into));
    }
}

/// Words of faults that say nothing of the guest, but that the question had no answer.
const NO_ANSWER: [&str; 9] = [
    "incus-no-answer",
    "incus-not-ready",
    "incus-server-error",
    "incus-unreachable",
    "incus-unreadable",
    "proxmox-no-answer",
    "proxmox-server-error",
    "proxmox-unreachable",
    "proxmox-unreadable",
];

/// Clocks that are further apart than this many seconds make trouble for certificates and for reading logs.
pub(crate) const APART_S: u64 = 5;

/// `1 warning`, `2 warnings`
pub(crate) fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!((counted(1, "thing").as_str(), counted(0, "thing").as_str()), ("1 thing", "0 things"));
    }

    #[test]
    fn what_was_not_checked_is_not_well() {
        let of = |states: &[State]| {
            let mut findings = Findings::default();
            for state in states {
                findings.say(*state, "x", "y");
            }
            (findings.worst(), findings.are_well())
        };
        assert_eq!(of(&[]), (State::Unknown, false));
        assert_eq!(of(&[State::Ok, State::Warn]), (State::Warn, true));
        assert_eq!(of(&[State::Unknown, State::Warn]), (State::Unknown, false));
        assert_eq!(of(&[State::Fail, State::Unknown]), (State::Fail, false));
    }
}
