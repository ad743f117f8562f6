//! `firstlight wait`: a guest that another tool made, followed until it is ready or cannot be. And `firstlight pin`, which such
//! a guest's golden needs.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::args::timeout;
use super::failure::{Exit, Failure};
use super::interrupt::Interrupts;
use super::live::{follow, say};
use super::{Session, print, render, up};
use crate::bringup::{Applied, Submitted, WaitFor};
use crate::http::api::WaitRequest;

#[derive(Debug, Args)]
pub(super) struct WaitArguments {
    /// The guest, as the backend names it.
    #[arg(value_name = "GUEST", required_unless_present = "vmid", conflicts_with = "vmid")]
    guest: Option<String>,
    /// Where the guest is: `proxmox`, for one.
    #[arg(long, value_name = "NAME")]
    backend: String,
    /// The guest's number, instead of its name.
    #[arg(long, value_name = "N")]
    vmid: Option<u32>,
    /// How long the guest has for its report, from now on: `90s`, `5m`, `1h`.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = timeout)]
    timeout: Duration,
    /// A check that must pass, beyond those that the guest itself requires; may be given several times.
    #[arg(long, value_name = "CHECK")]
    require: Vec<String>,
    /// What is on record of the guest does not count: wait for its next report.
    #[arg(long)]
    again: bool,
    /// Print one JSON document when the wait has ended.
    #[arg(long)]
    json: bool,
    /// Return as soon as the wait is recorded.
    #[arg(long)]
    detach: bool,
}

pub(super) async fn wait(session: &Session, arguments: &WaitArguments) -> Result<Exit, Failure> {
    if !session.client.answers().await {
        return Err(Failure::new(Exit::NoAnswer, "no companion runs here, and guests report to one")
            .hint("start it with `firstlight serve`, or name one elsewhere with --url"));
    }
    let request = WaitRequest { guest: wanted(arguments), by: None };
    let mut interrupts = Interrupts::listen()?;
    let asked = session.client.post::<Submitted>("/v1/wait", &request);
    let Some(submitted) = interrupts.unless(asked).await? else {
        say("interrupted before the companion had answered");
        say(&format!("hint: `{}` shows whether it waits", session.place.command("jobs")));
        return Ok(Exit::Interrupted);
    };
    let submitted = [submitted];
    up::tell_as(
        &submitted,
        [
            (Applied::Created, "waiting for"),
            (Applied::Unchanged, "on record (--again waits for the next report)"),
            (Applied::Joined, "joined (it is waited for already)"),
        ],
    );
    let jobs = submitted.clone().map(|one| one.job);
    if arguments.detach {
        if arguments.json {
            return print(&render::json(&submitted[0]));
        }
        say(&format!(
            "recorded; `{}` shows how far it is",
            session.place.command(&format!("watch {}", jobs[0]))
        ));
        return Ok(Exit::Ok);
    }
    match interrupts.unless(follow(&session.client, &jobs)).await? {
        Some(_) => up::conclude(session, &jobs, &submitted, arguments.json).await,
        None => {
            session.place.tell_detached(&jobs);
            Ok(Exit::Interrupted)
        }
    }
}

fn wanted(arguments: &WaitArguments) -> WaitFor {
    let guest = match (&arguments.guest, arguments.vmid) {
        (Some(guest), _) => guest.clone(),
        (None, vmid) => vmid.map(|vmid| vmid.to_string()).unwrap_or_default(),
    };
    WaitFor {
        backend: arguments.backend.clone(),
        guest,
        timeout_ms: u64::try_from(arguments.timeout.as_millis()).unwrap_or(u64::MAX),
        require: arguments.require.clone(),
        again: arguments.again,
    }
}

pub(super) async fn pin(session: &Session, json: bool) -> Result<Exit, Failure> {
    let status: Value = session.client.get("/v1/status").await?;
    if json {
        return print(&render::json(&serde_json::json!({ "pin": status["pin"] })));
    }
    print(&format!("{}\n", render::text(&status["pin"])))
}
