//! How an operation ends, and waiting for it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Client;
use super::endpoint::operation::{ListOperations, Operation, ReadOperation, WaitOperation};
use super::events::{Events, Told};
use super::verdict::{ApiError, Class, Code, Patience, classify_operation};

/// A UUID. What the journal keeps of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the name of an operation: a UUID is wanted")]
pub struct OperationIdError;

impl OperationId {
    /// Of `/1.0/operations/UUID`, as answers have it.
    pub(super) fn of_path(path: &str) -> Result<Self, OperationIdError> {
        let last = path.split('?').next().and_then(|path| path.rsplit('/').next());
        last.unwrap_or_default().parse()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperationId {
    type Err = OperationIdError;

    fn from_str(text: &str) -> Result<Self, OperationIdError> {
        let fits = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(OperationIdError) }
    }
}

impl TryFrom<String> for OperationId {
    type Error = OperationIdError;

    fn try_from(text: String) -> Result<Self, OperationIdError> {
        text.parse()
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How following an operation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum OperationEnd {
    /// It ended well.
    Done(Box<Operation>),
    Failed {
        class: Class,
        /// Its error, in one line, safe to show.
        text: String,
    },
    /// Nobody knows: the server forgot the operation (it restarted, or was asked too late), or it did not end in time.
    Unknown { text: String },
}

/// What a question about an operation came to.
enum Asked {
    Ended(OperationEnd),
    /// It goes on, or there was no answer: why the end is not known.
    NotYet(String),
}

/// A socket that says nothing is not believed for ever.
const RECHECK: Duration = Duration::from_secs(10);
/// Of one long question, where there is no event socket.
const LONG_POLL: Duration = Duration::from_secs(10);
/// Between the beginnings of two of them, at least.
const PAUSE: Duration = Duration::from_millis(500);

impl Client {
    /// Waits until the operation has ended, or `deadline`. Nothing is repeated or cancelled. The event socket tells of its
    /// end; where there is none, long questions do.
    pub async fn follow(&self, id: &OperationId, deadline: Instant) -> OperationEnd {
        let hub = self.hubs.of(self.project());
        let mut events = hub.subscribe();
        if let Some(ended) = hub.ended(id) {
            return end_of(ended);
        }
        let asking = self.with_patience(Patience::NONE);
        let mut unsure = format!("the operation {id} was not asked about");
        while Instant::now() < deadline {
            let (listening, asked) = (events.is_open(), Instant::now());
            let question = tokio::time::timeout_at(deadline, asking.ask_about(id, listening));
            match question.await {
                Ok(Asked::Ended(end)) => return hub.ended(id).map_or(end, end_of),
                Ok(Asked::NotYet(text)) => unsure = text,
                Err(_) => break,
            }
            if !listening {
                // Most often that time is over: the question waits itself, unless the server is away.
                tokio::time::sleep_until((asked + PAUSE).min(deadline)).await;
            } else {
                let recheck = (Instant::now() + RECHECK).min(deadline);
                let told = tokio::time::timeout_at(recheck, next_about(&mut events, id)).await;
                if let Ok(Some(ended)) = told {
                    return end_of(ended);
                }
            }
        }
        OperationEnd::Unknown { text: format!("{unsure}; it did not end in time") }
    }

    /// How it stands; where nothing else tells, after its end or [`LONG_POLL`].
    async fn ask_about(&self, id: &OperationId, listening: bool) -> Asked {
        if !listening {
            // A failed operation's own error comes as if it were the question's, with any status: it decides nothing.
            let _ = self.send(&WaitOperation { id: id.clone(), timeout: LONG_POLL }).await;
        }
        match self.send(&ReadOperation { id: id.clone() }).await {
            Ok(operation) if operation.has_ended() => Asked::Ended(end_of(operation)),
            Ok(_) => Asked::NotYet(format!("the operation {id} still runs")),
            Err(error) if is_final(&error) => Asked::Ended(OperationEnd::Unknown {
                text: format!("the server does not know how the operation {id} ended: {error}"),
            }),
            Err(error) => Asked::NotYet(error.to_string()),
        }
    }

    /// The operations of this project on an instance, at work or ended just now. How one is found whose name was lost with
    /// the answer.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn operations_on(&self, instance: &str) -> Result<Vec<Operation>, ApiError> {
        let all = self.send(&ListOperations).await?;
        Ok(all.into_iter().filter(|operation| operation.is_about(instance)).collect())
    }
}

/// The operation's end, or None when something may have been missed.
async fn next_about(events: &mut Events, id: &OperationId) -> Option<Operation> {
    loop {
        match events.next().await {
            Told::Operation(operation) if operation.id == *id && operation.has_ended() => {
                return Some(*operation);
            }
            Told::Missed => return None,
            Told::Operation(_) | Told::Lifecycle(_) => {}
        }
    }
}

/// How the operation ended, of one that has.
fn end_of(operation: Operation) -> OperationEnd {
    if operation.status_code == 200 {
        return OperationEnd::Done(Box::new(operation));
    }
    let class = match operation.status_code {
        401 => Class::Rejected(Code::Cancelled),
        _ => classify_operation(&operation.description, &operation.err),
    };
    let text = if operation.err.is_empty() { &operation.status } else { &operation.err };
    OperationEnd::Failed { class, text: firstlight_shared::text::escape(text, 2000) }
}

/// The server does not know the operation (any more), or we may not ask.
fn is_final(error: &ApiError) -> bool {
    matches!(error.class, Class::Gone | Class::Denied)
}
