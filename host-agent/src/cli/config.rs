//! The configuration as the command line sees it, and `firstlight config check`, which shows where each value came from.

use clap::Subcommand;
use firstlight_shared::text::escape;

use super::args::{Output, PlaceArguments};
use super::failure::{Exit, Failure};
use super::live::say;
use super::{print, render};
use crate::config::{ConfigError, Settings, Sources, check, load};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every value that counts and where it came from; secrets are named by their file only.
    #[command(after_help = "Example:\n  firstlight config check --config /etc/firstlight/firstlight.toml")]
    Check {
        #[command(flatten)]
        output: Output,
    },
}

impl PlaceArguments {
    /// Where the configuration comes from, with what was typed.
    pub(super) fn sources(&self) -> Sources {
        let state =
            self.state.as_ref().map(|state| std::path::absolute(state).unwrap_or_else(|_| state.clone()));
        Sources::of_machine(self.config.as_deref()).flag(
            "--state",
            "state",
            state.map(|state| state.display().to_string()),
        )
    }

    /// All that a command needs to ask the companion; what is wrong elsewhere in the configuration is only told.
    pub(super) fn socket(&self) -> Result<std::path::PathBuf, Failure> {
        let (socket, wrong) = crate::config::socket(&self.sources())?;
        if let Some(error) = wrong {
            for line in format!("warning: {error}").lines() {
                say(&escape(line, 2000));
            }
        }
        Ok(socket)
    }

    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        Ok(load(&self.sources())?.settings)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Environment, error.to_string()).hint(error.hint())
    }
}

pub(super) fn run(place: &PlaceArguments, command: &ConfigCommand) -> Result<Exit, Failure> {
    let ConfigCommand::Check { output } = command;
    let sources = place.sources();
    let rows = check(&sources)?;
    for variable in sources.unknown_variables() {
        say(&format!("warning: ${} sets nothing: there is no such key", escape(variable, 100)));
    }
    if output.json {
        return print(&render::json(&rows));
    }
    let row = |row: &crate::config::Row| {
        [&row.key, &row.value, &row.origin].map(|text| render::safe(text)).to_vec()
    };
    print(&render::table(&["KEY", "VALUE", "FROM"], rows.iter().map(row)))
}
