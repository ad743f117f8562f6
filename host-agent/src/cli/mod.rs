//! The command line: reads arguments, talks to the companion, shows answers. Standard output is data, standard error talk.

mod args;
mod client;
mod failure;
mod live;
mod render;
mod show;
mod up;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use args::{Arguments, Command, ServeArguments};
use client::Client;
use failure::{Exit, Failure};

use crate::daemon::{Companion, Settings, socket_path};

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_tracing(matches!(arguments.command, Command::Serve(_)));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Exit::Environment, format!("no runtime: {error}"));
            return failure.report();
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let state = arguments.state;
    let client = Client::new(socket_path(&state));
    match arguments.command {
        Command::Serve(serve) => serve_until_told(&state, &serve).await,
        Command::Up(up) => up::up(&client, &state, &up).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "firstlight", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        // Without a daemon the others work on the store that earlier commands left, if there is one.
        command if !client.answers().await && state.join("firstlight.db").exists() => {
            up::within(&state, false, ask(&client, command)).await
        }
        command => ask(&client, command).await,
    }
}

/// The commands that ask the companion.
async fn ask(client: &Client, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Jobs { json } => {
            let jobs = client.get("/v1/jobs").await?;
            print(&if json { render::json(&jobs) } else { render::jobs(&jobs) })
        }
        Command::Show { id, json } => {
            let shown = client.get(&format!("/v1/jobs/{}", client::escape(&id))).await?;
            print(&if json { render::json(&shown) } else { show::job(&shown) })
        }
        Command::Reports { guest, json } => {
            let query = guest.map(|guest| format!("?guest={}", client::escape(&guest))).unwrap_or_default();
            let reports = client.get(&format!("/v1/reports{query}")).await?;
            print(&if json { render::json(&reports) } else { render::reports(&reports) })
        }
        Command::KnownHosts { guests, json } => {
            let query = client::escape(&guests.join(","));
            let hosts = client.get(&format!("/v1/known-hosts?guest={query}")).await?;
            print(&if json { render::json(&hosts) } else { render::known_hosts(&hosts) })
        }
        Command::Destroy { guests, all, json } => destroy(client, guests, all, json).await,
        Command::Serve(_) | Command::Up(_) | Command::Completions { .. } => Ok(Exit::Ok),
    }
}

/// Removes guests and everything that was made for them, and waits until that is done.
async fn destroy(client: &Client, mut guests: Vec<String>, all: bool, json: bool) -> Result<Exit, Failure> {
    if all {
        let jobs = client.get("/v1/jobs").await?;
        let gone = |state: &Value| matches!(state.as_str(), Some("rolled-back" | "abandoned"));
        let live = jobs["jobs"].as_array().into_iter().flatten().filter(|job| !gone(&job["state"]));
        guests = live.filter_map(|job| job["guest"].as_str()).map(ToOwned::to_owned).collect();
    }
    let mut summary = json!({ "guests": [], "duplicates": [] });
    if !guests.is_empty() {
        let asked = client.post("/v1/destroy", &json!({ "guests": guests })).await?;
        let jobs = client::ids(&asked);
        live::follow(client, &jobs).await?;
        summary = client.get(&format!("/v1/summary?jobs={}", jobs.join(","))).await?;
    }
    let gone = up::states(&summary).all(|state| state == "rolled-back");
    if json {
        print(&render::json(&summary))?;
    }
    if gone { Ok(Exit::Ok) } else { Err(up::operator_needed(&summary)) }
}

async fn serve_until_told(state: &std::path::Path, serve: &ServeArguments) -> Result<Exit, Failure> {
    let told =
        |kind| signal(kind).map_err(|error| Failure::new(Exit::Environment, format!("no signals: {error}")));
    let (mut terminate, mut interrupt) = (told(SignalKind::terminate())?, told(SignalKind::interrupt())?);
    let settings = Settings {
        state: state.to_owned(),
        listen: Some(serve.listen),
        report_port: serve.listen.port(),
        resume: true,
    };
    let companion = Companion::start(&settings).await?;
    tracing::info!(state = %state.display(), reports = %serve.listen, "serving");
    if !nix::unistd::geteuid().is_root() {
        tracing::warn!("not root: local guests cannot be brought up");
    }
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; guests live on");
    companion.stop().await;
    Ok(Exit::Ok)
}

/// Writes data to standard output. A reader that went away is no error of ours.
fn print(text: &str) -> Result<Exit, Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Environment, format!("standard output: {error}")))
        }
        _ => Ok(Exit::Ok),
    }
}

/// Messages go to standard error; `FIRSTLIGHT_LOG` sets the level as RUST_LOG does elsewhere.
fn start_tracing(serving: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FIRSTLIGHT_LOG");
    let filter =
        filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(if serving { "info" } else { "error" }));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
}
