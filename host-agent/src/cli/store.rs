//! `firstlight store`: check, back up, export. The companion does it; without one, this process does.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use hyper::Method;

use super::args::Output;
use super::failure::{Exit, Failure};
use super::live::say;
use super::{Session, print, print_on, render};
use crate::http::api::StoreCheck;

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Check the store's integrity.
    #[command(after_help = "Example:\n  firstlight store check")]
    Check {
        #[command(flatten)]
        output: Output,
    },
    /// Write a copy of the embedded store while the companion works. It holds secrets: only you may read the file.
    #[command(after_help = "Example:\n  firstlight store backup firstlight-backup.db")]
    Backup {
        /// The new file; one that exists is not overwritten.
        file: PathBuf,
    },
    /// Print all jobs with their journals, reports and refusals as JSON lines.
    #[command(after_help = "Example:\n  firstlight store export")]
    Export,
}

pub(super) async fn run(session: &Session, command: &StoreCommand) -> Result<Exit, Failure> {
    match command {
        StoreCommand::Check { output } => check(session, output.json).await,
        StoreCommand::Backup { file } => backup(session, file).await,
        StoreCommand::Export => {
            let export = session.client.pieces(Method::GET, "/v1/store/export", print_on);
            export.await.map(|()| Exit::Ok)
        }
    }
}

async fn check(session: &Session, json: bool) -> Result<Exit, Failure> {
    let found: StoreCheck = session.client.get("/v1/store/check").await?;
    if json {
        print(&render::json(&found))?;
    } else {
        let lines = found.problems.iter().map(|problem| format!("{}\n", render::safe(problem)));
        print(&lines.collect::<String>())?;
    }
    match found.problems.len() {
        0 => {
            say("the store is whole");
            Ok(Exit::Ok)
        }
        count => Err(Failure::new(Exit::Environment, format!("the store has {count} problems"))
            .hint("keep a copy, then put the last good backup in its place; journals that contradict themselves need an operator")),
    }
}

async fn backup(session: &Session, file: &Path) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Environment, format!("{}: {error}", file.display()))
            .hint("name a new file in a folder that you may write to")
    };
    // Nobody else may read it, from its first byte on.
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    let mut bytes = 0;
    let copied = session
        .client
        .pieces(Method::POST, "/v1/store/backup", |piece| {
            bytes += piece.len();
            out.write_all(piece).map(|()| true).map_err(failed)
        })
        .await;
    let copied =
        copied.and_then(|()| out.sync_all().map_err(failed)).and_then(|()| settle(file).map_err(failed));
    if copied.is_err() {
        // Half a copy is none.
        let _ = std::fs::remove_file(file);
    }
    copied?;
    say(&format!(
        "{bytes} bytes written to {}; it holds secrets: keep it as safe as the store",
        file.display()
    ));
    Ok(Exit::Ok)
}

/// The file's name is durable.
fn settle(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
