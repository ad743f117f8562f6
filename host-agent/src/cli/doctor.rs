//! `firstlight doctor`: whether the configured token can do the job. Reads the configuration here and asks the cluster
//! directly: it needs no companion, and changes nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;
use serde_json::json;

use super::args::{Output, PlaceArguments};
use super::failure::{Exit, Failure};
use super::live::say;
use super::progress::Progress;
use super::{print, render};
use crate::backend::GuestPlan;
use crate::backend::proxmox::ProxmoxConfig;
use crate::backend::proxmox::doctor::{Findings, State, examine};
use crate::bringup::load_spec;
use crate::config::{ProxmoxSettings, SecretFile, Settings};
use crate::daemon::{ProxmoxError, proxmox_config};

/// A line of an answer, in characters: commands are to be copied whole.
const LINE: usize = 2000;
const NAME: &str = "proxmox";
/// Where systemd takes credentials from that are not encrypted. Source: systemd.exec(5), LoadCredential=.
const CREDENTIAL_STORE: &str = "/etc/credstore";

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    /// The backend to look at.
    #[arg(long, value_name = "BACKEND", default_value = NAME, value_parser = [NAME])]
    pub(super) backend: String,
    /// Look whether the guests of this spec could be made: their goldens, nodes, storages and bridges too.
    #[arg(long, value_name = "FILE")]
    pub(super) spec: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) async fn doctor(place: &PlaceArguments, arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let settings = place.settings()?;
    let plans = arguments.spec.as_deref().map(plans).transpose()?;
    let config = configured(&settings)?;
    let progress = Progress::start("asking the cluster");
    let findings = examine(&config, plans.as_deref(), &mut |text| progress.next(text)).await;
    drop(progress);
    let findings = findings.map_err(ProxmoxError::Client)?;
    if arguments.output.json {
        print(&render::json(&json!({
            "backend": arguments.backend,
            "token": config.client.token.id(),
            "well": findings.are_well(),
            "findings": findings.findings,
        })))?;
    } else {
        print(&shown(&findings))?;
    }
    conclude(&findings, arguments)
}

fn plans(spec: &Path) -> Result<Vec<GuestPlan>, Failure> {
    let guests = load_spec(spec)?;
    let plans: Vec<GuestPlan> =
        guests.into_iter().filter(|guest| guest.backend == NAME).map(|guest| guest.plan).collect();
    if plans.is_empty() {
        return Err(Failure::new(
            Exit::BadInput,
            format!("{}: no guest of it is for `{NAME}`", spec.display()),
        )
        .hint("name the backend: backend = \"proxmox\" in [defaults] or [[guest]]"));
    }
    Ok(plans)
}

fn configured(settings: &Settings) -> Result<ProxmoxConfig, Failure> {
    let Some(proxmox) = &settings.proxmox else {
        return Err(Failure::new(
            Exit::Environment,
            "the configuration has no [proxmox]: there is no such backend",
        )
        .hint("docs/proxmox.md goes from there; `firstlight config check` shows what is set"));
    };
    let config = proxmox_config(settings, credentials(proxmox).as_deref())?;
    config.ok_or_else(|| Failure::new(Exit::Environment, "the configuration has no [proxmox]"))
}

/// The service's own are not ours to see; as root we read what they are made of.
fn credentials(proxmox: &ProxmoxSettings) -> Option<OsString> {
    std::env::var_os("CREDENTIALS_DIRECTORY").or_else(|| match &proxmox.token {
        SecretFile::Credential(name) => {
            Path::new(CREDENTIAL_STORE).join(name).exists().then(|| CREDENTIAL_STORE.into())
        }
        SecretFile::File(_) => None,
    })
}

impl From<ProxmoxError> for Failure {
    fn from(error: ProxmoxError) -> Self {
        Self::new(Exit::Environment, Chain(&error).to_string()).hint(error.hint())
    }
}

/// Findings as lines, each with what to do below it.
fn shown(findings: &Findings) -> String {
    let width =
        findings.findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or(0).min(48);
    let mut text = String::new();
    for finding in &findings.findings {
        let (state, what) = (finding.state.as_str(), render::safe(&finding.what));
        text += &format!("{state:<8} {what:<width$}  {}\n", escape(&finding.why, LINE));
        for line in &finding.fix {
            text += &format!("{:8}   {}\n", "", escape(line, LINE));
        }
    }
    text
}

fn conclude(findings: &Findings, arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let count = |state: State| findings.findings.iter().filter(|finding| finding.state == state).count();
    let (missing, unknown, warned) = (count(State::Fail), count(State::Unknown), count(State::Warn));
    if !findings.are_well() {
        let message =
            format!("{missing} things are missing, {unknown} could not be checked, {warned} warnings");
        return Err(Failure::new(Exit::NotReady, message).hint(
            "what stands below a finding mends it: `pv...` lines are for a node's shell, as root; then run this again",
        ));
    }
    if warned > 0 {
        say(&format!("nothing is missing; {warned} warnings"));
    }
    if arguments.spec.is_none() {
        say("hint: goldens, nodes and storages of a spec are looked at with --spec FILE");
    }
    Ok(Exit::Ok)
}
