//! Certificates that the server trusts.

use serde::{Deserialize, Serialize};

use super::{Answered, Endpoint, Unreadable, nullable, parse};
use crate::backend::incus::client::call::{Call, Method, segment};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCertificate {
    /// In hexadecimal, without colons.
    pub fingerprint: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Trusted {
    #[serde(default)]
    pub name: String,
    /// To its projects; else it administers the server.
    #[serde(default)]
    pub restricted: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub projects: Vec<String>,
}

impl Endpoint for ReadCertificate {
    type Answer = Trusted;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/certificates/{}", segment(&self.fingerprint)))
    }

    fn read(answered: Answered) -> Result<Trusted, Unreadable> {
        parse(answered.metadata)
    }
}

/// Has the server trust the certificate of this very connection, with the name and the projects that it gave the token.
/// Whoever holds the token may do that, once. Source: certificatesPost in cmd/incusd/certificates.go of Incus.
#[derive(Clone, PartialEq, Eq)]
pub struct RedeemToken {
    /// As `incus config trust add` printed it.
    pub token: String,
}

impl std::fmt::Debug for RedeemToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedeemToken(hidden)")
    }
}

#[derive(Serialize)]
struct TokenBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    trust_token: &'a str,
}

impl Endpoint for RedeemToken {
    type Answer = ();

    fn call(&self) -> Call {
        let body = TokenBody { kind: "client", trust_token: &self.token };
        Call::new(Method::Post, "/1.0/certificates").json(&body)
    }

    fn read(_answered: Answered) -> Result<(), Unreadable> {
        Ok(())
    }
}
