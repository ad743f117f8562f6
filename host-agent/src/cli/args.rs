//! What may be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Brings clones of a golden image to life exactly once, and proves it.
#[derive(Debug, Parser)]
#[command(name = "firstlight", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(super) struct Arguments {
    /// Folder that holds the store, the keys and local guests; one companion works on it at a time.
    #[arg(
        long,
        global = true,
        env = "FIRSTLIGHT_STATE",
        default_value = "/var/lib/firstlight-host",
        value_name = "DIR"
    )]
    pub(super) state: PathBuf,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  a guest did not become ready (it was rolled back, unless its spec says keep)
  2  wrong usage
  3  bad spec or bad golden image, or a guest's name that is taken
  4  the machine lacks something: rights, a tool, a free port, a free state folder
  5  no companion answers, or there is no such job or guest
  6  an operator is needed: `firstlight show` names what is left and the commands to run
  130  interrupted by Ctrl-C";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the companion: take reports, run jobs, answer the other commands.
    Serve(ServeArguments),
    /// Bring up the guests of a spec and follow until each is ready or has failed.
    Up(UpArguments),
    /// List all jobs.
    Jobs {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one job: its steps, its report, and what went wrong.
    Show {
        /// Job id, or a guest's name for its newest job.
        #[arg(value_name = "JOB|GUEST")]
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the reports that were taken and those that were refused.
    Reports {
        /// Only of this guest.
        guest: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print verified known_hosts lines of ready guests.
    KnownHosts {
        /// Only of these guests; all if none is named.
        guests: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove guests with everything that was made for them.
    Destroy {
        /// Names of the guests.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        guests: Vec<String>,
        /// Every guest of this companion.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Where reports are taken. Local guests use the same port inside their own network.
    #[arg(long, env = "FIRSTLIGHT_LISTEN", default_value = "0.0.0.0:7443", value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(super) listen: SocketAddr,
}

/// Guests are told the port before they start, so it cannot be left to the kernel.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "an IP address and a port are wanted, `0.0.0.0:7443` for one".to_owned())?;
    if address.port() == 0 { Err("port 0 is none".to_owned()) } else { Ok(address) }
}

#[derive(Debug, Args)]
pub(super) struct UpArguments {
    /// The spec, in TOML.
    pub(super) spec: PathBuf,
    /// Print one JSON document when all jobs have ended.
    #[arg(long)]
    pub(super) json: bool,
    /// Return as soon as the jobs are recorded; needs a running companion.
    #[arg(long)]
    pub(super) detach: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_that_readme_shows_exist() {
        let readme = include_str!("../../../README.md");
        let mut found = 0;
        for line in readme.lines().filter(|line| line.starts_with("firstlight ")) {
            let words = line.split(['#', '&', '>']).next().unwrap_or_default().split_whitespace();
            Arguments::try_parse_from(words)
                .unwrap_or_else(|error| panic!("README says `{line}`, but: {error}"));
            found += 1;
        }
        assert!(found >= 5, "README shows only {found} commands");
    }

    #[test]
    fn the_arguments_are_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
