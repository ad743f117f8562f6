//! `firstlight doctor`: whether guests can be made on the configured hypervisors. Reads the configuration here and asks
//! them directly: it needs no companion, and changes nothing.

mod reports;
mod show;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use firstlight_shared::error::Chain;
use serde_json::{Value, json};

use self::show::{columns, shown};
use super::args::{Output, PlaceArguments};
use super::failure::{Exit, Failure};
use super::live::say;
use super::progress::Progress;
use super::{print, render};
use crate::backend::findings::{Findings, State, counted};
use crate::backend::incus::client::link::Place;
use crate::backend::{Backend as _, GuestPlan, incus, proxmox};
use crate::bringup::load_spec;
use crate::config::{RemotePlace, SecretFile, Settings};
use crate::daemon::{IncusError, ProxmoxError, incus_config, proxmox_config};

/// Where systemd takes credentials from that are not encrypted. Source: systemd.exec(5), LoadCredential=.
const CREDENTIAL_STORE: &str = "/etc/credstore";

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    /// The backend to look at; all that are configured, if none is named.
    #[arg(long, value_name = "BACKEND")]
    pub(super) backend: Option<Hypervisor>,
    /// Look whether the guests of this spec could be made: their goldens, places, storages and networks too.
    #[arg(long, value_name = "FILE")]
    pub(super) spec: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Backends that have something to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Hypervisor {
    Proxmox,
    Incus,
}

impl Hypervisor {
    const ALL: [Self; 2] = [Self::Proxmox, Self::Incus];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Proxmox => "proxmox",
            Self::Incus => "incus",
        }
    }

    fn is_configured(self, settings: &Settings) -> bool {
        match self {
            Self::Proxmox => settings.proxmox.is_some(),
            Self::Incus => settings.incus.is_some(),
        }
    }
}

/// What came of one backend.
struct Examined {
    backend: Hypervisor,
    /// Who we are there.
    known_as: (&'static str, Value),
    findings: Findings,
}

pub(super) async fn doctor(place: &PlaceArguments, arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let settings = place.settings()?;
    let plans = arguments.spec.as_deref().map(plans).transpose()?;
    let chosen = chosen(&settings, arguments, plans.as_deref())?;
    let progress = Progress::start("asking");
    let mut all = Vec::new();
    for backend in chosen {
        let plans: Option<Vec<GuestPlan>> = plans.as_ref().map(|plans| of_backend(plans, backend));
        all.push(match backend {
            Hypervisor::Proxmox => of_proxmox(&settings, plans.as_deref(), &progress).await?,
            Hypervisor::Incus => of_incus(&settings, plans.as_deref(), &progress).await?,
        });
    }
    drop(progress);
    if arguments.output.json {
        let mut documents: Vec<Value> = all.iter().map(document).collect();
        let document = match documents.len() {
            1 => documents.remove(0),
            _ => {
                json!({ "well": all.iter().all(|one| one.findings.are_well()), "backends": documents })
            }
        };
        print(&render::json(&document))?;
    } else {
        let several = all.len() > 1;
        let texts = all.iter().map(|one| {
            let head = if several { format!("{}:\n", one.backend.name()) } else { String::new() };
            head + &shown(&one.findings, columns())
        });
        print(&texts.collect::<Vec<_>>().join("\n"))?;
    }
    conclude(&all, arguments)
}

fn document(examined: &Examined) -> Value {
    let mut document = json!({
        "backend": examined.backend.name(),
        "well": examined.findings.are_well(),
        "findings": examined.findings.findings,
    });
    document[examined.known_as.0] = examined.known_as.1.clone();
    document
}

type Planned = (String, GuestPlan);

fn plans(spec: &Path) -> Result<Vec<Planned>, Failure> {
    Ok(load_spec(spec)?.into_iter().map(|guest| (guest.backend, guest.plan)).collect())
}

fn of_backend(plans: &[Planned], backend: Hypervisor) -> Vec<GuestPlan> {
    let of = plans.iter().filter(|(name, _)| name == backend.name());
    of.map(|(_, plan)| plan.clone()).collect()
}

/// The one that is named; else those that are configured, and that a spec has guests for.
fn chosen(
    settings: &Settings,
    arguments: &DoctorArguments,
    plans: Option<&[Planned]>,
) -> Result<Vec<Hypervisor>, Failure> {
    let candidates = match arguments.backend {
        Some(named) => vec![named],
        None => Hypervisor::ALL.into_iter().filter(|one| one.is_configured(settings)).collect(),
    };
    if let Some(none) = arguments.backend.filter(|one| !one.is_configured(settings)) {
        let name = none.name();
        let message = format!("the configuration has no [{name}]: there is no such backend");
        return Err(Failure::new(Exit::Environment, message)
            .hint(format!("docs/{name}.md goes from there; `firstlight config check` shows what is set")));
    }
    if candidates.is_empty() {
        let message = "the configuration has no [proxmox] and no [incus]: there is nobody to ask";
        return Err(Failure::new(Exit::Environment, message).hint(
            "docs/proxmox.md and docs/incus.md go from there; `firstlight config check` shows what is set",
        ));
    }
    let (Some(plans), Some(spec)) = (plans, &arguments.spec) else { return Ok(candidates) };
    let names: Vec<String> = candidates.iter().map(|one| format!("`{}`", one.name())).collect();
    let wanted: Vec<Hypervisor> =
        candidates.into_iter().filter(|one| !of_backend(plans, *one).is_empty()).collect();
    if wanted.is_empty() {
        let message = format!("{}: no guest of it is for {}", spec.display(), names.join(" or "));
        return Err(Failure::new(Exit::BadInput, message)
            .hint("name the backend: backend = \"proxmox\" (or \"incus\") in [defaults] or [[guest]]"));
    }
    Ok(wanted)
}

async fn of_proxmox(
    settings: &Settings,
    plans: Option<&[GuestPlan]>,
    progress: &Progress,
) -> Result<Examined, Failure> {
    let key = settings.proxmox.as_ref().map(|proxmox| &proxmox.token);
    let config = proxmox_config(settings, credentials(key).as_deref())?;
    let config = config.ok_or_else(|| nothing("proxmox"))?;
    let mut tell = |text: &str| progress.next(text);
    let findings = proxmox::doctor::examine(&config, plans, &mut tell).await;
    let mut findings = findings.map_err(ProxmoxError::Client)?;
    progress.next("looking at the way of reports");
    let here = config.client.addresses.iter().any(|address| reports::is_loopback(&address.host));
    let url = match proxmox::Proxmox::new(config.clone()) {
        Ok(backend) => backend.prepare().await.map(|endpoint| endpoint.url).map_err(|fault| fault.message),
        Err(error) => Err(error.to_string()),
    };
    findings.findings.extend(reports::judge(&reports::look(settings, url, here).await));
    let token = config.client.token.id().into();
    Ok(Examined { backend: Hypervisor::Proxmox, known_as: ("token", token), findings })
}

async fn of_incus(
    settings: &Settings,
    plans: Option<&[GuestPlan]>,
    progress: &Progress,
) -> Result<Examined, Failure> {
    let remotes = settings.incus.iter().flat_map(|incus| &incus.remotes);
    let keys = remotes.filter_map(|remote| match &remote.place {
        RemotePlace::Socket(_) => None,
        RemotePlace::Server { key, .. } => Some(key),
    });
    let config = incus_config(settings, credentials(keys).as_deref())?;
    let config = config.ok_or_else(|| nothing("incus"))?;
    let mut tell = |text: &str| progress.next(text);
    let findings = incus::doctor::examine(&config, plans, &mut tell).await;
    let mut findings = findings.map_err(IncusError::Client)?;
    progress.next("looking at the way of reports");
    let is_here = |place: &Place| match place {
        Place::Socket(_) => true,
        Place::Server(server) => reports::is_loopback(&server.address.host),
    };
    let here = config.remotes.iter().any(|remote| is_here(&remote.place));
    let remotes: Vec<&str> = config.remotes.iter().map(|remote| remote.name.as_str()).collect();
    let remotes = json!(remotes);
    let url = match incus::Incus::new(config.clone()) {
        Ok(backend) => backend.prepare().await.map(|endpoint| endpoint.url).map_err(|fault| fault.message),
        Err(error) => Err(error.to_string()),
    };
    findings.findings.extend(reports::judge(&reports::look(settings, url, here).await));
    Ok(Examined { backend: Hypervisor::Incus, known_as: ("remotes", remotes), findings })
}

fn nothing(name: &str) -> Failure {
    Failure::new(Exit::Environment, format!("the configuration has no [{name}]"))
}

/// The service's own are not ours to see; as root we read what they are made of.
fn credentials<'a>(keys: impl IntoIterator<Item = &'a SecretFile>) -> Option<OsString> {
    let is_there = |key: &SecretFile| match key {
        SecretFile::Credential(name) => Path::new(CREDENTIAL_STORE).join(name).exists(),
        SecretFile::File(_) => false,
    };
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .or_else(|| keys.into_iter().any(is_there).then(|| CREDENTIAL_STORE.into()))
}

impl From<ProxmoxError> for Failure {
    fn from(error: ProxmoxError) -> Self {
        Self::new(Exit::Environment, Chain(&error).to_string()).hint(error.hint())
    }
}

impl From<IncusError> for Failure {
    fn from(error: IncusError) -> Self {
        Self::new(Exit::Environment, Chain(&error).to_string()).hint(error.hint())
    }
}

fn conclude(all: &[Examined], arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let findings = || all.iter().flat_map(|one| &one.findings.findings);
    let count = |state: State| findings().filter(|finding| finding.state == state).count();
    let (missing, unknown, warned) = (count(State::Fail), count(State::Unknown), count(State::Warn));
    if !all.iter().all(|one| one.findings.are_well()) {
        let is = if missing == 1 { "is" } else { "are" };
        let message = format!(
            "{} {is} missing, {unknown} could not be checked, {}",
            counted(missing, "thing"),
            counted(warned, "warning")
        );
        let shells = all.iter().map(|one| match one.backend {
            Hypervisor::Proxmox => "`pv...` lines are for a node's shell, as root",
            Hypervisor::Incus => "`incus ...` lines are for the server's shell, as its administrator",
        });
        let shells: Vec<&str> = shells.collect();
        return Err(Failure::new(Exit::NotReady, message).hint(format!(
            "what stands below a finding mends it: {}; then run this again",
            shells.join(", ")
        )));
    }
    if warned > 0 {
        say(&format!("nothing is missing; {}", counted(warned, "warning")));
    }
    if arguments.spec.is_none() {
        say("hint: goldens, nodes and storages of a spec are looked at with --spec FILE");
    }
    Ok(Exit::Ok)
}
