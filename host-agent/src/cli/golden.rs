//! `firstlight golden`: makes goldens and looks at them. Needs no companion, except to have one told.

mod build;
mod record;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use firstlight_shared::text::escape;

use super::args::PlaceArguments;
use super::failure::{Exit, Failure};
use super::live::say;
use super::{print, render};
use crate::golden::{Limits, Report, Severity, Target, lint, sarif};

/// Of a text in the table: a whole path fits.
const CELL: usize = 400;

#[derive(Debug, Subcommand)]
pub(super) enum GoldenCommand {
    /// Look whether a golden is fit to be cloned: what its clones would share, and what would keep them from working.
    ///
    /// Takes the root as a folder, a tar (plain, gzip, zstd, xz) or a disk image (raw, qcow2), a container's or machine's
    /// backup of Proxmox VE, an image or export of Incus. Writes nothing, unpacks nothing. Ends with 0 if there is no error, with 1 if there is one, with 3
    /// if it is no golden or a broken one, with 4 if a part of it is in a format that is not read.
    #[command(
        after_help = "Examples:\n  firstlight golden lint golden.tar.zst\n  firstlight golden lint vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst --deny warning\n  firstlight golden lint ROOT --for proxmox-lxc --sarif golden.sarif"
    )]
    Lint(LintArguments),
    /// Make a golden from a recipe: mmdebstrap, the guest agent baked in and sealed, then what it is needed as.
    ///
    /// Takes root and mmdebstrap, and minutes. The same recipe and the same state of the mirror give the same bytes. What
    /// is made is linted, and put in place only if there is no error (exit code 1 otherwise); a build that fails or is
    /// interrupted leaves nothing. docs/golden-images.md has the keys of a recipe.
    #[command(
        after_help = "Examples:\n  firstlight golden build debian-13.toml --format pve,incus --output /var/lib/vz/dump\n  firstlight golden build machine.toml --format qcow2 --agent ./firstlight-guest --json"
    )]
    Build(build::BuildArguments),
}

#[derive(Debug, Args)]
pub(super) struct LintArguments {
    /// The golden: a folder or a file.
    golden: PathBuf,
    /// What it is to be a golden of; else as its format tells.
    #[arg(long = "for", value_name = "TARGET")]
    target: Option<Target>,
    /// What counts as failure.
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    deny: Deny,
    /// Read no more than so much, unpacked: `64G`.
    #[arg(long, value_name = "SIZE", default_value = "256G", value_parser = size)]
    limit: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write the findings to this file too, as SARIF 2.1.0 for CI systems.
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Have the companion keep the counts and the worst findings, for its page of golden images.
    ///
    /// It must know the golden: `local` is the file by its path; for others say how specs name it, as
    /// `--record=proxmox:local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst`.
    #[arg(long, value_name = "BACKEND:NAME", num_args = 0..=1, require_equals = true, default_missing_value = "local",
        value_parser = record::known)]
    record: Option<record::Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deny {
    Error,
    Warning,
    Note,
}

impl Deny {
    const fn severity(self) -> Severity {
        match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
            Self::Note => Severity::Note,
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    crate::bringup::parse_size(text)
        .ok_or_else(|| "a number with K, M, G or T is wanted, `64G` for one".to_owned())
}

/// More files than any golden has.
const ENTRIES: u64 = 20_000_000;
/// Of what was built here.
const LIMITS: Limits = Limits { bytes: 256 << 30, entries: ENTRIES };

pub(super) async fn run(place: &PlaceArguments, command: &GoldenCommand) -> Result<Exit, Failure> {
    match command {
        GoldenCommand::Lint(arguments) => look(place, arguments).await,
        GoldenCommand::Build(arguments) => build::run(arguments).await,
    }
}

async fn look(place: &PlaceArguments, arguments: &LintArguments) -> Result<Exit, Failure> {
    let limits = Limits { bytes: arguments.limit, entries: ENTRIES };
    let bytes = record::size(&arguments.golden);
    let report = lint(&arguments.golden, arguments.target, limits)?;
    if let Some(file) = &arguments.sarif {
        write(file, &render::json(&sarif(&report)))?;
    }
    match arguments.json {
        true => print(&render::json(&report))?,
        false => print(&table(&report))?,
    };
    say(&summary(&report));
    if let Some(known) = &arguments.record {
        record::record(place, known, &arguments.golden, bytes, &report).await?;
    }
    let denied = arguments.deny.severity();
    match (report.reaches(denied), report.incomplete) {
        (true, _) => Ok(Exit::NotReady),
        (false, false) => Ok(Exit::Ok),
        (false, true) => Err(Failure::new(
            Exit::Environment,
            "a part of the golden is in a format that is not read here: nothing is proven about it",
        )
        .hint("the finding `format-not-read` names it, and what to lint instead")),
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| {
        Failure::new(Exit::Environment, format!("{}: {error}", file.display()))
            .hint("name a file in a folder that you may write to")
    })
}

fn table(report: &Report) -> String {
    if report.findings.is_empty() {
        return String::new();
    }
    let rows = report.findings.iter().map(|finding| {
        let said = format!("{}. Fix: {}", finding.danger, finding.fix);
        let cells = [finding.severity.as_str(), finding.rule, &finding.path, &said];
        cells.map(|text| escape(text, CELL)).to_vec()
    });
    render::table(&["SEVERITY", "RULE", "WHERE", "WHAT BREAKS"], rows)
}

/// `2 errors, 1 warning in golden.tar (vzdump-lxc for proxmox-lxc, 8149 entries)`
fn summary(report: &Report) -> String {
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (report.count(severity), severity.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let found = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
    let target = report.target.as_str();
    let golden = escape(&report.golden, 200);
    format!("{found} in {golden} ({} for {target}, {} entries)", report.shape, report.entries)
}
