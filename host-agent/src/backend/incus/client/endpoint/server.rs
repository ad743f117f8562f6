//! The server itself: whether it trusts us, what it is and what it has.

use std::time::UNIX_EPOCH;

use serde::Deserialize;

use super::{Answered, Config, Endpoint, Unreadable, nullable, parse};
use crate::backend::incus::client::call::{Call, Method};

/// Answered to strangers too, with less in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadServer;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Server {
    /// `trusted` or `untrusted`
    pub auth: String,
    /// The certificate's fingerprint, or a user's name.
    #[serde(default)]
    pub auth_user_name: String,
    /// `unix`, `tls`, `oidc`
    #[serde(default)]
    pub auth_user_method: String,
    #[serde(default, deserialize_with = "nullable")]
    pub api_extensions: Vec<String>,
    #[serde(default)]
    pub environment: Environment,
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
    /// Its clock, seconds since 1970, as its answer was dated.
    #[serde(skip)]
    pub clock_s: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Environment {
    #[serde(default)]
    pub server_name: String,
    #[serde(default)]
    pub server_version: String,
    #[serde(default)]
    pub server_clustered: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub addresses: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub architectures: Vec<String>,
    /// `lxc | qemu`: what kinds of instances it can have.
    #[serde(default)]
    pub driver: String,
    #[serde(default)]
    pub kernel_version: String,
    /// SHA-256 of its certificate, in hexadecimal.
    #[serde(default)]
    pub certificate_fingerprint: String,
}

impl Server {
    pub fn is_trusted(&self) -> bool {
        self.auth == "trusted"
    }

    pub fn has(&self, extension: &str) -> bool {
        self.api_extensions.iter().any(|one| one == extension)
    }
}

impl Endpoint for ReadServer {
    type Answer = Server;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/1.0")
    }

    fn read(answered: Answered) -> Result<Server, Unreadable> {
        let dated = answered.headers.get("date").and_then(|text| httpdate::parse_http_date(text).ok());
        let since = dated.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(Server { clock_s: since.map(|since| since.as_secs()), ..parse(answered.metadata)? })
    }
}

/// The host's hardware. Not for clients that are restricted to projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadResources {
    /// None: the one that answers.
    pub member: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Resources {
    pub memory: Memory,
    #[serde(default)]
    pub cpu: Cpu,
}

/// In bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Memory {
    #[serde(default)]
    pub used: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Cpu {
    #[serde(default)]
    pub total: u64,
}

impl Endpoint for ReadResources {
    type Answer = Resources;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/1.0/resources").maybe("target", self.member.as_deref())
    }

    fn read(answered: Answered) -> Result<Resources, Unreadable> {
        parse(answered.metadata)
    }
}
