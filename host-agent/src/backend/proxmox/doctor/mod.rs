//! Whether this token on this cluster can do what is asked: what there is (`facts`), what is needed (`needs`), and what
//! follows (`findings`). Changes nothing anywhere.
//!
//! What could not be checked is never well: a finding says so and why.

mod facts;
mod findings;
mod grants;
mod needs;
mod storages;

use serde::Serialize;

use self::facts::Collector;
use self::findings::judge;
use self::needs::asks;
use super::client::SettingsError;
use super::settings::ProxmoxConfig;
use crate::backend::GuestPlan;

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
    /// What was looked at: `version`, `/vms`, `storage local on pve1`.
    pub what: String,
    pub why: String,
    /// What to do: commands for a node's shell as root, and sentences.
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

    fn say(&mut self, state: State, what: impl Into<String>, why: impl Into<String>) -> &mut Finding {
        self.findings.push(Finding { state, what: what.into(), why: why.into(), fix: Vec::new() });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }
}

impl Finding {
    fn with_fix(&mut self, lines: impl IntoIterator<Item = impl Into<String>>) {
        self.fix.extend(lines.into_iter().map(Into::into));
    }
}

/// Looks at everything, for these guests, or for containers (and machines, if it may) with the configuration's defaults.
/// `progress` hears what is looked at next.
///
/// # Errors
/// The settings cannot be used; whatever the cluster says is a finding.
pub async fn examine(
    config: &ProxmoxConfig,
    plans: Option<&[GuestPlan]>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Findings, SettingsError> {
    let asks = asks(plans, &config.defaults);
    let facts = Collector::new(config, progress)?.collect(asks, plans.unwrap_or_default()).await;
    Ok(judge(&facts))
}
