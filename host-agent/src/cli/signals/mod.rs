//! What other programs are told: `webhooks`, `inventory`.

mod inventory;
mod webhooks;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Session;
use super::args::Output;
use super::failure::{Exit, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum SignalCommand {
    /// List webhooks and their newest messages; test one, or send again what was not taken.
    #[command(
        after_help = "Examples:\n  firstlight webhooks\n  firstlight webhooks --test ci\n  firstlight webhooks --retry ci\n\nWith --test, ends with 0 if the receiver took the message, with 1 if it did not."
    )]
    Webhooks(WebhookArguments),
    /// Print ready guests as an inventory for Ansible, with their verified host keys.
    ///
    /// For a script beside the playbooks that calls it: `packaging/ansible/firstlight-inventory`. Only guests whose report
    /// was verified are in it.
    #[command(
        after_help = "Examples:\n  firstlight inventory --list\n  firstlight inventory --host web-01\n  firstlight inventory --known-hosts ~/.ssh/known_hosts.firstlight"
    )]
    Inventory(InventoryArguments),
}

#[derive(Debug, Args)]
pub(super) struct InventoryArguments {
    /// All of it; so it is if nothing is said.
    #[arg(long)]
    list: bool,
    /// Only the variables of this guest.
    #[arg(long, value_name = "NAME", conflicts_with = "list")]
    host: Option<String>,
    /// Write verified known_hosts lines to this file, which holds nothing else, and have Ansible's ssh obey it alone.
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct WebhookArguments {
    /// Send a test message to this webhook, and say whether it was taken.
    #[arg(long, value_name = "NAME", conflicts_with = "retry")]
    pub(super) test: Option<String>,
    /// Send now what waits for this webhook, and what was given up.
    #[arg(long, value_name = "NAME")]
    pub(super) retry: Option<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

impl SignalCommand {
    /// Only a companion that works sends anything.
    pub(super) fn needs_companion(&self) -> bool {
        matches!(self, Self::Webhooks(arguments) if arguments.test.is_some())
    }
}

pub(super) async fn run(session: &Session, command: SignalCommand) -> Result<Exit, Failure> {
    match command {
        SignalCommand::Webhooks(arguments) => webhooks::run(session, &arguments).await,
        SignalCommand::Inventory(arguments) => inventory::run(session, &arguments).await,
    }
}
