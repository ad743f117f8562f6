//! `firstlight up`: submit, follow, sum up.

use std::path::Path;

use serde_json::{Value, json};
use tokio::signal::ctrl_c;

use super::args::UpArguments;
use super::client::{Client, ids};
use super::failure::{Exit, Failure};
use super::{live, print, render};
use crate::bringup::load_spec;
use crate::daemon::{Companion, Settings};

/// The port in the local guests' own network, when no daemon says otherwise.
const REPORT_PORT: u16 = 7443;

pub(super) async fn up(client: &Client, state: &Path, arguments: &UpArguments) -> Result<Exit, Failure> {
    let guests = load_spec(&arguments.spec)?;
    let request = json!({ "guests": guests });
    if client.answers().await {
        return with_daemon(client, &request, arguments).await;
    }
    if arguments.detach {
        return Err(Failure::new(Exit::NoAnswer, "no companion runs here, and --detach needs one")
            .hint("start one with `firstlight serve`"));
    }
    // Said by the backend too, but here before a state folder is made.
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(Exit::Environment, "local guests need root")
            .hint("run it as root: sudo firstlight up SPEC"));
    }
    within(state, true, in_process(client, &request, arguments)).await
}

/// Runs a companion in this process, on the same store, for as long as `work` needs it.
pub(super) async fn within<T>(
    state: &Path,
    resume: bool,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let settings = Settings { state: state.to_owned(), listen: None, report_port: REPORT_PORT, resume };
    let companion = Companion::start(&settings).await?;
    let outcome = work.await;
    companion.stop().await;
    outcome
}

async fn with_daemon(client: &Client, request: &Value, arguments: &UpArguments) -> Result<Exit, Failure> {
    let jobs = ids(&client.post("/v1/up", request).await?);
    if arguments.detach {
        if arguments.json {
            return print(&render::json(&json!({ "jobs": jobs })));
        }
        let jobs = if jobs.len() == 1 { "1 job".to_owned() } else { format!("{} jobs", jobs.len()) };
        eprintln!("{jobs} recorded; `firstlight jobs` shows how far they are");
        return Ok(Exit::Ok);
    }
    tokio::select! {
        followed = live::follow(client, &jobs) => followed?,
        _ = ctrl_c() => {
            eprintln!("the jobs go on: `firstlight jobs` lists them, `firstlight destroy GUEST` undoes one");
            return Ok(Exit::Interrupted);
        }
    }
    conclude(client, &jobs, arguments).await
}

async fn in_process(client: &Client, request: &Value, arguments: &UpArguments) -> Result<Exit, Failure> {
    let jobs = ids(&client.post("/v1/up", request).await?);
    let interrupted = tokio::select! {
        followed = live::follow(client, &jobs) => { followed?; false }
        _ = ctrl_c() => true,
    };
    if !interrupted {
        return conclude(client, &jobs, arguments).await;
    }
    eprintln!("interrupted: undoing what was done");
    let summary = client.get(&format!("/v1/summary?jobs={}", jobs.join(","))).await?;
    let names = summary["guests"].as_array().into_iter().flatten();
    let unfinished =
        names.filter(|guest| guest["state"] != "rolled-back").map(|guest| &guest["name"]).collect::<Vec<_>>();
    client.post("/v1/destroy", &json!({ "guests": unfinished })).await?;
    live::follow(client, &jobs).await?;
    Ok(Exit::Interrupted)
}

async fn conclude(client: &Client, jobs: &[String], arguments: &UpArguments) -> Result<Exit, Failure> {
    let summary = client.get(&format!("/v1/summary?jobs={}", jobs.join(","))).await?;
    print(&if arguments.json { render::json(&summary) } else { render::guests(&summary) })?;
    if states(&summary).any(|state| state == "needs-operator") {
        return Err(operator_needed(&summary));
    }
    let unready = summary["guests"].as_array().into_iter().flatten().find(|guest| guest["state"] != "done");
    if let Some(guest) = unready {
        return Err(not_ready(guest));
    }
    if summary["duplicates"].as_array().is_some_and(|shared| !shared.is_empty()) {
        return Err(Failure::new(
            Exit::NotReady,
            format!("identities are shared: {}", summary["duplicates"]),
        ));
    }
    Ok(Exit::Ok)
}

fn not_ready(guest: &Value) -> Failure {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let failure = &guest["failure"];
    let code = text(&failure["code"]);
    let exit = if code.starts_with("golden-") || code == "foreign" { Exit::BadInput } else { Exit::NotReady };
    for line in guest["console_tail"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        eprintln!("{} console: {line}", text(&guest["name"]));
    }
    let failed = Failure::new(exit, format!("{}: {}", text(&guest["name"]), text(&failure["message"])));
    match failure["hint"].as_str() {
        Some(hint) => failed.hint(hint),
        None => failed.hint(format!("`firstlight show {}` tells the whole story", text(&guest["name"]))),
    }
}

/// Names what is left, and the commands to run.
pub(super) fn operator_needed(summary: &Value) -> Failure {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let guests = summary["guests"].as_array().into_iter().flatten();
    let stuck = guests
        .filter(|guest| guest["state"] != "rolled-back" && guest["state"] != "done")
        .collect::<Vec<_>>();
    let names =
        stuck.iter().map(|guest| format!("{}: {}", text(&guest["name"]), text(&guest["failure"]["message"])));
    let mut failure = Failure::new(
        Exit::NeedsOperator,
        format!("an operator is needed: {}", names.collect::<Vec<_>>().join("; ")),
    );
    for command in stuck.iter().flat_map(|guest| guest["leftovers"].as_array().into_iter().flatten()) {
        failure = failure.hint(text(command));
    }
    failure
}

pub(super) fn states(summary: &Value) -> impl Iterator<Item = &str> {
    summary["guests"].as_array().into_iter().flatten().filter_map(|guest| guest["state"].as_str())
}
