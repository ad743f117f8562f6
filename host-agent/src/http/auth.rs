//! Who asks, and what that one may do. Rules are values that a reload replaces; every decision here is pure.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use firstlight_shared::secret::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use crate::config::Role;
use crate::outcome::Fault;

/// Who sent a request; in the extensions of every request that reaches a route of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// For the log and for the `by` of jobs: `root`, `uid:1000`, `token:ci`, `certificate:anna`.
    pub who: String,
    pub role: Role,
}

impl Identity {
    fn operator(who: impl Into<String>) -> Self {
        Self { who: who.into(), role: Role::Operator }
    }
}

/// A bearer token that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    pub role: Role,
    pub secret: Secret,
}

/// Whom the control socket obeys beside root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    /// The companion's own.
    pub own_uid: u32,
    pub uids: Vec<u32>,
    pub gids: Vec<u32>,
}

/// Everything that decides who is let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub tokens: Vec<Token>,
    /// Roles of client certificates by common name; empty: all that the authority signed are operators'.
    pub clients: BTreeMap<String, Role>,
    pub peers: Peers,
}

/// What is known of the other side of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Of the control socket, as the kernel says.
    Peer {
        uid: u32,
        /// The primary one first.
        gids: Vec<u32>,
    },
    /// Over TLS; the common name of a client certificate that was verified, if one was shown.
    Remote { certificate: Option<String> },
}

/// What somebody proved once, for a session: it counts as long as the rules know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// SHA-256 of a token.
    Token([u8; 32]),
    /// A verified client certificate.
    Certificate {
        name: String,
    },
    Peer {
        uid: u32,
        gids: Vec<u32>,
    },
}

impl Proof {
    pub fn of_token(shown: &[u8]) -> Self {
        Self::Token(Sha256::digest(shown).into())
    }

    /// Judged as [`Access::decide`] does. None: nothing was shown.
    pub fn of(caller: &Caller, bearer: Option<&[u8]>) -> Option<Self> {
        match (caller, bearer) {
            (Caller::Peer { uid, gids }, _) => Some(Self::Peer { uid: *uid, gids: gids.clone() }),
            (Caller::Remote { .. }, Some(bearer)) => Some(Self::of_token(bearer)),
            (Caller::Remote { certificate }, None) => {
                certificate.clone().map(|name| Self::Certificate { name })
            }
        }
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Nobody said who it is.
    Anonymous,
    /// A token or certificate that is not known, or a user who is not obeyed.
    Unknown,
    /// Known, but may only look.
    ReadOnly,
}

impl Access {
    /// Who it is, and that it may use this method.
    ///
    /// # Errors
    /// Why not.
    pub fn decide(
        &self,
        caller: &Caller,
        bearer: Option<&[u8]>,
        method: &Method,
    ) -> Result<Identity, Denied> {
        // A token that is shown must be right, whatever the certificate says.
        let proof = Proof::of(caller, bearer).ok_or(Denied::Anonymous)?;
        let identity = self.still(&proof).ok_or(Denied::Unknown)?;
        let looks = matches!(*method, Method::GET | Method::HEAD);
        if looks || identity.role == Role::Operator { Ok(identity) } else { Err(Denied::ReadOnly) }
    }

    /// Who has proved this; none: nobody who is let in.
    pub fn still(&self, proof: &Proof) -> Option<Identity> {
        match proof {
            Proof::Token(digest) => self.token(digest),
            Proof::Certificate { name } => self.client(name),
            Proof::Peer { uid, gids } => self.peer(*uid, gids),
        }
    }

    /// Whether the control socket obeys this user.
    pub fn obeys(&self, uid: u32, gids: &[u32]) -> bool {
        self.peer(uid, gids).is_some()
    }

    fn peer(&self, uid: u32, gids: &[u32]) -> Option<Identity> {
        let peers = &self.peers;
        if uid == 0 {
            return Some(Identity::operator("root"));
        }
        let obeyed = uid == peers.own_uid
            || peers.uids.contains(&uid)
            || gids.iter().any(|gid| peers.gids.contains(gid));
        obeyed.then(|| Identity::operator(format!("uid:{uid}")))
    }

    /// In the same time for every token, right or wrong, whatever its length.
    fn token(&self, shown: &[u8; 32]) -> Option<Identity> {
        let mut found = None;
        for token in &self.tokens {
            if bool::from(Sha256::digest(token.secret.expose()).as_slice().ct_eq(shown.as_slice())) {
                found = Some(Identity { who: format!("token:{}", token.name), role: token.role });
            }
        }
        found
    }

    fn client(&self, common_name: &str) -> Option<Identity> {
        let role =
            if self.clients.is_empty() { Some(&Role::Operator) } else { self.clients.get(common_name) };
        role.map(|role| Identity { who: format!("certificate:{common_name}"), role: *role })
    }
}

impl Denied {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Anonymous | Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::ReadOnly => StatusCode::FORBIDDEN,
        }
    }

    pub fn fault(self, caller: &Caller) -> Fault {
        match (self, caller) {
            (Self::Unknown, Caller::Peer { uid, .. }) => {
                Fault::new("not-obeyed", format!("the companion does not obey the user with number {uid}"))
                    .with_hint(
                        "run it as root, or name the user or a group in [api.peers] of the configuration",
                    )
            }
            (Self::ReadOnly, _) => Fault::new("read-only", "the role `read` may look and change nothing")
                .with_hint("use a token or certificate with the role `operator`"),
            (Self::Anonymous, _) => {
                Fault::new("not-authenticated", "a token or a client certificate is wanted")
                    .with_hint("send `Authorization: Bearer TOKEN`")
            }
            (Self::Unknown, _) => Fault::new("not-authenticated", "this token or certificate is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let token = |name: &str, role, secret: &str| Token {
            name: name.to_owned(),
            role,
            secret: Secret::new(secret.as_bytes().to_vec()),
        };
        Access {
            tokens: vec![token("page", Role::Read, "looks"), token("ci", Role::Operator, "does")],
            clients: BTreeMap::from([("anna".to_owned(), Role::Operator), ("ben".to_owned(), Role::Read)]),
            peers: Peers { own_uid: 990, uids: vec![1000], gids: vec![50] },
        }
    }

    fn peer(uid: u32, gids: &[u32]) -> Caller {
        Caller::Peer { uid, gids: gids.to_vec() }
    }

    fn remote(certificate: Option<&str>) -> Caller {
        Caller::Remote { certificate: certificate.map(ToOwned::to_owned) }
    }

    #[test]
    fn who_may_look_and_who_may_do() {
        let access = access();
        for (caller, bearer, look, act) in [
            (peer(0, &[0]), None, Ok("root"), Ok("root")),
            (peer(990, &[990]), None, Ok("uid:990"), Ok("uid:990")),
            (peer(1000, &[1000]), None, Ok("uid:1000"), Ok("uid:1000")),
            (peer(1001, &[1001, 50]), None, Ok("uid:1001"), Ok("uid:1001")),
            (peer(1001, &[1001]), None, Err(Denied::Unknown), Err(Denied::Unknown)),
            // A token does not help where the kernel knows who it is.
            (peer(1001, &[1001]), Some("does"), Err(Denied::Unknown), Err(Denied::Unknown)),
            (remote(None), None, Err(Denied::Anonymous), Err(Denied::Anonymous)),
            (remote(None), Some("looks"), Ok("token:page"), Err(Denied::ReadOnly)),
            (remote(None), Some("does"), Ok("token:ci"), Ok("token:ci")),
            (remote(None), Some("do"), Err(Denied::Unknown), Err(Denied::Unknown)),
            (remote(None), Some(""), Err(Denied::Unknown), Err(Denied::Unknown)),
            (remote(Some("anna")), None, Ok("certificate:anna"), Ok("certificate:anna")),
            (remote(Some("ben")), None, Ok("certificate:ben"), Err(Denied::ReadOnly)),
            (remote(Some("carl")), None, Err(Denied::Unknown), Err(Denied::Unknown)),
            (remote(Some("anna")), Some("wrong"), Err(Denied::Unknown), Err(Denied::Unknown)),
        ] {
            for (method, expected) in [
                (Method::GET, look),
                (Method::HEAD, look),
                (Method::POST, act),
                (Method::DELETE, act),
                (Method::OPTIONS, act),
            ] {
                let found = access.decide(&caller, bearer.map(str::as_bytes), &method);
                let found = found.as_ref().map(|identity| identity.who.as_str()).map_err(|denied| *denied);
                assert_eq!(found, expected, "{caller:?} {bearer:?} {method}");
            }
        }
    }

    #[test]
    fn without_names_every_certificate_is_an_operators_and_without_tokens_none_is_right() {
        let access = Access::default();
        let anybody = access.decide(&remote(Some("anybody")), None, &Method::POST).unwrap();
        assert_eq!(anybody.role, Role::Operator);
        assert_eq!(access.decide(&remote(None), Some(b""), &Method::GET), Err(Denied::Unknown));
    }
}
