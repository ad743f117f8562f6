//! A report in short, as the store keeps it.

use clap::ValueEnum as _;

use super::finding::{Report, Severity, Target};
use crate::outcome::Fault;
use crate::store::{LintFinding, LintLook};

/// Findings that are kept.
const FINDINGS: usize = 50;

impl Target {
    pub(crate) fn as_str(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Report {
    pub(crate) fn in_short(&self) -> LintLook {
        let count = |severity| u64::try_from(self.count(severity)).unwrap_or(u64::MAX);
        let kept = self.findings.iter().take(FINDINGS).map(|finding| LintFinding {
            severity: finding.severity.as_str().to_owned(),
            rule: finding.rule.to_owned(),
            path: finding.path.clone(),
        });
        LintLook {
            path: self.golden.clone(),
            shape: self.shape.to_owned(),
            target: self.target.as_str(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            incomplete: self.incomplete,
            refused: None,
            findings: kept.collect(),
        }
    }
}

/// Of one that could not be read.
pub(crate) fn refused(path: &str, target: Target, fault: &Fault) -> LintLook {
    LintLook {
        path: path.to_owned(),
        shape: String::new(),
        target: target.as_str(),
        errors: 0,
        warnings: 0,
        notes: 0,
        incomplete: true,
        refused: Some(fault.message.clone()),
        findings: Vec::new(),
    }
}
