//! Where a value came from, and what is wrong with it.

use std::fmt;
use std::path::PathBuf;

use firstlight_shared::error::Code;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File {
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    Environment(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "${variable}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// Never holds a secret.
    pub message: String,
}

/// Why there are no settings: everything that is wrong, not only the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used:{}", listed(.problems))]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl Code for ConfigError {
    fn code(&self) -> &'static str {
        "config"
    }
}

impl ConfigError {
    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        "mend the places named; `firstlight config check` tries it again and changes nothing"
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {}: {}", problem.origin, problem.message)).collect()
}
