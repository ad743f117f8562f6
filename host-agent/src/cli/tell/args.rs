//! What may be typed of the commands that tell of guests at length, and of the manual.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::args::{Output, Page};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TellCommand {
    /// Show a guest's report as a page: how it is trusted, where its time went, its identity, keys, checks and network.
    #[command(
        after_help = "Examples:\n  firstlight report web-01\n  firstlight report web-01 --html web-01.html"
    )]
    Report(ReportArguments),
    /// Show what took how long in a bring-up, host and guest, longest first.
    #[command(after_help = "Example:\n  firstlight blame web-01")]
    Blame {
        /// The guest's name, or a job id.
        #[arg(value_name = "JOB|GUEST")]
        guest: String,
        #[command(flatten)]
        output: Output,
    },
    /// List identities that two guests told, ever, with what to do: MACs, addresses, machine-ids, host names, host keys, claims.
    ///
    /// Host keys and machine-ids are remembered when a guest is gone; the others are free again then. Ends with 1 if guests that
    /// are there now share something, with 0 if none do.
    #[command(after_help = "Example:\n  firstlight duplicates")]
    Duplicates {
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        output: Output,
    },
    /// Print the manual page of this program, or write the pages of all its commands.
    #[command(after_help = "Examples:\n  firstlight man\n  firstlight man --dir /usr/local/share/man/man1")]
    Man {
        /// Write a page for each command into this folder.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArguments {
    /// The guest's name, or a job id.
    #[arg(value_name = "JOB|GUEST")]
    pub(super) guest: String,
    /// Write the page into this file, as HTML that needs nothing else; `-` is standard output.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub(super) html: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}
