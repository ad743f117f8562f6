//! The command line: reads arguments, talks to the companion, shows answers. Standard output is data, standard error talk.

mod args;
mod changes;
mod client;
mod config;
mod doctor;
mod failure;
mod fleet;
mod golden;
mod interrupt;
mod live;
mod lives;
mod looks;
mod progress;
mod render;
mod serve;
mod signals;
mod ssh;
mod store;
mod tell;
mod trust;
mod up;
mod verify;
mod wait;
mod web;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use args::{Arguments, Command, PlaceArguments};
use client::{Client, Place};
use failure::{Exit, Failure};

use crate::bringup::Change;
use crate::config::Settings;
use crate::daemon::{LogLevel, Purpose};
use crate::store::Location;

/// How many jobs one summary joins: their ids must fit into an address.
const OF_ONE_SUMMARY: usize = 500;

/// What every command that asks a companion needs.
#[derive(Debug)]
struct Session {
    place: PlaceArguments,
    client: Client,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A daemon's level is in its configuration; of a command only what went wrong is told.
    let level = std::env::var("FIRSTLIGHT_LOG").unwrap_or_else(|_| "error".to_owned());
    let log = LogLevel::start(&level);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Exit::Environment, format!("no runtime: {error}"));
            return failure.report();
        }
    };
    let ended = runtime.block_on(run(arguments, &log));
    // A stream that nobody reads any more must not hold us.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

async fn run(arguments: Arguments, log: &LogLevel) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Serve(serve) => return serve::serve(&arguments.place, &serve, log).await,
        Command::Golden(command) => return golden::run(&arguments.place, &command).await,
        Command::Config(command) => return config::run(&arguments.place, &command),
        Command::Doctor(doctor) => return doctor::doctor(&arguments.place, &doctor).await,
        Command::Trust(trust) => return trust::trust(&arguments.place, &trust).await,
        Command::Ssh(ssh::SshCommand::Ca(ssh::CaCommand::Init(init))) => {
            return ssh::make_ca(&arguments.place, &init);
        }
        Command::Verify(ref arguments) if arguments.file.is_some() => {
            let file = arguments.file.clone().unwrap_or_default();
            return verify::offline(&file, arguments);
        }
        Command::Tell(tell::TellCommand::Man { dir }) => return tell::man(dir.as_deref()),
        Command::Openapi => return print(&render::json(&crate::http::api_document())),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "firstlight", &mut script);
            return print(&String::from_utf8_lossy(&script));
        }
        _ => {}
    }
    let client = Client::new(Place::of(&arguments.place)?);
    let session = Session { place: arguments.place, client };
    match arguments.command {
        Command::Up(up) => up::up(&session, &up).await,
        Command::Plan { spec, output } => plan(&session, &spec, output.json).await,
        Command::Wait(arguments) => wait::wait(&session, &arguments).await,
        Command::Web(command) => web::run(&session, &command).await,
        // Without a daemon the others work on the store that earlier commands left, if there is one.
        command if session.client.answers().await => ask(&session, command).await,
        command => match (purpose(&command), left(&session)?) {
            (Some(purpose), Some(settings)) => up::within(&settings, purpose, ask(&session, command)).await,
            _ => ask(&session, command).await,
        },
    }
}

/// A plan needs no companion, and changes nothing: where there is no store, none is made.
async fn plan(session: &Session, spec: &std::path::Path, json: bool) -> Result<Exit, Failure> {
    let guests = crate::bringup::load_spec(spec)?;
    if session.client.answers().await {
        return looks::plan(session, guests, json).await;
    }
    if let Some(settings) = left(session)? {
        return up::within(&settings, Purpose::Look, looks::plan(session, guests, json)).await;
    }
    looks::plan_on_nothing(session, guests, json).await
}

/// What this process must be for a command, if no companion answers; none: the command makes no sense then.
fn purpose(command: &Command) -> Option<Purpose> {
    match command {
        Command::Cancel(_)
        | Command::Retry { .. }
        | Command::Abandon(_)
        | Command::Keep(_)
        | Command::Set { .. }
        | Command::Snapshot { .. }
        | Command::Rollback { .. }
        | Command::Promote { .. }
        | Command::Destroy(_) => Some(Purpose::Work),
        Command::Watch { .. } => None,
        Command::Ssh(command) if command.follows() => None,
        Command::Signals(command) if command.needs_companion() => None,
        _ => Some(Purpose::Look),
    }
}

/// The settings, if there is an embedded store that nobody works on.
fn left(session: &Session) -> Result<Option<Settings>, Failure> {
    if session.place.url.is_some() {
        return Ok(None);
    }
    let settings = session.place.settings()?;
    let there = matches!(settings.store.url.parse(), Ok(Location::File(path)) if path.exists());
    Ok(there.then_some(settings))
}

/// The commands that ask the companion.
async fn ask(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Jobs(arguments) => looks::jobs(session, &arguments).await,
        Command::Show { id, events, output } => looks::show(session, &id, events, output.json).await,
        Command::Watch { names, json } => looks::watch(session, &names, json).await,
        Command::Cancel(change) => changes::cancel(session, &change).await,
        Command::Retry { change, anew } => changes::retry(session, &change, anew).await,
        Command::Abandon(change) => changes::abandon(session, &change).await,
        Command::Destroy(arguments) => changes::destroy(session, &arguments).await,
        Command::Reports { guest, page, output } => {
            looks::reports(session, guest.as_deref(), &page, output.json).await
        }
        Command::Verify(arguments) => verify::verify(session, &arguments).await,
        Command::Keep(arguments) => lives::keep(session, &arguments).await,
        Command::Set { guest, memory, snapshot, how } => {
            lives::change(session, &guest, Change::Memory { bytes: memory, snapshot }, &how).await
        }
        Command::Snapshot { guest, name, remove: false, how } => {
            lives::change(session, &guest, Change::Snapshot { name }, &how).await
        }
        Command::Snapshot { guest, name, remove: true, how } => {
            lives::change(session, &guest, Change::RemoveSnapshot { name }, &how).await
        }
        Command::Snapshots { guest, output } => lives::snapshots(session, &guest, output.json).await,
        Command::Rollback { guest, name, how } => {
            lives::change(session, &guest, Change::Rollback { name }, &how).await
        }
        Command::Promote { guest, how } => lives::change(session, &guest, Change::Promote, &how).await,
        Command::Ssh(command) => ssh::run(session, &command).await,
        Command::Signals(command) => signals::run(session, command).await,
        Command::Tell(command) => tell::run(session, &command).await,
        Command::Pin { output } => wait::pin(session, output.json).await,
        Command::Store(command) => store::run(session, &command).await,
        Command::Up(_)
        | Command::Plan { .. }
        | Command::Wait(_)
        | Command::Web(_)
        | Command::Serve(_)
        | Command::Config(_)
        | Command::Golden(_)
        | Command::Doctor(_)
        | Command::Trust(_)
        | Command::Openapi
        | Command::Completions { .. } => Ok(Exit::Ok),
    }
}

/// What became of these jobs; of many, joined from several answers.
async fn summaries(client: &Client, jobs: &[String]) -> Result<Value, Failure> {
    let (mut guests, mut duplicates): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for part in jobs.chunks(OF_ONE_SUMMARY) {
        let query = client::query(&[("jobs", &part.join(","))]);
        let summary: Value = client.get(&format!("/v1/summary{query}")).await?;
        guests.extend(render::list(&summary["guests"]).cloned());
        for shared in render::list(&summary["duplicates"]) {
            if !duplicates.contains(shared) {
                duplicates.push(shared.clone());
            }
        }
    }
    Ok(json!({ "guests": guests, "duplicates": duplicates }))
}

/// Writes data to standard output. A reader that went away is no error of ours.
fn print(text: &str) -> Result<Exit, Failure> {
    print_on(text.as_bytes()).map(|_| Exit::Ok)
}

/// As [`print()`]; false: nobody reads any more, so there is no use in going on.
fn print_on(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::Environment, format!("standard output: {error}"))),
    }
}
