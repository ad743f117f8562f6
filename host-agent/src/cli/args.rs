//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::failure::exit_codes;

/// Brings clones of a golden image to life exactly once, and proves it.
#[derive(Debug, Parser)]
#[command(name = "firstlight", version, after_help = exit_codes(), arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Which companion is meant: the one on a state folder of this machine, or one elsewhere.
#[derive(Debug, Clone, Args)]
pub(super) struct PlaceArguments {
    /// Configuration, with fragments in FILE.d; /etc/firstlight/firstlight.toml if there is one.
    #[arg(long, global = true, env = "FIRSTLIGHT_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Folder that holds the store, the control socket and local guests; one companion works on it at a time. Else as
    /// $FIRSTLIGHT_STATE or the configuration says, else /var/lib/firstlight-host.
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Talk to the companion at this address instead: `https://HOST:PORT`; 7444 if no port is named.
    #[arg(
        long,
        global = true,
        env = "FIRSTLIGHT_URL",
        value_name = "URL",
        help_heading = "A companion elsewhere"
    )]
    pub(super) url: Option<String>,
    /// File with the token that the companion knows; only its owner may read it.
    #[arg(
        long,
        global = true,
        env = "FIRSTLIGHT_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "A companion elsewhere"
    )]
    pub(super) token_file: Option<PathBuf>,
    /// Certificate to show to the companion, in PEM, with --client-key.
    #[arg(long, global = true, value_name = "FILE", help_heading = "A companion elsewhere")]
    pub(super) client_cert: Option<PathBuf>,
    /// Key of --client-cert, in PEM.
    #[arg(long, global = true, value_name = "FILE", help_heading = "A companion elsewhere")]
    pub(super) client_key: Option<PathBuf>,
    /// The companion's key: `sha256//` and base64, as `curl --pinnedpubkey` takes it. Names and dates do not matter then.
    #[arg(
        long,
        global = true,
        env = "FIRSTLIGHT_PIN",
        value_name = "PIN",
        help_heading = "A companion elsewhere"
    )]
    pub(super) pin: Option<String>,
    /// Certificates that may vouch for the companion, in PEM.
    #[arg(
        long,
        global = true,
        env = "FIRSTLIGHT_CA",
        value_name = "FILE",
        help_heading = "A companion elsewhere"
    )]
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the companion: take reports, run jobs, answer the other commands.
    #[command(after_help = "Example:\n  firstlight serve --listen 0.0.0.0:7443")]
    Serve(super::serve::ServeArguments),
    /// Bring up the guests of a spec and follow until each is ready or has failed.
    ///
    /// Guests that are there already as the spec wants them are left alone, so a spec may be applied again. Ctrl-C leaves
    /// the jobs to the companion; without one, it undoes what was done.
    #[command(after_help = "Examples:\n  firstlight up web.toml\n  firstlight up web.toml --detach")]
    Up(super::up::UpArguments),
    /// Show what `up` would do for each guest; change nothing.
    #[command(
        after_help = "Example:\n  firstlight plan web.toml\n\nEnds with 0 if `up` would do something or nothing, else as `up` would: with 3 for what is wrong with the spec."
    )]
    Plan {
        /// The spec, in TOML.
        spec: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Wait for a guest that another tool made until it is ready or cannot be; verify and record it, touch nothing.
    ///
    /// For what Terraform, Ansible or a person made from a golden with the guest agent. Asked again, it answers what is on
    /// record at once, or joins whoever waits already. Ctrl-C leaves the wait to the companion.
    #[command(
        after_help = "Examples:\n  firstlight wait --backend proxmox --vmid 101\n  firstlight wait --backend proxmox web-01 --timeout 10m --require docker"
    )]
    Wait(super::wait::WaitArguments),
    /// List jobs, newest first.
    #[command(after_help = "Examples:\n  firstlight jobs\n  firstlight jobs --in running,waiting")]
    Jobs(JobsArguments),
    /// Show one job: its steps, who asked for what, its report, and what went wrong.
    #[command(after_help = "Examples:\n  firstlight show web-01\n  firstlight show web-01 --events")]
    Show {
        /// Job id, or a guest's name for its newest job.
        #[arg(value_name = "JOB|GUEST")]
        id: String,
        /// Print the journal as it is, one event a line.
        #[arg(long, conflicts_with = "json")]
        events: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Follow jobs live until they have ended; without names, everything until Ctrl-C.
    #[command(after_help = "Examples:\n  firstlight watch web-01 web-02\n  firstlight watch")]
    Watch {
        /// Job ids or guests' names.
        #[arg(value_name = "JOB|GUEST")]
        names: Vec<String>,
        /// Print each change as one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Stop jobs that are not done, and undo what they did.
    #[command(after_help = "Example:\n  firstlight cancel web-01 --reason \"wrong golden\"")]
    Cancel(ChangeArguments),
    /// Try again where a job stopped, or from the beginning.
    #[command(after_help = "Examples:\n  firstlight retry web-01\n  firstlight retry web-01 --anew")]
    Retry {
        #[command(flatten)]
        change: ChangeArguments,
        /// Undo everything, then begin from the first step.
        #[arg(long)]
        anew: bool,
    },
    /// Leave everything as it is and free the guest's name: of a job that needs an operator, or a guest that `wait` knows.
    #[command(after_help = "Example:\n  firstlight abandon web-01 --reason \"removed by hand\"")]
    Abandon(ChangeArguments),
    /// Say how long guests live, whatever their spec says: for ever, or for a time from now on. The last word counts.
    ///
    /// An ephemeral guest is still gone once it stops: `promote` makes it a kept one.
    #[command(after_help = "Examples:\n  firstlight keep web-01\n  firstlight keep web-01 --for 2h")]
    Keep(KeepArguments),
    /// Change a guest that is ready: it is stopped, changed and started; if it does not come up, it is as it was.
    #[command(
        after_help = "Examples:\n  firstlight set web-01 --memory 2G\n  firstlight set web-01 --memory 2G --snapshot before-2g"
    )]
    Set {
        /// The guest's name.
        guest: String,
        /// What it may take at most: `512M`, `2G`.
        #[arg(long, value_name = "SIZE", value_parser = size)]
        memory: u64,
        /// Take a snapshot of this name before.
        #[arg(long, value_name = "NAME")]
        snapshot: Option<String>,
        #[command(flatten)]
        how: ChangeOutput,
    },
    /// Take a snapshot of a guest that is ready, or remove one.
    #[command(
        after_help = "Examples:\n  firstlight snapshot web-01 before-upgrade\n  firstlight snapshot web-01 before-upgrade --remove"
    )]
    Snapshot {
        /// The guest's name.
        guest: String,
        /// The snapshot's: 2 to 40 letters, digits, `-` and `_`, a letter first.
        name: String,
        /// Remove it.
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        how: ChangeOutput,
    },
    /// List the snapshots of a guest, oldest first.
    #[command(after_help = "Example:\n  firstlight snapshots web-01")]
    Snapshots {
        /// The guest's name.
        guest: String,
        #[command(flatten)]
        output: Output,
    },
    /// Set a guest back to a snapshot, and wait until it is up again as itself. What was written since is lost.
    #[command(after_help = "Example:\n  firstlight rollback web-01 before-upgrade")]
    Rollback {
        /// The guest's name.
        guest: String,
        /// The snapshot's.
        name: String,
        #[command(flatten)]
        how: ChangeOutput,
    },
    /// Make an ephemeral guest a kept one: for ever, and also when it stops.
    #[command(after_help = "Example:\n  firstlight promote web-01")]
    Promote {
        /// The guest's name.
        guest: String,
        #[command(flatten)]
        how: ChangeOutput,
    },
    /// Remove guests with everything that was made for them.
    #[command(after_help = "Examples:\n  firstlight destroy web-01 web-02\n  firstlight destroy --all")]
    Destroy(DestroyArguments),
    /// List the reports that were taken and those that were refused, newest first.
    #[command(after_help = "Example:\n  firstlight reports web-01")]
    Reports {
        /// Only of this guest.
        guest: Option<String>,
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        output: Output,
    },
    /// Have a guest that is ready run its checks anew: signed evidence, compared with its bring-up. Or check such a file.
    ///
    /// Changes nothing in the guest. Ends with 0 only if everything holds: systemd running, no failed unit, every check,
    /// link and certificate as then, the same identity. A file is checked with nothing but keys that you know.
    #[command(
        after_help = "Examples:\n  firstlight verify web-01 --out web-01.evidence\n  firstlight verify --public-key >> known\n  firstlight verify --file web-01.evidence --known-keys known"
    )]
    Verify(super::verify::VerifyArguments),
    #[command(flatten)]
    Ssh(super::ssh::SshCommand),
    #[command(flatten)]
    Signals(super::signals::SignalCommand),
    #[command(flatten)]
    Tell(super::tell::TellCommand),
    /// Look after the store.
    #[command(subcommand)]
    Store(super::store::StoreCommand),
    /// The companion's pages in a browser.
    #[command(subcommand)]
    Web(super::web::WebCommand),
    /// Look at the companion's configuration.
    #[command(subcommand)]
    Config(super::config::ConfigCommand),
    /// Make goldens, and look at them.
    #[command(subcommand)]
    Golden(super::golden::GoldenCommand),
    /// Look whether guests can be made on the configured hypervisors: what is missing, where, and the commands that grant it.
    ///
    /// Works without a companion, and changes nothing. Ends with 0 if nothing is missing (warnings do not count), with 1
    /// if something is, or could not be checked.
    #[command(
        after_help = "Examples:\n  firstlight doctor\n  firstlight doctor --spec web.toml\n  firstlight doctor --backend incus --json"
    )]
    Doctor(super::doctor::DoctorArguments),
    /// Pin the key of a Proxmox node or of an Incus server: shows its certificate, and keeps the key when somebody has
    /// compared it.
    ///
    /// It asks whether the fingerprint is the one that the server itself shows; any answer but `yes` writes nothing and ends with
    /// 3. A script has compared before: it gives what it read there (`pvenode cert info`, `incus info`), and is asked nothing.
    /// A Proxmox node's key goes into the configuration. For Incus the lines of an [[incus.remote]] are printed, a certificate
    /// and key of ours are made where there are none, and a token of `incus config trust add` has the server trust them.
    #[command(
        override_usage = "firstlight trust <ADDRESS>\n       firstlight trust <ADDRESS> --fingerprint <FINGERPRINT> [--yes]\n       firstlight trust --authority\n       firstlight trust --backend incus <ADDRESS>\n       firstlight trust --backend incus --trust-token <FILE>",
        after_help = "Examples:\n  firstlight trust pve1.example\n  firstlight trust pve1.example --fingerprint sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= --yes\n  firstlight trust --backend incus incus.example --project lab"
    )]
    Trust(super::trust::TrustArguments),
    /// Print the companion's pin, for `[host]` of a golden's guest.toml.
    #[command(after_help = "Example:\n  firstlight pin")]
    Pin {
        #[command(flatten)]
        output: Output,
    },
    /// Print the description of the HTTP API (OpenAPI 3.1).
    #[command(after_help = "Example:\n  firstlight openapi")]
    Openapi,
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  firstlight completions bash")]
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub(super) struct Output {
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Page {
    /// At most so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), default_value_t = 100)]
    pub(super) limit: u32,
    /// Go on where the last page ended; that page names what to write here.
    #[arg(long, value_name = "MARK")]
    pub(super) before: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct JobsArguments {
    /// Only in these states: queued, running, waiting, unwinding, done, rolled-back, needs-operator, abandoned.
    #[arg(long = "in", value_name = "STATE", value_delimiter = ',', value_parser = state)]
    pub(super) states: Vec<String>,
    /// Only of this guest.
    #[arg(long, value_name = "GUEST")]
    pub(super) guest: Option<String>,
    /// Only those that were submitted together.
    #[arg(long, value_name = "BATCH")]
    pub(super) batch: Option<String>,
    #[command(flatten)]
    pub(super) page: Page,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(super) struct ChangeArguments {
    /// Job ids or guests' names.
    #[arg(value_name = "JOB|GUEST", required = true)]
    pub(super) names: Vec<String>,
    #[command(flatten)]
    pub(super) how: How,
}

/// What the commands that change a guest have in common.
#[derive(Debug, Args)]
pub(super) struct ChangeOutput {
    /// Return as soon as the change is recorded.
    #[arg(long)]
    pub(super) detach: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct KeepArguments {
    /// Names of the guests.
    #[arg(value_name = "GUEST", required = true)]
    pub(super) guests: Vec<String>,
    /// So long from now on: `90s`, `2h`, `7d`; then they are destroyed.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    pub(super) span: Option<std::time::Duration>,
    /// Until somebody destroys them; so it is if nothing is said.
    #[arg(long, conflicts_with = "span")]
    pub(super) forever: bool,
    /// Return as soon as the request is recorded.
    #[arg(long)]
    pub(super) detach: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DestroyArguments {
    /// Names of the guests.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(super) guests: Vec<String>,
    /// Every guest that this companion made. Asks first on a terminal.
    #[arg(long)]
    pub(super) all: bool,
    /// Do not ask.
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) how: How,
}

/// What the commands that change jobs have in common.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Why; kept in the journal.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Return as soon as the request is recorded.
    #[arg(long)]
    pub(super) detach: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn timeout(text: &str) -> Result<std::time::Duration, String> {
    crate::bringup::parse_duration(text).ok_or_else(|| "1s to 24h is wanted, `90s` for one".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    crate::bringup::parse_size(text)
        .ok_or_else(|| "a number with K, M, G or T is wanted, `512M` for one".to_owned())
}

pub(super) fn span(text: &str) -> Result<std::time::Duration, String> {
    crate::bringup::parse_span(text).ok_or_else(|| "1s to 366d is wanted, `2h` for one".to_owned())
}

fn state(text: &str) -> Result<String, String> {
    match serde_json::from_value::<crate::job::Phase>(text.into()) {
        Ok(phase) => Ok(phase.as_str().to_owned()),
        Err(_) => Err("there is no such state".to_owned()),
    }
}

#[cfg(test)]
mod tests;
