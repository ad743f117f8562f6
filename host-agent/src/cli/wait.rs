//! `firstlight wait`: a guest that another tool made, followed until it is ready or cannot be. And `firstlight pin`, which such
//! a guest's golden needs.

use serde_json::Value;

use super::args::WaitArguments;
use super::failure::{Exit, Failure};
use super::interrupt::Interrupts;
use super::live::{follow, say};
use super::{Session, print, render, up};
use crate::bringup::{Applied, Submitted, WaitFor};
use crate::http::api::WaitRequest;

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
