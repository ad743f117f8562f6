//! `firstlight ca`: the key is made here, on the companion's machine; all else is asked of the companion.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;

use super::super::args::{Output, PlaceArguments};
use super::super::client::query;
use super::super::failure::{Exit, Failure};
use super::super::live::say;
use super::super::render::{self, safe, table};
use super::super::{Session, print};
use super::KEY_LIMIT;
use crate::bringup::{ForeignKey, ShownAuthority};
use crate::http::api::{Certificates, SignRequest};
use crate::ssh_ca::{CaError, init};
use crate::store::StoredCertificate;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CaCommand {
    /// Make the CA's key: in a file for the companion's user alone, or take one that an ssh-agent has.
    ///
    /// Works on the companion's machine, with or without a companion at work. From then on guests that become ready get
    /// certificates; those that are ready already, when they send evidence.
    #[command(
        after_help = "Examples:\n  firstlight ca init\n  firstlight ca init --agent /run/firstlight-ca/agent.sock"
    )]
    Init(InitArguments),
    /// Show the CA: its public key, fingerprint, and the line that makes ssh trust it.
    #[command(after_help = "Example:\n  firstlight ca show")]
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// List the certificates that were issued, newest first.
    #[command(after_help = "Example:\n  firstlight ca list web-01")]
    List {
        /// Only of this guest.
        guest: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        output: Output,
    },
    /// Issue fresh certificates for a guest's verified keys, or for a key of another host, and print them.
    #[command(
        after_help = "Examples:\n  firstlight ca sign web-01\n  firstlight ca sign --key ssh_host_ed25519_key.pub --principals git,git.lab.example > ssh_host_ed25519_key-cert.pub"
    )]
    Sign(SignArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InitArguments {
    /// Take a key of the ssh-agent at this socket; `[ssh_ca] agent` must name it for the companion.
    #[arg(long, value_name = "SOCKET")]
    agent: Option<PathBuf>,
    /// Which one, if it has several: `SHA256:...`, as `ssh-add -l` prints it.
    #[arg(long, value_name = "FINGERPRINT")]
    identity: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SignArguments {
    /// A guest that is ready.
    #[arg(required_unless_present = "key", conflicts_with = "key")]
    guest: Option<String>,
    /// A file with the public host key of a host that is no guest.
    #[arg(long, value_name = "FILE", requires = "principals")]
    key: Option<PathBuf>,
    /// Names and addresses for which the certificate shall hold, joined by commas.
    #[arg(long, value_name = "NAMES", requires = "key", value_delimiter = ',')]
    principals: Vec<String>,
    /// How long it shall hold: `12h`, `90d`; else as configured.
    #[arg(long, value_name = "TIME", requires = "key", value_parser = super::super::args::span)]
    validity: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

/// Makes or takes the key.
pub(in crate::cli) fn make(place: &PlaceArguments, arguments: &InitArguments) -> Result<Exit, Failure> {
    if place.url.is_some() {
        let failure = Failure::new(Exit::BadInput, "the CA's key is made on the companion's own machine");
        return Err(failure.hint("run `firstlight ca init` there, without --url"));
    }
    let mut settings = place.settings()?.ssh_ca;
    let configured = settings.agent.clone();
    settings.agent = arguments.agent.clone().or(settings.agent);
    if settings.agent.is_none() && arguments.identity.is_some() {
        let failure =
            Failure::new(Exit::BadInput, "--identity names a key of an ssh-agent, and none is named");
        return Err(failure.hint("name it with --agent SOCKET, or `[ssh_ca] agent` in the configuration"));
    }
    let made = init(&settings, arguments.identity.as_deref()).map_err(unmade)?;
    for file in &made.files {
        say(&format!("written: {}", file.display()));
    }
    if !settings.enabled {
        say("warning: [ssh_ca] enabled is false: nothing is certified until that line goes");
    }
    if let Some(socket) = settings.agent.filter(|socket| configured.as_ref() != Some(socket)) {
        say(&format!("the companion needs this line, and a restart: [ssh_ca] agent = {socket:?}"));
    }
    print(&authority_line("*", &made.public.to_openssh().unwrap_or_default()))
}

fn unmade(error: CaError) -> Failure {
    let (exit, hint) = match &error {
        CaError::There { .. } => (
            Exit::BadInput,
            "it is in use: guests' certificates hang on it. To begin anew, move both files away",
        ),
        CaError::Agent { .. } | CaError::Refused { .. } => {
            (Exit::Environment, "`SSH_AUTH_SOCK=SOCKET ssh-add -l` shows what the agent has")
        }
        _ => (Exit::Environment, "run it as the companion's user or as root"),
    };
    Failure::new(exit, Chain(&error).to_string()).hint(hint)
}

pub(super) async fn run(session: &Session, command: &CaCommand) -> Result<Exit, Failure> {
    match command {
        CaCommand::Init(arguments) => make(&session.place, arguments),
        CaCommand::Show { output } => show(session, output.json).await,
        CaCommand::List { guest, limit, output } => {
            list(session, guest.as_deref().unwrap_or_default(), *limit, output.json).await
        }
        CaCommand::Sign(arguments) => sign(session, arguments).await,
    }
}

/// The CA as the companion has it.
pub(super) async fn authority(session: &Session) -> Result<ShownAuthority, Failure> {
    session.client.get("/v1/ssh-ca").await
}

/// The one line that makes ssh trust every host that the CA vouches for.
pub(super) fn authority_line(hosts: &str, key: &str) -> String {
    format!("@cert-authority {hosts} {}\n", escape(key.trim(), KEY_LIMIT))
}

async fn show(session: &Session, json: bool) -> Result<Exit, Failure> {
    let shown = authority(session).await?;
    if json {
        return print(&render::json(&shown));
    }
    let kept = shown
        .agent
        .as_ref()
        .map_or_else(|| "a file".to_owned(), |socket| format!("the ssh-agent at {socket}"));
    let mut out = format!(
        "public key   {}\nfingerprint  {}\nkept in      {}\nvalidity     {}\n",
        safe(&shown.public_key),
        safe(&shown.fingerprint),
        safe(&kept),
        render::span(shown.validity_s.saturating_mul(1000)),
    );
    if !shown.domains.is_empty() {
        out.push_str(&format!("domains      {}\n", safe(&shown.domains.join(", "))));
    }
    out.push_str(&format!("known_hosts  {}", authority_line("*", &shown.public_key)));
    print(&out)
}

async fn list(session: &Session, guest: &str, limit: u32, json: bool) -> Result<Exit, Failure> {
    let query = query(&[("guest", guest), ("limit", &limit.to_string())]);
    let found: Certificates = session.client.get(&format!("/v1/ssh-ca/certificates{query}")).await?;
    if json {
        return print(&render::json(&found));
    }
    let now = crate::clock::now_ms() / 1000;
    let row = |one: &StoredCertificate| {
        vec![
            one.serial.to_string(),
            safe(&one.guest),
            safe(one.certificate.split("-cert-").next().unwrap_or("-")),
            safe(&one.principals.join(",")),
            crate::clock::utc(one.valid_before.saturating_mul(1000)),
            state(one, now).to_owned(),
            safe(&one.by),
        ]
    };
    let header = ["SERIAL", "GUEST", "KEY", "PRINCIPALS", "UNTIL", "STATE", "FOR"];
    print(&table(&header, found.certificates.iter().map(row)))
}

fn state(one: &StoredCertificate, now: u64) -> &'static str {
    match one {
        _ if one.revoked => "revoked",
        _ if one.valid_before <= now => "ended",
        _ => "valid",
    }
}

async fn sign(session: &Session, arguments: &SignArguments) -> Result<Exit, Failure> {
    let request = match (&arguments.guest, &arguments.key) {
        (_, Some(file)) => {
            let failed = |error: std::io::Error| {
                Failure::new(Exit::BadInput, format!("{}: {error}", file.display()))
                    .hint("name the public half of a host key, a file like ssh_host_ed25519_key.pub")
            };
            SignRequest::Key(ForeignKey {
                public_key: std::fs::read_to_string(file).map_err(failed)?.trim().to_owned(),
                principals: arguments.principals.clone(),
                validity_s: arguments.validity.map(|validity| validity.as_secs()),
            })
        }
        (Some(guest), None) => SignRequest::Guest(guest.clone()),
        (None, None) => {
            return Err(
                Failure::new(Exit::Usage, "a guest or --key is wanted").hint("firstlight ca sign --help")
            );
        }
    };
    let issued: Certificates = session.client.post("/v1/ssh-ca/certificates", &request).await?;
    if arguments.output.json {
        return print(&render::json(&issued));
    }
    let lines = issued.certificates.iter().map(|one| escape(&one.certificate, KEY_LIMIT) + "\n");
    print(&lines.collect::<String>())
}
