//! How a task ends, and waiting for it.

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

impl Client {
    /// Asks until the task has ended, or `deadline`. Nothing is repeated or stopped. A question without an answer does
    /// not end it: it is asked again, and said once.
    pub async fn follow(&self, upid: &Upid, deadline: Instant) -> TaskEnd {
        let fresh = now_ms() / 1000 <= upid.started + FRESH;
        let mut place = self.pace.enter(upid);
        if fresh {
            place.pause(deadline).await;
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
                        place.ended();
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
            place.pause(deadline).await;
            if Instant::now() >= deadline {
                return TaskEnd::Unknown { text: unsure };
            }
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
    fn remarks_begin_at_the_warning() {
        let lines = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        let log =
            lines("formatting|WARN: skipping custom lxc options|lxc.mount.entry: /srv|TASK WARNINGS: 1");
        assert_eq!(remarks(log), ["WARN: skipping custom lxc options", "lxc.mount.entry: /srv"]);
        assert_eq!(remarks(lines("all|fine|TASK OK")), Vec::<String>::new());
    }
}
