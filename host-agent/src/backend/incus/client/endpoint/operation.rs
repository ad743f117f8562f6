//! Operations as the server tells of them. It forgets one five seconds after its end, and all of them when it restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Answered, Endpoint, Unreadable, nullable, parse};
use crate::backend::incus::client::call::{Call, Method, Pace};
use crate::backend::incus::client::operation::OperationId;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Operation {
    pub id: OperationId,
    /// `Creating instance`, `Starting instance`, ...
    #[serde(default)]
    pub description: String,
    /// `Running`, `Success`, `Failure`, `Cancelled`, ...
    pub status: String,
    /// Under 200: it goes on. 200: it ended well. Above: it did not.
    pub status_code: u16,
    /// Paths by kind: `instances` to `/1.0/instances/web-01`.
    #[serde(default, deserialize_with = "nullable")]
    pub resources: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub metadata: Value,
    #[serde(default)]
    pub may_cancel: bool,
    /// Why it did not end well.
    #[serde(default)]
    pub err: String,
    /// RFC 3339
    #[serde(default)]
    pub created_at: String,
}

impl Operation {
    pub fn has_ended(&self) -> bool {
        self.status_code >= 200
    }

    /// Whether it is about this instance (of its project).
    pub fn is_about(&self, instance: &str) -> bool {
        let paths = self.resources.values().flatten();
        let names = paths.filter_map(|path| path.split('?').next()?.strip_prefix("/1.0/instances/"));
        names.into_iter().any(|name| name.split('/').next() == Some(instance))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOperation {
    pub id: OperationId,
}

impl Endpoint for ReadOperation {
    type Answer = Operation;

    fn call(&self) -> Call {
        Call::new(Method::Get, path(&self.id, ""))
    }

    fn read(answered: Answered) -> Result<Operation, Unreadable> {
        parse(answered.metadata)
    }
}

/// Answers when it has ended. After the timeout: an error in the answer, of status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitOperation {
    pub id: OperationId,
    /// Whole seconds are sent.
    pub timeout: Duration,
}

impl Endpoint for WaitOperation {
    type Answer = Operation;

    fn call(&self) -> Call {
        Call::new(Method::Get, path(&self.id, "/wait"))
            .with("timeout", self.timeout.as_secs())
            .at(Pace::Wait(self.timeout))
    }

    fn read(answered: Answered) -> Result<Operation, Unreadable> {
        parse(answered.metadata)
    }
}

/// Asks it to stop. Few can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelOperation {
    pub id: OperationId,
}

impl Endpoint for CancelOperation {
    type Answer = ();

    fn call(&self) -> Call {
        Call::new(Method::Delete, path(&self.id, ""))
    }

    fn read(_answered: Answered) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// Of the project: those at work, and those that ended just now. How an operation is found whose name was lost with the
/// answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOperations;

impl Endpoint for ListOperations {
    type Answer = Vec<Operation>;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/1.0/operations").with("recursion", 1)
    }

    /// The server lists them by status.
    fn read(answered: Answered) -> Result<Vec<Operation>, Unreadable> {
        let lists: BTreeMap<String, Vec<Operation>> = parse(answered.metadata)?;
        Ok(lists.into_values().flatten().collect())
    }
}

fn path(id: &OperationId, end: &str) -> String {
    format!("/1.0/operations/{id}{end}")
}
