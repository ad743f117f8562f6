//! The calls that we make, typed: a plain struct gives its [`Call`], and reads its answer.
//!
//! Go writes an empty list or map as `null`, and leaves out what an older server does not know: both are read as empty.
//! The calls and fields are those of Incus' `shared/api` and `doc/rest-api.yaml`, 6.0 to 7.

pub mod certificate;
pub mod exec;
pub mod file;
pub mod image;
pub mod instance;
pub mod network;
pub mod operation;
pub mod project;
pub mod server;
pub mod snapshot;
pub mod state;
pub mod storage;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::call::Call;
use super::operation::OperationId;

pub trait Endpoint: Send + Sync {
    type Answer: Send;

    /// What is sent; pure.
    fn call(&self) -> Call;

    /// Reads a good answer.
    ///
    /// # Errors
    /// A field that we rely on is not what it should be.
    fn read(answered: Answered) -> Result<Self::Answer, Unreadable>;
}

/// A good answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// Of a document; null where it has none.
    pub metadata: Value,
    /// Of an answer that only says who is at work on it.
    pub operation: Option<OperationId>,
    pub etag: Option<String>,
    /// `X-Incus-*` and `Date`, in small letters.
    pub headers: BTreeMap<String, String>,
    /// Of a raw answer.
    pub bytes: Bytes,
}

/// An answer is not what its call should give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be read: {0}")]
pub struct Unreadable(pub String);

impl Unreadable {
    fn because(error: impl fmt::Display) -> Self {
        Self(firstlight_shared::text::escape(&error.to_string(), 300))
    }
}

fn parse<T: DeserializeOwned>(data: Value) -> Result<T, Unreadable> {
    serde_json::from_value(data).map_err(Unreadable::because)
}

fn operation(answered: Answered) -> Result<OperationId, Unreadable> {
    answered.operation.ok_or_else(|| Unreadable("an operation's name is wanted".to_owned()))
}

/// `null` is empty.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What was read, and the tag by which a change can say that it means just that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    pub value: T,
    pub etag: Option<String>,
}

fn versioned<T: DeserializeOwned>(answered: Answered) -> Result<Versioned<T>, Unreadable> {
    Ok(Versioned { value: parse(answered.metadata)?, etag: answered.etag })
}

/// Keys and values of an instance, a profile, a pool... `Debug` shows the keys alone: claims travel in `user.*`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Config(pub BTreeMap<String, String>);

impl Deref for Config {
    type Target = BTreeMap<String, String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Config {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Config {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// By name; each with its keys and values, `type` among them.
pub type Devices = BTreeMap<String, BTreeMap<String, String>>;
