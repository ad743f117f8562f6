//! `firstlight trust`: shows what a node of Proxmox presents, and pins its key when a person has compared it.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use firstlight_shared::error::Chain;
use firstlight_shared::pin::SpkiPin;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::args::PlaceArguments;
use super::failure::{Exit, Failure};
use super::live::say;
use super::progress::Progress;
use super::{print, render};
use crate::backend::proxmox::client::link::{Address, Fingerprint, Presented, fetch_certificate};
use crate::config::pins::{Kept, PinFile, keep};

/// How long a node may take to show its certificate.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct TrustArguments {
    /// The node's API: HOST, HOST:PORT or https://HOST:PORT; 8006 if no port is named.
    #[arg(required_unless_present = "authority")]
    pub(super) address: Option<Address>,
    /// What the certificate must be: its SHA-256 (AA:BB:..) or its key (sha256//..), read on the node itself.
    #[arg(long, value_name = "FINGERPRINT", value_parser = expected)]
    pub(super) fingerprint: Option<Expected>,
    /// Do not ask; only with --fingerprint, for somebody has to compare.
    #[arg(long, requires = "fingerprint")]
    pub(super) yes: bool,
    /// Pin the cluster's authority instead: fetches nothing, and tells what to copy.
    #[arg(long, conflicts_with_all = ["address", "fingerprint", "yes"])]
    pub(super) authority: bool,
}

/// What an operator read on the node.
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
    let Some(address) = &arguments.address else { return print(AUTHORITY) };
    let progress = Progress::start(&format!("connecting to {address}"));
    let presented = fetch_certificate(address, LIMIT).await;
    drop(progress);
    let presented = presented.map_err(|error| {
        Failure::new(Exit::Environment, Chain(&error).to_string())
            .hint("is the address right, does pveproxy run there, and may this machine reach it?")
    })?;
    print(&shown(address, &presented)?)?;
    match arguments.fingerprint {
        Some(expected) if !expected.is(&presented) => {
            return Err(Failure::new(
                Exit::BadInput,
                format!("{address} shows another certificate than the one given"),
            )
            .hint(
                "nothing was pinned: somebody may stand in between, or what was given is of another node",
            ));
        }
        Some(_) => {}
        None if !confirmed(address)? => {
            return Err(Failure::new(Exit::BadInput, "the answer was not `yes`: nothing was written").hint(
                "if it is another one on the node, somebody may stand in between: find out before you trust it",
            ));
        }
        None => {}
    }
    let kept = keep(&place.sources(), &address.to_string(), presented.key)
        .map_err(|error| Failure::new(Exit::Environment, Chain(&error).to_string()).hint(error.hint()))?;
    tell(&kept);
    Ok(Exit::Ok)
}

const AUTHORITY: &str = "\
The cluster's authority signs the certificates of all its nodes. Copy it from a node, over a way that you trust:

  scp root@NODE:/etc/pve/pve-root-ca.pem /etc/firstlight/pve-root-ca.pem

and name it in the configuration, with addresses that are in the nodes' certificates (`pvenode cert info` shows them):

  [proxmox]
  ca = \"/etc/firstlight/pve-root-ca.pem\"

Certificates of others (ACME, a company's authority) are signed by theirs: name that one instead.
";

fn shown(address: &Address, presented: &Presented) -> Result<String, Failure> {
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

/// Only a person who looked at the node can say it: without a terminal nobody has.
fn confirmed(address: &Address) -> Result<bool, Failure> {
    let host = &address.host;
    say(&format!(
        "compare the fingerprint on the node itself (at its console, or over ssh whose key is known): root@{host}"
    ));
    say("  pvenode cert info");
    say("  openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256");
    say("(/etc/pve/local/pveproxy-ssl.pem, where there is one)");
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(Exit::BadInput, "nobody is here to compare it: nothing was pinned")
            .hint(format!("read it on the node, then: firstlight trust {address} --fingerprint AA:BB:..")));
    }
    say("is it the same? type `yes` to pin its key:");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new(Exit::Environment, format!("standard input: {error}")))?;
    Ok(line.trim() == "yes")
}

fn tell(kept: &PinFile) {
    let file = render::safe(&kept.path.display().to_string());
    match &kept.kept {
        Kept::Known => say(&format!("its key is pinned already, in {file}")),
        Kept::Added { replaced: 0 } => say(&format!("its key is pinned now, in {file}")),
        Kept::Added { .. } => {
            say(&format!("its key is pinned now, in {file}, in the place of the one it had"))
        }
    }
    if kept.kept != Kept::Known {
        say(
            "hint: it counts after a restart (`systemctl restart firstlight`); `firstlight doctor` tries it now",
        );
    }
}
