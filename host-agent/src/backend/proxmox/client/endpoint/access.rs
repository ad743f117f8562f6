//! What the token may do, and how pools and rights are laid out: for the doctor.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{Endpoint, Unreadable, parse};
use crate::backend::proxmox::client::call::{Call, Method};
use crate::backend::proxmox::client::lenient;

/// The token's own privileges; it may always ask. With privilege separation these are what both it and its user have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPermissions {
    /// As `/vms/101`; None: every path on which something is granted.
    pub path: Option<String>,
}

/// Path, then privilege.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions(pub BTreeMap<String, BTreeSet<String>>);

impl Permissions {
    /// Of exactly this path, as the answer lists it.
    pub fn has(&self, path: &str, privilege: &str) -> bool {
        self.0.get(path).is_some_and(|granted| granted.contains(privilege))
    }
}

impl Endpoint for ReadPermissions {
    type Answer = Permissions;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/access/permissions").maybe("path", self.path.as_deref())
    }

    fn read(data: Value) -> Result<Permissions, Unreadable> {
        // The value of a privilege says whether it propagates: 0 is granted, too.
        let paths: BTreeMap<String, BTreeMap<String, Value>> = match data {
            Value::Array(empty) if empty.is_empty() => BTreeMap::new(), // Perl's empty hash, in some versions
            data => parse(data)?,
        };
        Ok(Permissions(
            paths.into_iter().map(|(path, granted)| (path, granted.into_keys().collect())).collect(),
        ))
    }
}

/// The access control list, as far as the token may change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAcl;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AclLine {
    pub path: String,
    /// `user`, `group` or `token`
    #[serde(rename = "type")]
    pub kind: String,
    pub ugid: String,
    pub roleid: String,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub propagate: bool,
}

impl Endpoint for ListAcl {
    type Answer = Vec<AclLine>;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/access/acl")
    }

    fn read(data: Value) -> Result<Vec<AclLine>, Unreadable> {
        parse(data)
    }
}

/// One pool and what is in it. Wants Pool.Audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPool {
    pub pool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pool {
    pub poolid: String,
    #[serde(default)]
    pub members: Vec<PoolMember>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoolMember {
    /// `lxc/101`, `qemu/300`, `storage/pve1/local`
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient::maybe_vmid")]
    pub vmid: Option<u32>,
}

impl Endpoint for ReadPool {
    type Answer = Pool;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/pools").with("poolid", &self.pool)
    }

    fn read(data: Value) -> Result<Pool, Unreadable> {
        if data.is_object() {
            return parse(data); // as `/pools/POOL` answers
        }
        let pools: Vec<Pool> = parse(data)?;
        pools.into_iter().next().ok_or_else(|| Unreadable("no pool in the answer".to_owned()))
    }
}
