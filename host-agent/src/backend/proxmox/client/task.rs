//! How a task ends, and waiting for it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Client;
use super::endpoint::task::{ReadTask, ReadTaskLog};
use super::upid::Upid;
use super::verdict::{ApiError, Class, Code, Patience, classify_exit};
use crate::clock::now_ms;

/// What a node says about how a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Ok,
    /// It did what it should, and something is to be read in its log.
    Warnings(u32),
    Failed(String),
    /// Its worker was killed, or the node: what it did is not known.
    Unknown(String),
}

impl Exit {
    /// Of the exit status's text; None: it ended, and nothing says how.
    pub fn parse(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default().trim();
        match text {
            "OK" => Self::Ok,
            "" | "unexpected status" | "unknown" => {
                Self::Unknown(if text.is_empty() { "no status" } else { text }.to_owned())
            }
            _ => match text.strip_prefix("WARNINGS: ").and_then(|count| count.parse().ok()) {
                Some(count) => Self::Warnings(count),
                None => Self::Failed(text.to_owned()),
            },
        }
    }
}

/// How following a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    Done {
        warnings: u32,
        /// Lines of its log that tell of something: warnings, and a file system that was not grown.
        remarks: Vec<String>,
    },
    Failed {
        class: Class,
        /// Its exit status, in one line.
        text: String,
        /// The end of its log.
        log: Vec<String>,
    },
    /// Nobody knows: the worker was killed, the node forgot the task, or it did not end in time.
    Unknown { text: String },
}

/// Of a log.
const LOG_LINES: u32 = 5_000;
const TAIL: usize = 20;

/// A task that is not older, by both clocks, was started just now.
const FRESH: u64 = 5;
const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(2);
const AROUND: Duration = Duration::from_millis(100);
/// Nobody waits longer without a question.
const LONG: Duration = Duration::from_secs(60);

/// How long tasks of each kind take here, as the last ones did: whoever waits for one need not ask before.
#[derive(Debug, Default)]
pub(super) struct Durations(Mutex<HashMap<String, Duration>>);

impl Durations {
    fn of(&self, kind: &str) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(kind).copied()
    }

    /// Each counts for a third.
    fn learn(&self, kind: &str, took: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let learnt = known.entry(kind.to_owned()).or_insert(took);
        *learnt = (*learnt * 2 + took) / 3;
    }
}

/// Until the next question. About a task of which it is known how long such tasks take: shortly before that time, and
/// often around it. About any other, and one that takes longer: after a tenth of what it has taken, so that little is
/// waited beyond its end, and long ones are rarely asked about.
fn pause(usual: Option<Duration>, running: Duration) -> Duration {
    let unknown = (running / 10).clamp(SOON, LATER);
    let Some(usual) = usual.map(|usual| usual.min(LONG)) else { return unknown };
    let soonest = usual * 19 / 20;
    if running < soonest {
        soonest.saturating_sub(running).max(AROUND)
    } else if running < usual * 5 / 4 {
        (usual / 20).clamp(AROUND, LATER)
    } else {
        unknown
    }
}

impl Client {
    /// Asks until the task has ended, or `deadline`. Nothing is repeated or stopped. A question without an answer does
    /// not end it: it is asked again, and said once.
    pub async fn follow(&self, upid: &Upid, deadline: Instant) -> TaskEnd {
        let began = Instant::now();
        let fresh = now_ms() / 1000 <= upid.started + FRESH;
        let usual = self.durations.of(&upid.kind);
        if fresh {
            tokio::time::sleep_until((began + pause(usual, Duration::ZERO)).min(deadline)).await;
        }
        let asking = self.with_patience(Patience::NONE);
        let question = ReadTask { upid: upid.clone() };
        let mut silent = false;
        loop {
            let Ok(answer) = tokio::time::timeout_at(deadline, asking.send(&question)).await else {
                return TaskEnd::Unknown { text: format!("no answer about the task {upid} in time") };
            };
            let unsure = match answer {
                Ok(status) if status.status == "stopped" => {
                    if fresh {
                        self.durations.learn(&upid.kind, began.elapsed());
                    }
                    return self.ended(upid, &Exit::parse(status.exitstatus.as_deref())).await;
                }
                Ok(_) => format!("the task {upid} still runs"),
                Err(error) if is_final(&error) => return TaskEnd::Unknown { text: error.to_string() },
                Err(error) => {
                    if !silent {
                        tracing::warn!(task = %upid, error = %error, "a task of proxmox cannot be asked about");
                    }
                    silent = true;
                    error.to_string()
                }
            };
            let next = Instant::now() + pause(usual, began.elapsed());
            if next > deadline {
                return TaskEnd::Unknown { text: unsure };
            }
            tokio::time::sleep_until(next).await;
        }
    }

    async fn ended(&self, upid: &Upid, exit: &Exit) -> TaskEnd {
        match exit {
            Exit::Ok if upid.kind != "resize" => TaskEnd::Done { warnings: 0, remarks: Vec::new() },
            Exit::Ok => TaskEnd::Done { warnings: 0, remarks: remarks(self.log(upid).await) },
            Exit::Warnings(count) => {
                TaskEnd::Done { warnings: *count, remarks: remarks(self.log(upid).await) }
            }
            Exit::Unknown(text) => TaskEnd::Unknown { text: format!("the task {upid} ended with: {text}") },
            Exit::Failed(text) => match classify_exit(&upid.kind, text) {
                // It stopped at a time limit of its own, with the work perhaps half done.
                Class::MaybeApplied => TaskEnd::Unknown { text: shown(text) },
                class => TaskEnd::Failed { class, text: shown(text), log: tail(self.log(upid).await) },
            },
        }
    }

    /// Safe to show; empty if it cannot be had: what the task did does not depend on it.
    async fn log(&self, upid: &Upid) -> Vec<String> {
        let read = self.send(&ReadTaskLog { upid: upid.clone(), start: 0, limit: LOG_LINES }).await;
        let lines = read.unwrap_or_else(|error| {
            tracing::debug!(task = %upid, error = %error, "the log of a task cannot be read");
            Vec::new()
        });
        lines.iter().map(|line| shown(line)).collect()
    }
}

/// The node does not know the task (any more), or the token may not ask.
fn is_final(error: &ApiError) -> bool {
    match &error.class {
        Class::Gone | Class::Denied { .. } | Class::AlreadySo => true,
        Class::Rejected { code, .. } => !matches!(code, Code::ServerError | Code::Unreadable | Code::NoNode),
        Class::NeverSent(_) | Class::MaybeApplied | Class::Locked(_) => false,
    }
}

/// From the first warning on: what it is about stands in the lines after it.
fn remarks(log: Vec<String>) -> Vec<String> {
    let telling = |line: &String| {
        line.starts_with("WARN") || line.starts_with("Failed to update the container's filesystem")
    };
    let lines = log.into_iter().skip_while(|line| !telling(line)).filter(|line| !line.starts_with("TASK "));
    lines.take(TAIL).collect()
}

fn tail(mut log: Vec<String>) -> Vec<String> {
    log.split_off(log.len().saturating_sub(TAIL))
}

fn shown(text: &str) -> String {
    firstlight_shared::text::escape(text, 2000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_forms_are_success() {
        for (text, exit) in [
            ("OK", Exit::Ok),
            ("WARNINGS: 1", Exit::Warnings(1)),
            ("WARNINGS: many", Exit::Failed("WARNINGS: many".to_owned())),
            ("unexpected status", Exit::Unknown("unexpected status".to_owned())),
            ("", Exit::Unknown("no status".to_owned())),
            ("ok", Exit::Failed("ok".to_owned())),
            ("job errors", Exit::Failed("job errors".to_owned())),
        ] {
            assert_eq!(Exit::parse(Some(text)), exit);
        }
        assert_eq!(Exit::parse(None), Exit::Unknown("no status".to_owned()));
    }

    #[test]
    fn short_tasks_are_asked_often_and_long_ones_rarely() {
        let (seconds, millis) = (Duration::from_secs, Duration::from_millis);
        for (usual, running, wait) in [
            (None, millis(0), millis(200)),
            (None, seconds(4), millis(400)),
            (None, seconds(600), seconds(2)),
            (Some(millis(2000)), millis(0), millis(1900)),
            (Some(millis(2000)), millis(1900), millis(100)),
            (Some(millis(2000)), millis(2400), millis(100)),
            (Some(millis(2000)), millis(2500), millis(250)),
            (Some(seconds(24)), seconds(23), millis(1200)),
            (Some(millis(20)), millis(0), millis(100)),
            (Some(seconds(1000)), seconds(0), seconds(57)),
        ] {
            assert_eq!(pause(usual, running), wait, "{usual:?}, {running:?}");
        }
    }

    #[test]
    fn what_tasks_take_is_learnt_and_unlearnt() {
        let (durations, seconds) = (Durations::default(), Duration::from_secs);
        assert_eq!(durations.of("vzrestore"), None);
        durations.learn("vzrestore", seconds(9));
        assert_eq!(durations.of("vzrestore"), Some(seconds(9)));
        durations.learn("vzrestore", seconds(3));
        assert_eq!((durations.of("vzrestore"), durations.of("vzstart")), (Some(seconds(7)), None));
    }

    #[test]
    fn remarks_begin_at_the_warning() {
        let lines = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        let log =
            lines("formatting|WARN: skipping custom lxc options|lxc.mount.entry: /srv|TASK WARNINGS: 1");
        assert_eq!(remarks(log), ["WARN: skipping custom lxc options", "lxc.mount.entry: /srv"]);
        assert_eq!(remarks(lines("all|fine|TASK OK")), Vec::<String>::new());
    }
}
