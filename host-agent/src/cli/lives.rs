//! `keep`: how long guests live.

use serde_json::{Value, json};

use super::args::KeepArguments;
use super::client::escape;
use super::failure::{Exit, Failure};
use super::interrupt::Interrupts;
use super::live::{follow, say};
use super::{Session, print, render, summaries};
use crate::http::api::{Asked, KeepRequest};

pub(super) async fn keep(session: &Session, arguments: &KeepArguments) -> Result<Exit, Failure> {
    let for_ms = arguments.span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let mut asked: Vec<Asked> = Vec::new();
    for guest in &arguments.guests {
        let path = format!("/v1/jobs/{}/keep", escape(guest));
        asked.push(session.client.post(&path, &KeepRequest { for_ms }).await?);
    }
    let jobs: Vec<String> = asked.iter().map(|one| one.job.clone()).collect();
    if arguments.detach {
        if arguments.json {
            return print(&render::json(&json!({ "jobs": asked })));
        }
        say("recorded; it counts as soon as a companion has taken it up");
        return Ok(Exit::Ok);
    }
    let mut interrupts = Interrupts::listen()?;
    if interrupts.unless(follow(&session.client, &jobs)).await?.is_none() {
        session.place.tell_detached(&jobs);
        return Ok(Exit::Interrupted);
    }
    let summary = summaries(&session.client, &jobs).await?;
    let all = || render::list(&summary["guests"]);
    if let Some(gone) =
        all().find(|guest| matches!(guest["state"].as_str(), Some("rolled-back" | "unwinding")))
    {
        let message = format!("guest {} was being destroyed already", render::text(&gone["name"]));
        return Err(Failure::new(Exit::NotReady, message).hint("`firstlight show` tells who asked for it"));
    }
    if arguments.json {
        return print(&render::json(&summary));
    }
    let now = crate::clock::now_ms();
    let line = |guest: &Value| format!("{}: {}\n", render::text(&guest["name"]), render::life(guest, now));
    print(&all().map(line).collect::<String>())
}
