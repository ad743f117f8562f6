//! `firstlight up`: submit, follow, sum up.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::args::PlaceArguments;
use super::client::Client;
use super::failure::{Exit, Failure, exit_of};
use super::interrupt::Interrupts;
use super::live::{follow, say};
use super::{Session, print, render, summaries};
use crate::bringup::{Applied, Submitted, load_spec};
use crate::config::Settings;
use crate::daemon::{Companion, Purpose};
use crate::http::api::{DestroyAnswer, DestroyRequest, UpAnswer, UpRequest};

#[derive(Debug, Args)]
pub(super) struct UpArguments {
    /// The spec, in TOML.
    spec: PathBuf,
    /// Print one JSON document when all jobs have ended.
    #[arg(long)]
    json: bool,
    /// Return as soon as the jobs are recorded; needs a running companion.
    #[arg(long)]
    detach: bool,
}

pub(super) async fn up(session: &Session, arguments: &UpArguments) -> Result<Exit, Failure> {
    let request = UpRequest { guests: load_spec(&arguments.spec)?, by: None };
    let client = &session.client;
    if client.answers().await {
        return with_daemon(session, &request, arguments).await;
    }
    if arguments.detach {
        return Err(Failure::new(Exit::NoAnswer, "no companion runs here, and --detach needs one")
            .hint("start one with `firstlight serve`"));
    }
    // Said by the backend too, but here before a state folder is made.
    let is_local = request.guests.iter().any(|guest| guest.backend == "local");
    if is_local && !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(Exit::Environment, "local guests need root")
            .hint("run it as root: sudo firstlight up SPEC"));
    }
    within(&session.place.settings()?, Purpose::Work, in_process(session, &request, arguments)).await
}

/// Runs a companion in this process, on the same store, for as long as `work` needs it.
pub(super) async fn within<T>(
    settings: &Settings,
    purpose: Purpose,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let companion = Companion::start(settings, purpose, Vec::new()).await?;
    let outcome = work.await;
    companion.stop().await;
    outcome
}

async fn with_daemon(
    session: &Session,
    request: &UpRequest,
    arguments: &UpArguments,
) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let Some(answer) = interrupts.unless(session.client.post::<UpAnswer>("/v1/up", request)).await? else {
        say("interrupted before the companion had answered");
        say(&format!("hint: `{}` shows whether it took the guests", session.place.command("jobs")));
        return Ok(Exit::Interrupted);
    };
    tell(&answer.jobs);
    let jobs = ids(&answer.jobs);
    if arguments.detach {
        if arguments.json {
            return print(&render::json(&json!(answer)));
        }
        say(&format!("recorded; `{}` shows how far they are", session.place.command("watch")));
        return Ok(Exit::Ok);
    }
    match interrupts.unless(follow(&session.client, &jobs)).await? {
        Some(_) => conclude(session, &jobs, &answer.jobs, arguments.json).await,
        None => {
            session.place.tell_detached(&jobs);
            Ok(Exit::Interrupted)
        }
    }
}

/// Without a daemon nobody would go on: Ctrl-C undoes.
async fn in_process(
    session: &Session,
    request: &UpRequest,
    arguments: &UpArguments,
) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let Some(answer) = interrupts.unless(session.client.post::<UpAnswer>("/v1/up", request)).await? else {
        say("interrupted before any job was recorded, or just then");
        say(&format!("hint: `{}` shows what there is", session.place.command("jobs")));
        return Ok(Exit::Interrupted);
    };
    tell(&answer.jobs);
    let jobs = ids(&answer.jobs);
    if interrupts.unless(follow(&session.client, &jobs)).await?.is_some() {
        return conclude(session, &jobs, &answer.jobs, arguments.json).await;
    }
    say("interrupted: undoing what was done, for no companion goes on with it (Ctrl-C again stops at once)");
    if interrupts.unless(undo(&session.client, &answer.jobs)).await?.is_none() {
        say("stopped at once: what was begun is on record, and not undone");
        say(&format!("hint: `{}` goes on with it", session.place.command("serve")));
        say(&format!("hint: `{}` undoes it", session.place.command("destroy GUEST")));
    }
    Ok(Exit::Interrupted)
}

/// Undoes the jobs that this command made and that are not gone; guests that were there before stay.
async fn undo(client: &Client, submitted: &[Submitted]) -> Result<(), Failure> {
    let made = submitted.iter().filter(|one| one.action == Applied::Created);
    let made: Vec<String> = made.map(|one| one.job.clone()).collect();
    let summary = summaries(client, &made).await?;
    let gone = |guest: &&Value| matches!(guest["state"].as_str(), Some("rolled-back" | "abandoned"));
    let left = render::list(&summary["guests"]).filter(|guest| !gone(guest));
    let guests = left.filter_map(|guest| guest["name"].as_str()).map(ToOwned::to_owned).collect::<Vec<_>>();
    if !guests.is_empty() {
        let request = DestroyRequest { guests, reason: Some("interrupted by Ctrl-C".to_owned()) };
        client.post::<DestroyAnswer>("/v1/destroy", &request).await?;
    }
    follow(client, &made).await.map(|_| ())
}

fn ids(submitted: &[Submitted]) -> Vec<String> {
    submitted.iter().map(|one| one.job.clone()).collect()
}

/// Says what becomes of each guest, those of a kind in one line.
fn tell(submitted: &[Submitted]) {
    tell_as(
        submitted,
        [
            (Applied::Created, "created"),
            (Applied::Unchanged, "unchanged (they are as the spec wants them)"),
            (Applied::Joined, "joined (a job for just this is at work)"),
        ],
    );
}

/// The same in other words.
pub(super) fn tell_as(submitted: &[Submitted], words: [(Applied, &str); 3]) {
    for (action, words) in words {
        let guests: Vec<&str> =
            submitted.iter().filter(|one| one.action == action).map(|one| one.guest.as_str()).collect();
        if !guests.is_empty() {
            say(&format!("{words}: {}", firstlight_shared::text::escape(&guests.join(", "), 4000)));
        }
    }
}

/// Prints what became of the jobs, and ends as they ended.
pub(super) async fn conclude(
    session: &Session,
    jobs: &[String],
    submitted: &[Submitted],
    json: bool,
) -> Result<Exit, Failure> {
    let mut summary = summaries(&session.client, jobs).await?;
    if json {
        summary["submitted"] = json!(submitted);
    }
    print(&if json { render::json(&summary) } else { render::guests(&summary) })?;
    if states(&summary).any(|state| state == "needs-operator") {
        return Err(operator_needed(&summary));
    }
    if let Some(guest) = render::list(&summary["guests"]).find(|guest| guest["state"] != "done") {
        return Err(not_ready(&session.place, guest));
    }
    if summary["duplicates"].as_array().is_some_and(|shared| !shared.is_empty()) {
        let message = format!("identities are shared: {}", summary["duplicates"]);
        return Err(Failure::new(Exit::NotReady, message)
            .hint("`firstlight reports` shows what each guest says; destroy the one that is wrong"));
    }
    Ok(Exit::Ok)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn not_ready(place: &PlaceArguments, guest: &Value) -> Failure {
    let failure = &guest["failure"];
    // A golden that turned out bad on the way is still a bad golden.
    let exit = match exit_of(&string(&failure["code"])) {
        Exit::BadInput => Exit::BadInput,
        _ => Exit::NotReady,
    };
    let name = render::text(&guest["name"]);
    for line in render::list(&guest["console_tail"]) {
        say(&format!("{name} console: {}", render::text(line)));
    }
    let failed = Failure::new(exit, format!("{name}: {}", string(&failure["message"])));
    let failed = match failure["hint"].as_str() {
        Some(hint) => failed.hint(hint),
        None => failed,
    };
    failed.hint(format!(
        "`{}` tells the whole story",
        place.command(&format!("show {}", string(&guest["job"])))
    ))
}

/// Names what is left, and the commands to run.
pub(super) fn operator_needed(summary: &Value) -> Failure {
    let stuck = render::list(&summary["guests"])
        .filter(|guest| guest["state"] != "rolled-back" && guest["state"] != "done")
        .collect::<Vec<_>>();
    let names = stuck
        .iter()
        .map(|guest| format!("{}: {}", string(&guest["name"]), string(&guest["failure"]["message"])));
    let message = format!("an operator is needed: {}", names.collect::<Vec<_>>().join("; "));
    let mut failure = Failure::new(Exit::NeedsOperator, message);
    for command in stuck.iter().flat_map(|guest| render::list(&guest["leftovers"])) {
        failure = failure.hint(string(command));
    }
    failure
}

pub(super) fn states(summary: &Value) -> impl Iterator<Item = &str> {
    render::list(&summary["guests"]).filter_map(|guest| guest["state"].as_str())
}
