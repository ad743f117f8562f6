//! What may be typed of the commands that make others trust guests' keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::args::Output;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SshCommand {
    /// Print verified known_hosts lines of ready guests, or keep them current in a file.
    ///
    /// A file that is followed has a block of these lines, between marks; whatever else stands there is left alone. It goes on
    /// until Ctrl-C, also over a restart of the companion.
    #[command(
        after_help = "Examples:\n  firstlight known-hosts web-01\n  firstlight known-hosts --hash --follow ~/.ssh/known_hosts\n  firstlight known-hosts --authority >> ~/.ssh/known_hosts"
    )]
    KnownHosts(KnownHostsArguments),
    /// Look after the host CA, whose certificates make ssh trust guests by one line.
    #[command(subcommand)]
    Ca(super::ca::CaCommand),
    /// Print SSHFP records (DNS) of ready guests' verified host keys.
    #[command(after_help = "Example:\n  firstlight sshfp --zone lab.example >> lab.example.zone")]
    Sshfp(SshfpArguments),
    /// Write the list of revoked keys: those of guests that are gone. For ssh's `RevokedHostKeys`.
    #[command(after_help = "Example:\n  firstlight krl --out /etc/ssh/revoked_hosts")]
    Krl(KrlArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KnownHostsArguments {
    /// Only of these guests; all if none is named.
    pub(super) guests: Vec<String>,
    /// Hash names and addresses, as `ssh-keygen -H` does: the file does not tell which hosts there are.
    #[arg(long, conflicts_with = "json")]
    pub(super) hash: bool,
    /// The port of the guests' sshd: other ports than 22 are written `[name]:port`.
    #[arg(long, value_name = "PORT", conflicts_with = "json", default_value_t = crate::ssh_trust::known_hosts::SSH_PORT,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: u16,
    /// Print the one line that makes ssh trust every guest with a certificate of the companion's host CA.
    #[arg(long, conflicts_with_all = ["guests", "hash", "port", "follow", "json"])]
    pub(super) authority: bool,
    /// Only for hosts of these names: a pattern as in known_hosts, `*.lab.example` for one.
    #[arg(long, value_name = "PATTERN", requires = "authority", default_value = "*", value_parser = pattern)]
    pub(super) hosts: String,
    /// Keep this file current until Ctrl-C.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub(in crate::cli) follow: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SshfpArguments {
    /// Only of this guest; of all if none is named.
    pub(super) guest: Option<String>,
    /// The zone that the guests' names are in; without one they are printed as they stand in the zone's own file.
    #[arg(long, value_name = "NAME", value_parser = zone)]
    pub(super) zone: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KrlArguments {
    /// Write this file, all at once, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

fn pattern(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '#');
    fits.then(|| text.to_owned())
        .ok_or_else(|| "host names and patterns joined by commas are wanted".to_owned())
}

fn zone(text: &str) -> Result<String, String> {
    let wanted = || "a DNS name is wanted, `lab.example` for one".to_owned();
    crate::ssh_trust::sshfp::is_zone(text).then(|| text.to_owned()).ok_or_else(wanted)
}
