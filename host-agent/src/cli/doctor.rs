//! `firstlight doctor`: whether the configured token can do the job. Reads the configuration here and asks the cluster
//! directly: it needs no companion, and changes nothing.

mod reports;

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
    let mut findings = findings.map_err(ProxmoxError::Client)?;
    progress.next("looking at the way of reports");
    findings.findings.extend(reports::judge(&reports::look(&settings, &config).await));
    drop(progress);
    if arguments.output.json {
        print(&render::json(&json!({
            "backend": arguments.backend,
            "token": config.client.token.id(),
            "well": findings.are_well(),
            "findings": findings.findings,
        })))?;
    } else {
        print(&shown(&findings, columns()))?;
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

/// Of the terminal; None: there is none, and nothing is broken.
fn columns() -> Option<usize> {
    let terminal = console::Term::stdout();
    terminal.features().is_attended().then(|| usize::from(terminal.size().1))
}

/// Before what was looked at: the state, and a space.
const STATE: usize = 9;
/// A column of reasons narrower than this is not worth having: they go below then.
const REASON: usize = 40;

/// Findings as lines, each with what to do below it. Commands are never broken: they are to be copied whole.
fn shown(findings: &Findings, columns: Option<usize>) -> String {
    let width =
        findings.findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or(0).min(48);
    let beside = columns.is_none_or(|columns| columns >= STATE + width + 2 + REASON);
    let lead = if beside { STATE + width + 2 } else { STATE };
    let mut text = String::new();
    for finding in &findings.findings {
        let (state, what) = (finding.state.as_str(), render::safe(&finding.what));
        let lines = broken(&escape(&finding.why, LINE), columns.map(|columns| columns.saturating_sub(lead)));
        let mut lines = lines.iter();
        if beside {
            let first = lines.next().map_or("", String::as_str);
            text += &format!("{state:<8} {what:<width$}  {first}\n");
        } else {
            text += &format!("{state:<8} {what}\n");
        }
        for line in lines {
            text += &format!("{:lead$}{line}\n", "");
        }
        for line in &finding.fix {
            text += &format!("{:8}   {}\n", "", escape(line, LINE));
        }
    }
    text
}

/// At spaces, into lines of so many characters; a longer word has a line of its own.
fn broken(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// `1 warning`, `2 warnings`
fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

fn conclude(findings: &Findings, arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let count = |state: State| findings.findings.iter().filter(|finding| finding.state == state).count();
    let (missing, unknown, warned) = (count(State::Fail), count(State::Unknown), count(State::Warn));
    if !findings.are_well() {
        let is = if missing == 1 { "is" } else { "are" };
        let message = format!(
            "{} {is} missing, {unknown} could not be checked, {}",
            counted(missing, "thing"),
            counted(warned, "warning")
        );
        return Err(Failure::new(Exit::NotReady, message).hint(
            "what stands below a finding mends it: `pv...` lines are for a node's shell, as root; then run this again",
        ));
    }
    if warned > 0 {
        say(&format!("nothing is missing; {}", counted(warned, "warning")));
    }
    if arguments.spec.is_none() {
        say("hint: goldens, nodes and storages of a spec are looked at with --spec FILE");
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::proxmox::doctor::Finding;

    fn findings() -> Findings {
        let finding = |state, what: &str, why: &str, fix: &[&str]| Finding {
            state,
            what: what.to_owned(),
            why: why.to_owned(),
            fix: fix.iter().map(ToString::to_string).collect(),
        };
        let command = "pveum acl modify /vms --tokens 'firstlight@pve!host' --roles FirstlightGuests";
        Findings {
            findings: vec![
                finding(State::Ok, "pin", "1 key of nodes; they outlive the certificates", &[]),
                finding(
                    State::Fail,
                    "rights on /vms/100",
                    "VM.Allocate is missing (to make the guest)",
                    &[command],
                ),
            ],
        }
    }

    #[test]
    fn reasons_are_broken_in_their_column_and_go_below_where_it_is_narrow() {
        let wide = shown(&findings(), None);
        assert_eq!(
            wide,
            "ok       pin                 1 key of nodes; they outlive the certificates\n\
             fail     rights on /vms/100  VM.Allocate is missing (to make the guest)\n           \
             pveum acl modify /vms --tokens 'firstlight@pve!host' --roles FirstlightGuests\n"
        );
        assert_eq!(shown(&findings(), Some(200)), wide);
        assert!(
            shown(&findings(), Some(70)).starts_with(
                "ok       pin                 1 key of nodes; they outlive the\n                             certificates\nfail"
            ),
            "{}",
            shown(&findings(), Some(70))
        );
        let narrow = shown(&findings(), Some(40));
        assert!(
            narrow.starts_with(
                "ok       pin\n         1 key of nodes; they outlive\n         the certificates\nfail"
            ),
            "{narrow}"
        );
        assert!(
            narrow.contains("\n           pveum acl modify /vms --tokens 'firstlight@pve!host' --roles"),
            "{narrow}"
        );
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!((counted(1, "thing").as_str(), counted(0, "thing").as_str()), ("1 thing", "0 things"));
    }
}
