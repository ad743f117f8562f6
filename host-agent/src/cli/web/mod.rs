//! `firstlight web open`: a one-time link to the companion's pages; where they are not served over TLS, a way to them from
//! this machine as well.

mod forward;

use clap::{Args, Subcommand};

use super::Session;
use super::failure::{Exit, Failure};
use super::interrupt::Interrupts;
use super::live::say;
use super::print;
use crate::http::api::{Link, LinkRequest};

#[derive(Debug, Subcommand)]
pub(super) enum WebCommand {
    /// Print a link that signs one browser in on the companion's pages, with your role; good once, for two minutes.
    ///
    /// Where the pages are not served over TLS (`listen` of `[api]`), it listens on 127.0.0.1 and passes the pages on until Ctrl-C.
    #[command(after_help = "Examples:\n  firstlight web open\n  firstlight web open --read-only --port 8080")]
    Open(OpenArguments),
}

#[derive(Debug, Args)]
pub(super) struct OpenArguments {
    /// The session may look and change nothing.
    #[arg(long)]
    read_only: bool,
    /// Open the link in a browser of this machine, too.
    #[arg(long)]
    browser: bool,
    /// Listen on this port of 127.0.0.1 and pass the pages on, even where they are served over TLS.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

pub(super) async fn run(session: &Session, command: &WebCommand) -> Result<Exit, Failure> {
    let WebCommand::Open(open) = command;
    if open.port.is_some() && session.place.url.is_some() {
        return Err(Failure::new(Exit::Usage, "--port is for the companion of this machine")
            .hint("leave it out: with --url the link leads there itself"));
    }
    if !session.client.answers().await {
        return Err(Failure::new(
            Exit::NoAnswer,
            "no companion runs here, and it is the one that serves the pages",
        )
        .hint("start it with `firstlight serve`, or name one elsewhere with --url"));
    }
    let request = LinkRequest { read_only: open.read_only };
    // Asked for before anything listens: who may not have one hears it at once.
    let link: Link = session.client.post("/v1/web/links", &request).await?;
    let served = match &session.place.url {
        Some(url) => Some(url.trim_end_matches('/').to_owned()),
        None => link.base.clone().filter(|_| open.port.is_none()),
    };
    match served {
        Some(base) => show(&format!("{base}{}", link.path), open.browser),
        None => pass_on(session, open, &link).await,
    }
}

async fn pass_on(session: &Session, open: &OpenArguments, link: &Link) -> Result<Exit, Failure> {
    let listener = forward::listen(open.port.unwrap_or(0)).await?;
    let mut interrupts = Interrupts::listen()?;
    show(&format!("http://{}{}", listener.address(), link.path), open.browser)?;
    say("passing the pages on to this machine's browsers until Ctrl-C");
    interrupts.unless(listener.serve(session.client.clone())).await?;
    Ok(Exit::Ok)
}

fn show(url: &str, browser: bool) -> Result<Exit, Failure> {
    print(&format!("{url}\n"))?;
    say("the link signs one browser in, once, within two minutes");
    if browser {
        // Its own end is nothing to wait for.
        let opened = std::process::Command::new("xdg-open")
            .arg(url)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        opened.map_err(|error| {
            Failure::new(Exit::Environment, format!("no browser was opened: xdg-open: {error}"))
                .hint("open the link that was printed")
        })?;
    }
    Ok(Exit::Ok)
}
