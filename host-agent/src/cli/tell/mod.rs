//! `report`, `blame`, `duplicates` and `man`.

mod args;
mod duplicates;
mod file;
mod man;

use std::path::Path;

pub(super) use args::TellCommand;
pub(super) use man::man;

use args::ReportArguments;

use super::client::escape;
use super::failure::{Exit, Failure};
use super::{Session, print, render};
use crate::report::text::Look;
use crate::report::{self, GuestReport};

/// Of a page that is not for a terminal.
const WIDTH: usize = 100;

pub(super) async fn run(session: &Session, command: &TellCommand) -> Result<Exit, Failure> {
    match command {
        TellCommand::Report(arguments) => page(session, arguments).await,
        TellCommand::Blame { guest, output } => {
            let page = ask(session, guest).await?;
            let blame = report::blame(&page.head.guest, &page.timeline);
            print(&if output.json { render::json(&blame) } else { report::text::blame(&blame, look()) })
        }
        TellCommand::Duplicates { page, output } => {
            duplicates::duplicates(session, page, output.json, look()).await
        }
        TellCommand::Man { dir } => man(dir.as_deref()),
    }
}

async fn page(session: &Session, arguments: &ReportArguments) -> Result<Exit, Failure> {
    let page = ask(session, &arguments.guest).await?;
    if arguments.output.json {
        return print(&render::json(&page));
    }
    let Some(path) = &arguments.html else { return print(&report::text::page(&page, look())) };
    let html =
        report::html::document(&page).map_err(|error| Failure::new(Exit::Environment, error.to_string()))?;
    if path == Path::new("-") {
        return print(&html);
    }
    file::write(path, html.as_bytes())
        .map_err(|error| {
            let failure = Failure::new(Exit::Environment, format!("{}: {error}", path.display()));
            failure.hint("name a file in a folder that you may write to; a file that is there is replaced")
        })
        .map(|()| Exit::Ok)
}

async fn ask(session: &Session, guest: &str) -> Result<GuestReport, Failure> {
    session.client.get(&format!("/v1/guests/{}/report", escape(guest))).await
}

/// As wide as the terminal, and in colour there unless `NO_COLOR` says otherwise (no-color.org).
fn look() -> Look {
    let terminal = console::Term::stdout();
    if !terminal.features().is_attended() {
        return Look { width: WIDTH, colour: false };
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_none_or(|term| term == "dumb");
    Look { width: terminal.size().1.into(), colour: set("NO_COLOR").is_none() && !dumb }
}
