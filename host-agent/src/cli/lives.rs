//! `keep`, and changes of guests that are ready: `set`, `snapshot`, `rollback`, `promote`.

use serde_json::{Value, json};

use super::args::{ChangeOutput, KeepArguments};
use super::client::escape;
use super::failure::{Exit, Failure};
use super::interrupt::Interrupts;
use super::live::{follow, say};
use super::{Session, print, render, summaries};
use crate::backend::Snapshot;
use crate::bringup::Change;
use crate::http::api::{Asked, ChangeBody, KeepRequest, Snapshots};

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
    let Some(summary) = followed(session, &jobs).await? else { return Ok(Exit::Interrupted) };
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

/// How these jobs ended. None: the person went away before, and was told how to come back.
async fn followed(session: &Session, jobs: &[String]) -> Result<Option<Value>, Failure> {
    let mut interrupts = Interrupts::listen()?;
    if interrupts.unless(follow(&session.client, jobs)).await?.is_none() {
        session.place.tell_detached(jobs);
        return Ok(None);
    }
    summaries(&session.client, jobs).await.map(Some)
}

/// Asks for a change, and follows it to its end.
pub(super) async fn change(
    session: &Session,
    guest: &str,
    change: Change,
    how: &ChangeOutput,
) -> Result<Exit, Failure> {
    let path = format!("/v1/guests/{}/changes", escape(guest));
    let asked: Asked = session.client.post(&path, &ChangeBody { change }).await?;
    let jobs = [asked.job.clone()];
    if how.detach {
        if how.json {
            return print(&render::json(&json!({ "jobs": [asked] })));
        }
        say(&format!(
            "recorded; `{}` shows how far it is",
            session.place.command(&format!("watch {}", asked.job))
        ));
        return Ok(Exit::Ok);
    }
    let Some(summary) = followed(session, &jobs).await? else { return Ok(Exit::Interrupted) };
    if how.json {
        print(&render::json(&summary))?;
    }
    let Some(job) = render::list(&summary["guests"]).next() else { return Ok(Exit::Ok) };
    let why = || render::text(&job["failure"]["message"]);
    match job["state"].as_str().unwrap_or_default() {
        "done" => Ok(Exit::Ok),
        "needs-operator" => {
            let todo: Vec<String> = render::list(&job["leftovers"]).map(render::text).collect();
            Err(Failure::new(
                Exit::NeedsOperator,
                format!("the change of {} failed: {}", render::text(&job["name"]), why()),
            )
            .hint(format!("one of: {}", todo.join("; "))))
        }
        _ => Err(Failure::new(
            Exit::NotReady,
            format!("the change of {} was undone: {}", render::text(&job["name"]), why()),
        )
        .hint(format!("`firstlight show {}` tells more", asked.job))),
    }
}

pub(super) async fn snapshots(session: &Session, guest: &str, json: bool) -> Result<Exit, Failure> {
    let answer: Snapshots = session.client.get(&format!("/v1/guests/{}/snapshots", escape(guest))).await?;
    if json {
        return print(&render::json(&answer));
    }
    let now = crate::clock::now_ms();
    let row = |snapshot: &Snapshot| {
        let age = snapshot.taken_at_ms.map(|taken| render::span(now.saturating_sub(taken)));
        vec![render::safe(&snapshot.name), age.unwrap_or_else(|| "-".to_owned())]
    };
    print(&render::table(&["SNAPSHOT", "AGE"], answer.snapshots.iter().map(row)))
}
