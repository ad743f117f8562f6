//! Images that the server has.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::instance::Kind;
use super::{Answered, Endpoint, Unreadable, nullable, parse};
use crate::backend::incus::client::call::{Call, Method, segment};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAlias {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alias {
    pub name: String,
    /// The image's fingerprint.
    pub target: String,
    #[serde(rename = "type")]
    pub kind: Kind,
}

impl Endpoint for ReadAlias {
    type Answer = Alias;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/images/aliases/{}", segment(&self.name)))
    }

    fn read(answered: Answered) -> Result<Alias, Unreadable> {
        parse(answered.metadata)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadImage {
    /// The whole of it, or as much of its beginning as no other has.
    pub fingerprint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImageFacts {
    pub fingerprint: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(default)]
    pub architecture: String,
    /// In bytes, as stored.
    #[serde(default)]
    pub size: u64,
    #[serde(default, deserialize_with = "nullable")]
    pub properties: BTreeMap<String, String>,
    /// RFC 3339
    #[serde(default)]
    pub uploaded_at: String,
    #[serde(default, deserialize_with = "nullable")]
    pub profiles: Vec<String>,
}

impl Endpoint for ReadImage {
    type Answer = ImageFacts;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/images/{}", segment(&self.fingerprint)))
    }

    fn read(answered: Answered) -> Result<ImageFacts, Unreadable> {
        parse(answered.metadata)
    }
}
