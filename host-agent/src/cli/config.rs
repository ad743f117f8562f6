//! `firstlight config check`: the merged configuration, and where each value came from.

use std::path::PathBuf;

use clap::Subcommand;

use super::args::Output;
use super::failure::{Exit, Failure};
use super::{print, render};
use crate::config::{Sources, check};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every value that counts and where it came from; secrets are named by their file only.
    #[command(after_help = "Example:\n  firstlight config check --config /etc/firstlight/firstlight.toml")]
    Check {
        /// Read this file (and its .d folder) instead of /etc/firstlight/firstlight.toml.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
}

pub(super) fn run(command: &ConfigCommand) -> Result<Exit, Failure> {
    let ConfigCommand::Check { config, output } = command;
    let rows = check(&Sources::of_machine(config.as_deref()))
        .map_err(|error| Failure::new(Exit::Environment, error.to_string()).hint(error.hint()))?;
    if output.json {
        return print(&render::json(&rows));
    }
    let row = |row: &crate::config::Row| {
        [&row.key, &row.value, &row.origin].map(|text| render::safe(text)).to_vec()
    };
    print(&render::table(&["KEY", "VALUE", "FROM"], rows.iter().map(row)))
}
