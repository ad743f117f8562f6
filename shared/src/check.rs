//! The vocabulary of readiness.

use serde::{Deserialize, Serialize};

/// What one readiness check found. "Could not check" is [`Verdict::Unknown`], never a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Fail,
    Skip,
    Unknown,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether a check that does not pass keeps the guest from being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Required,
    Advisory,
}

/// The outcome of one readiness check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Kebab-case name, unique in a report.
    pub id: String,
    pub severity: Severity,
    pub verdict: Verdict,
    /// One line for people: what was seen.
    pub reason: String,
    /// Milliseconds from the first try to the verdict.
    pub elapsed_ms: u64,
    /// What was seen, where two reports of one guest can be compared by it: a link's target, `sha256:` and the digest of a
    /// served certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

impl CheckResult {
    /// A required check that neither passed nor was skipped.
    pub fn blocks_readiness(&self) -> bool {
        self.severity == Severity::Required && !matches!(self.verdict, Verdict::Pass | Verdict::Skip)
    }
}
