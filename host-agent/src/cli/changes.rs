//! `cancel`, `retry`, `abandon`, `destroy`: ask, follow to the end, sum up.

use std::io::{BufRead, IsTerminal};

use serde::Serialize;
use serde_json::{Value, json};

use super::args::{ChangeArguments, DestroyArguments, How};
use super::client::{escape, query};
use super::failure::{Exit, Failure};
use super::interrupt::Interrupts;
use super::live::{follow, say};
use super::{Session, print, render, summaries, up};
use crate::bringup::JobPage;
use crate::http::api::{AbandonRequest, Asked, CancelRequest, DestroyAnswer, DestroyRequest, RetryRequest};

/// What the jobs shall be in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Gone,
    Ready,
    Abandoned,
}

pub(super) async fn cancel(session: &Session, change: &ChangeArguments) -> Result<Exit, Failure> {
    let body = CancelRequest { reason: change.how.reason.clone() };
    let asked = ask_each(session, change, "cancel", &body).await?;
    finish(session, &asked, &change.how, Goal::Gone).await
}

pub(super) async fn retry(session: &Session, change: &ChangeArguments, anew: bool) -> Result<Exit, Failure> {
    let asked = ask_each(session, change, "retry", &RetryRequest { anew }).await?;
    finish(session, &asked, &change.how, Goal::Ready).await
}

pub(super) async fn abandon(session: &Session, change: &ChangeArguments) -> Result<Exit, Failure> {
    let body = AbandonRequest { reason: change.how.reason.clone() };
    let asked = ask_each(session, change, "abandon", &body).await?;
    finish(session, &asked, &change.how, Goal::Abandoned).await
}

async fn ask_each(
    session: &Session,
    change: &ChangeArguments,
    verb: &str,
    body: &impl Serialize,
) -> Result<Vec<Asked>, Failure> {
    let mut asked: Vec<Asked> = Vec::new();
    for name in &change.names {
        let path = format!("/v1/jobs/{}/{verb}", escape(name));
        let answer = session.client.post(&path, body).await;
        asked.push(answer.map_err(|failure| match asked.len() {
            0 => failure,
            done => failure.hint(format!("the {done} named before it were asked, and go on")),
        })?);
    }
    Ok(asked)
}

pub(super) async fn destroy(session: &Session, arguments: &DestroyArguments) -> Result<Exit, Failure> {
    let guests = match arguments.all {
        true => {
            let guests = everybody(session).await?;
            if guests.is_empty() {
                say("nothing to destroy: there is no guest that this companion made");
            } else if !arguments.yes && !confirmed(guests.len())? {
                say("nothing was done");
                return Ok(Exit::Ok);
            }
            guests
        }
        false => arguments.guests.clone(),
    };
    let mut asked = DestroyAnswer { jobs: Vec::new() };
    if !guests.is_empty() {
        let request = DestroyRequest { guests, reason: arguments.how.reason.clone() };
        asked = session.client.post("/v1/destroy", &request).await?;
    }
    finish(session, &asked.jobs, &arguments.how, Goal::Gone).await
}

/// Every guest that is not gone, but for those that somebody else made.
async fn everybody(session: &Session) -> Result<Vec<String>, Failure> {
    let mut jobs = Vec::new();
    let mut before = String::new();
    loop {
        let states = "queued,running,waiting,unwinding,done,needs-operator";
        let query = query(&[("state", states), ("limit", "1000"), ("before", &before)]);
        let page: JobPage = session.client.get(&format!("/v1/jobs{query}")).await?;
        jobs.extend(page.jobs.into_iter().map(|job| job.id));
        match page.next {
            Some(next) => before = next,
            None => break,
        }
    }
    let summary = summaries(&session.client, &jobs).await?;
    let named = |adopted: bool| {
        let those = render::list(&summary["guests"])
            .filter(move |guest| (guest["adopted"] == true) == adopted && guest["change_of"].is_null());
        those.filter_map(|guest| guest["name"].as_str()).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let others = named(true);
    if !others.is_empty() {
        say(&format!("left alone, since somebody else made them: {}", others.join(", ")));
    }
    Ok(named(false))
}

/// Asks on a terminal only: a script has decided.
fn confirmed(count: usize) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(true);
    }
    say(&format!("this destroys {count} guests and their data; type `yes` to go on:"));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new(Exit::Environment, format!("standard input: {error}")))?;
    Ok(line.trim() == "yes")
}

/// Follows to the end, and says how it was reached.
async fn finish(session: &Session, asked: &[Asked], how: &How, goal: Goal) -> Result<Exit, Failure> {
    let jobs: Vec<String> = asked.iter().map(|one| one.job.clone()).collect();
    if how.detach {
        if how.json {
            return print(&render::json(&json!({ "jobs": asked })));
        }
        say(&format!(
            "recorded; `{}` shows how far it is",
            session.place.command(&format!("watch {}", jobs.join(" ")))
        ));
        return Ok(Exit::Ok);
    }
    let mut interrupts = Interrupts::listen()?;
    if interrupts.unless(follow_asked(session, asked)).await?.is_none() {
        session.place.tell_detached(&jobs);
        return Ok(Exit::Interrupted);
    }
    if goal == Goal::Ready {
        return up::conclude(session, &jobs, &[], how.json).await;
    }
    let summary = summaries(&session.client, &jobs).await?;
    if how.json {
        print(&render::json(&summary))?;
    }
    judge(&summary, goal)
}

/// First the jobs that were asked, which may be undone before others begin anew; then those others, if the first did not
/// lead to them.
async fn follow_asked(session: &Session, asked: &[Asked]) -> Result<(), Failure> {
    if asked.is_empty() {
        return Ok(());
    }
    let first: Vec<String> = asked.iter().map(|one| one.asked.clone()).collect();
    let followed = follow(&session.client, &first).await?;
    let rest: Vec<String> =
        asked.iter().map(|one| one.job.clone()).filter(|job| !followed.contains(job)).collect();
    if !rest.is_empty() {
        follow(&session.client, &rest).await?;
    }
    Ok(())
}

fn judge(summary: &Value, goal: Goal) -> Result<Exit, Failure> {
    let reached = |guest: &Value| match (goal, guest["state"].as_str().unwrap_or_default()) {
        (Goal::Gone, state) => matches!(state, "rolled-back" | "abandoned"),
        (Goal::Ready, state) => state == "done",
        // Of a guest that somebody else made nothing is left to be abandoned.
        (Goal::Abandoned, "rolled-back") => guest["adopted"] == true,
        (Goal::Abandoned, state) => state == "abandoned",
    };
    if render::list(&summary["guests"]).all(reached) {
        return Ok(Exit::Ok);
    }
    if up::states(summary).any(|state| state == "needs-operator") {
        return Err(up::operator_needed(summary));
    }
    // A step that was under way ended well before the request was heard.
    Err(Failure::new(Exit::NotReady, "the request came too late: the job has ended otherwise")
        .hint("`firstlight jobs` shows where things stand"))
}
