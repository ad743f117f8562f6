//! Trust in guests' keys for ssh: known_hosts, the host CA, SSHFP records, the list of revoked keys.

mod args;
mod ca;
mod file;
mod follow;

use std::io::IsTerminal as _;

use firstlight_shared::text::escape;

pub(super) use args::SshCommand;
pub(super) use ca::{CaCommand, make as make_ca};
pub(super) use file::replace;

use super::client::query;
use super::failure::{Exit, Failure};
use super::live::say;
use super::{Session, print, print_on, render};
use crate::http::api::{Hosts, RevokedKeys};
use crate::ssh_trust::known_hosts::{Form, lines};
use crate::ssh_trust::krl::{Revoked, krl};
use crate::ssh_trust::sshfp;
use args::{KnownHostsArguments, KrlArguments, SshfpArguments};

/// Characters of a key's line; one of RSA-4096 has some 750.
const KEY_LIMIT: usize = 4000;

impl SshCommand {
    /// It lasts as long as there is a companion, and makes no sense without one.
    pub(super) fn follows(&self) -> bool {
        matches!(self, Self::KnownHosts(arguments) if arguments.follow.is_some())
    }
}

pub(super) async fn run(session: &Session, command: &SshCommand) -> Result<Exit, Failure> {
    match command {
        SshCommand::KnownHosts(arguments) => match &arguments.follow {
            Some(file) => follow::follow(session, arguments, file).await,
            None => known_hosts(session, arguments).await,
        },
        SshCommand::Ca(command) => ca::run(session, command).await,
        SshCommand::Sshfp(arguments) => records(session, arguments).await,
        SshCommand::Krl(arguments) => revoked(session, arguments).await,
    }
}

async fn known_hosts(session: &Session, arguments: &KnownHostsArguments) -> Result<Exit, Failure> {
    if arguments.authority {
        let shown = ca::authority(session).await?;
        return print(&ca::authority_line(&arguments.hosts, &shown.public_key));
    }
    let hosts = hosts(session, &arguments.guests.join(",")).await?;
    if arguments.output.json {
        return print(&render::json(&hosts));
    }
    print(&text_of(&hosts, Form { port: arguments.port, hashed: arguments.hash }))
}

async fn hosts(session: &Session, guests: &str) -> Result<Hosts, Failure> {
    session.client.get(&format!("/v1/known-hosts{}", query(&[("guest", guests)]))).await
}

/// Keys were checked when the report was opened, names are ours.
fn text_of(hosts: &Hosts, form: Form) -> String {
    let of_host = |host: &crate::bringup::KnownHost| {
        let keys = host.keys.iter().map(|key| escape(&key.public_key, KEY_LIMIT));
        keys.map(|key| lines(&host.names, &key, form, rand::random)).collect::<String>()
    };
    hosts.hosts.iter().map(of_host).collect()
}

async fn records(session: &Session, arguments: &SshfpArguments) -> Result<Exit, Failure> {
    let hosts = hosts(session, arguments.guest.as_deref().unwrap_or_default()).await?;
    let mut out = String::new();
    for host in &hosts.hosts {
        let owner = sshfp::owner(&host.guest, arguments.zone.as_deref());
        host.keys.iter().for_each(|key| out.push_str(&sshfp::records(&owner, &key.public_key)));
    }
    print(&out)
}

async fn revoked(session: &Session, arguments: &KrlArguments) -> Result<Exit, Failure> {
    let revoked: RevokedKeys = session.client.get("/v1/revoked-keys").await?;
    let serials =
        revoked.certificates.into_iter().map(|one| (one.authority, one.serials)).collect::<Vec<_>>();
    let list = Revoked { fingerprints: &revoked.fingerprints, serials: &serials };
    let bytes = krl(&list, crate::clock::now_ms() / 1000);
    let Some(path) = &arguments.out else {
        if std::io::stdout().is_terminal() {
            return Err(Failure::new(
                Exit::BadInput,
                "the list is no text, and standard output is a terminal",
            )
            .hint("--out FILE writes it to a file"));
        }
        return print_on(&bytes).map(|_| Exit::Ok);
    };
    file::replace(path, &bytes).map_err(|error| {
        Failure::new(Exit::Environment, format!("{}: {error}", path.display()))
            .hint("name a file in a folder that you may write to")
    })?;
    let count = serials.iter().map(|(_, serials)| serials.len()).sum::<usize>();
    say(&format!("{} keys and {count} certificates are revoked", revoked.fingerprints.len()));
    Ok(Exit::Ok)
}
