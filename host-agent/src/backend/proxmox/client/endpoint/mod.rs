//! The calls that we make, typed: a plain struct gives its [`Call`], and reads its answer.
//!
//! Answers are read strictly where we rely on a field, and leniently elsewhere: Perl writes numbers as strings, and
//! fields come and go by version. Which call exists with which parameters is checked against the API's description in
//! `tests/proxmox/schema.txt`.

pub mod access;
pub mod agent;
pub mod cluster;
pub mod config;
pub mod guest;
pub mod lxc;
pub mod node;
pub mod qemu;
pub mod snapshot;
pub mod storage;
pub mod task;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::call::Call;
use super::upid::Upid;

pub trait Endpoint: Send + Sync {
    type Answer: Send;

    /// What is sent; pure.
    fn call(&self) -> Call;

    /// Reads the answer's `data`.
    ///
    /// # Errors
    /// A field that we rely on is not what it should be.
    fn read(data: Value) -> Result<Self::Answer, Unreadable>;
}

/// An answer is not what its call should give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be read: {0}")]
pub struct Unreadable(pub String);

impl Unreadable {
    fn because(error: impl std::fmt::Display) -> Self {
        Self(firstlight_shared::text::escape(&error.to_string(), 300))
    }
}

fn parse<T: DeserializeOwned>(data: Value) -> Result<T, Unreadable> {
    serde_json::from_value(data).map_err(Unreadable::because)
}

fn parse_upid(data: &Value) -> Result<Upid, Unreadable> {
    data.as_str()
        .ok_or_else(|| Unreadable("a task's name is wanted".to_owned()))?
        .parse()
        .map_err(Unreadable::because)
}
