//! `firstlight trust`: shows what a server presents, and pins its key when a person has compared it.

mod incus;
mod keypair;
mod proxmox;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use firstlight_shared::pin::SpkiPin;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::args::PlaceArguments;
use super::doctor::Hypervisor;
use super::failure::{Exit, Failure};
use super::live::say;
use super::render;
use crate::backend::incus::client::link::Proxy;
use crate::backend::link::Presented;
use crate::backend::link::pin::Fingerprint;

/// How long a server may take to show its certificate.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct TrustArguments {
    /// The API: HOST, HOST:PORT or https://HOST:PORT; 8006 (proxmox) or 8443 (incus) if no port is named.
    #[arg(required_unless_present_any = ["authority", "trust_token"])]
    pub(super) address: Option<String>,
    /// Whose API it is.
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t = Hypervisor::Proxmox)]
    pub(super) backend: Hypervisor,
    /// What the certificate must be: its SHA-256 (AA:BB:..) or its key (sha256//..), read on the server itself.
    #[arg(long, value_name = "FINGERPRINT", value_parser = expected)]
    pub(super) fingerprint: Option<Expected>,
    /// Do not ask; only with --fingerprint, for somebody has to compare.
    #[arg(long, requires = "fingerprint")]
    pub(super) yes: bool,
    /// Pin the cluster's authority instead: fetches nothing, and tells what to copy. Only of proxmox.
    #[arg(long, conflicts_with_all = ["address", "fingerprint", "yes"])]
    pub(super) authority: bool,
    /// What the printed remote is called; else its host. This and all that follow: only of incus.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The project of the printed remote, and of the commands for the server.
    #[arg(long)]
    pub(super) project: Option<String>,
    /// A file with the token that `incus config trust add` printed (`-`: standard input): it names the server, and has it
    /// trust us.
    #[arg(long, value_name = "FILE", conflicts_with = "authority")]
    pub(super) trust_token: Option<PathBuf>,
    /// Our certificate, made if it is not there; else incus.crt beside the configuration.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) certificate: Option<PathBuf>,
    /// Its private key, made with it; else incus.key beside the configuration.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(super) key: Option<PathBuf>,
    /// A proxy on the way: http://HOST:PORT or socks5://HOST:PORT.
    #[arg(long)]
    pub(super) proxy: Option<Proxy>,
}

impl TrustArguments {
    /// The first option that only Incus has.
    fn of_incus(&self) -> Option<&'static str> {
        [
            ("--name", self.name.is_some()),
            ("--project", self.project.is_some()),
            ("--trust-token", self.trust_token.is_some()),
            ("--certificate", self.certificate.is_some()),
            ("--proxy", self.proxy.is_some()),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }
}

/// What an operator read on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Certificate(Fingerprint),
    Key(SpkiPin),
}

impl Expected {
    fn is(self, presented: &Presented) -> bool {
        match self {
            Self::Certificate(certificate) => certificate == presented.certificate,
            Self::Key(key) => key == presented.key,
        }
    }
}

fn expected(text: &str) -> Result<Expected, String> {
    let certificate = || text.parse().map(Expected::Certificate);
    text.parse()
        .map(Expected::Key)
        .or_else(|_| certificate())
        .map_err(|_| "SHA-256 as AA:BB:.. (32 pairs), or a key as sha256//BASE64, is wanted".to_owned())
}

pub(super) async fn trust(place: &PlaceArguments, arguments: &TrustArguments) -> Result<Exit, Failure> {
    match arguments.backend {
        Hypervisor::Proxmox => {
            if let Some(option) = arguments.of_incus() {
                let message = format!("{option} is for --backend incus");
                return Err(Failure::new(Exit::Usage, message));
            }
            proxmox::trust(place, arguments).await
        }
        Hypervisor::Incus if arguments.authority => {
            let message = "--authority is for --backend proxmox";
            Err(Failure::new(Exit::Usage, message)
                .hint("`ca` of an [[incus.remote]] names the authority that signs the server's certificate"))
        }
        Hypervisor::Incus => incus::trust(place, arguments).await,
    }
}

fn wrong_address(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, error.to_string())
}

/// By what was read on the server before, or by a person who compares now.
fn agreed(
    address: &str,
    presented: &Presented,
    expected: Option<Expected>,
    how: &[String],
    again: &str,
) -> Result<(), Failure> {
    match expected {
        Some(expected) if !expected.is(presented) => Err(another(address)),
        Some(_) => Ok(()),
        None if confirmed(how, again)? => Ok(()),
        None => Err(Failure::new(Exit::BadInput, "the answer was not `yes`: nothing was written").hint(
            "if it is another one on the server, somebody may stand in between: find out before you trust it",
        )),
    }
}

fn another(address: &str) -> Failure {
    Failure::new(Exit::BadInput, format!("{address} shows another certificate than the one given"))
        .hint("nothing was pinned: somebody may stand in between, or what was given is of another server")
}

/// Only a person who looked at the server can say it: without a terminal nobody has.
fn confirmed(how: &[String], again: &str) -> Result<bool, Failure> {
    how.iter().for_each(|line| say(line));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(
            Failure::new(Exit::BadInput, "nobody is here to compare it: nothing was pinned").hint(again)
        );
    }
    say("is it the same? type `yes` to pin its key:");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new(Exit::Environment, format!("standard input: {error}")))?;
    Ok(line.trim() == "yes")
}

fn shown(address: &str, presented: &Presented) -> Result<String, Failure> {
    let unread =
        || Failure::new(Exit::Environment, format!("{address} presents a certificate that cannot be read"));
    let leaf = presented.chain.first().ok_or_else(unread)?;
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| unread())?;
    let validity = certificate.validity();
    let ended = if validity.is_valid() { "" } else { " (not now!)" };
    let rows = [
        ("subject", certificate.subject().to_string()),
        ("names", names(&certificate)),
        ("issuer", certificate.issuer().to_string()),
        ("valid", format!("{} to {}{ended}", validity.not_before, validity.not_after)),
        ("fingerprint", presented.certificate.to_string()),
        ("key", presented.key.to_string()),
    ];
    let lines = rows.map(|(word, value)| format!("{word:<12} {}\n", render::safe(&value)));
    Ok(format!("{:<12} {address}\n{}", "address", lines.concat()))
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return "(none)".to_owned() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(four), _) => std::net::IpAddr::from(four).to_string(),
            (_, Ok(sixteen)) => std::net::IpAddr::from(sixteen).to_string(),
            _ => "(no address)".to_owned(),
        },
        other => other.to_string(),
    };
    alternatives.value.general_names.iter().map(name).collect::<Vec<_>>().join(", ")
}
