//! Events as the server writes them.

use serde::Deserialize;
use serde_json::Value;

use crate::backend::incus::client::endpoint::operation::Operation;

/// One thing that was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Lifecycle(Lifecycle),
    Operation(Box<Operation>),
    /// Anything may have happened meanwhile: the socket was closed, is open again, or was not read fast enough.
    Missed,
}

/// Something happened to something.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Lifecycle {
    /// `instance-ready`, `instance-started`, `instance-deleted`, ...
    pub action: String,
    /// `/1.0/instances/web-01?project=lab`
    pub source: String,
    /// What it is called.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub project: String,
}

impl Lifecycle {
    /// The instance that it is about. None: it is about something else.
    pub fn instance(&self) -> Option<&str> {
        let path = self.source.split('?').next()?.strip_prefix("/1.0/instances/")?;
        path.split('/').next().filter(|name| !name.is_empty())
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    metadata: Value,
}

/// None: it is of a kind that we did not ask for, or cannot be read.
pub(super) fn read(text: &str) -> Option<Told> {
    let event: Event = serde_json::from_str(text).ok()?;
    match event.kind.as_str() {
        "lifecycle" => serde_json::from_value(event.metadata).ok().map(Told::Lifecycle),
        "operation" => serde_json::from_value(event.metadata).ok().map(|one| Told::Operation(Box::new(one))),
        _ => None,
    }
}
