//! What a look at a golden says.

use serde::Serialize;

/// How bad it is. Only the last one makes a golden unfit by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Worth knowing.
    Note,
    /// A leak or a nuisance.
    Warning,
    /// Two guests impersonate each other, share a secret, or a clone does not work.
    Error,
}

impl Severity {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that a rule found. Texts may hold what the golden's maker chose: whoever shows them escapes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable, kebab-case: an item of the identity table, or a rule of `rules`.
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
    /// What it is, for people.
    pub(crate) item: String,
    /// In the golden, with a leading `/`; of a configuration its file and key.
    pub(crate) path: String,
    /// What breaks.
    pub(crate) danger: String,
    /// What to do, in the golden.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn new(rule: &'static str, severity: Severity, item: &str, path: impl Into<String>) -> Self {
        let (danger, fix) = (String::new(), String::new());
        Self { rule, severity, item: item.to_owned(), path: path.into(), danger, fix }
    }

    #[must_use]
    pub(crate) fn danger(self, danger: impl Into<String>) -> Self {
        Self { danger: danger.into(), ..self }
    }

    #[must_use]
    pub(crate) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..self }
    }
}

/// What the golden is to be a golden of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    /// A container of Proxmox VE.
    ProxmoxLxc,
    /// A container or machine of Incus.
    Incus,
    /// A guest of the local backend.
    Local,
    /// Only what holds everywhere.
    Any,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// As it was named.
    pub(crate) golden: String,
    /// What it turned out to be.
    pub(crate) shape: &'static str,
    pub(crate) target: Target,
    /// Entries that were looked at, and bytes that were passed over.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// The worst first.
    pub(crate) findings: Vec<Finding>,
    /// A part of it could not be looked at for want of a tool or a format: nothing is proven about that.
    pub(crate) incomplete: bool,
}

impl Report {
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether something is at least so bad.
    pub(crate) fn reaches(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= severity)
    }
}
