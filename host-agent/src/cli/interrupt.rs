//! Ctrl-C: what is left behind, and how to come back to it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::PlaceArguments;
use super::failure::{Exit, Failure};
use super::live::say;

/// The commands that people are told name at most so many jobs.
const NAMED: usize = 8;

/// Counts Ctrl-C from now on; SIGTERM is the same wish.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(super) fn listen() -> Result<Self, Failure> {
        let told = |kind| {
            signal(kind).map_err(|error| Failure::new(Exit::Environment, format!("no signals: {error}")))
        };
        Ok(Self { interrupt: told(SignalKind::interrupt())?, terminate: told(SignalKind::terminate())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The work's result, or nothing if it was interrupted.
    pub(super) async fn unless<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        tokio::select! {
            done = work => done.map(Some),
            () = self.next() => Ok(None),
        }
    }
}

impl PlaceArguments {
    /// A command on the same companion, as it would be typed.
    pub(super) fn command(&self, words: &str) -> String {
        let given = |variable: &str, value: &str| std::env::var(variable).is_ok_and(|set| set == value);
        let mut command = "firstlight".to_owned();
        match &self.url {
            Some(url) if !given("FIRSTLIGHT_URL", url) => command.push_str(&format!(" --url {url}")),
            Some(_) => {}
            None => {
                for (flag, path) in [("--config", &self.config), ("--state", &self.state)] {
                    let path = path.as_ref().map(|path| path.display().to_string());
                    if let Some(path) = path.filter(|path| !given("FIRSTLIGHT_CONFIG", path)) {
                        command.push_str(&format!(" {flag} {path}"));
                    }
                }
            }
        }
        format!("{command} {words}")
    }

    /// Tells that jobs go on without us, and how to watch them again.
    pub(super) fn tell_detached(&self, jobs: &[String]) {
        let again = match jobs {
            [] => self.command("watch"),
            jobs if jobs.len() > NAMED => self.command("watch"),
            jobs => self.command(&format!("watch {}", jobs.join(" "))),
        };
        say("detached: the companion goes on");
        say(&format!("hint: watch again with `{again}`"));
        if let [job] = jobs {
            say(&format!("hint: `{}` undoes it, unless it is done", self.command(&format!("cancel {job}"))));
        } else {
            say(&format!("hint: `{}` with a guest's name undoes its job", self.command("cancel")));
        }
    }
}
