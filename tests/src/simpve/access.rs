//! Users, tokens, roles and access control lists, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::world::World;

/// May do everything and belongs to nobody's role.
pub const ROOT: &str = "root@pam";

/// Paths that `/access/permissions` always looks at.
const ALWAYS: [&str; 9] =
    ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/sdn/zones", "/storage", "/vms"];

/// The privileges of a role that can do all of a bring-up of containers.
pub const CONTAINER_ROLE: [&str; 16] = [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "SDN.Use",
    "Sys.Audit",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// What machines need on top of it.
pub const MACHINE_ROLE: [&str; 8] = [
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.Cloudinit",
    "VM.Config.HWType",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
];

/// Whether all of the privileges are needed or one is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    All,
    Any,
}

#[derive(Debug, Clone)]
struct Token {
    secret: String,
    /// Its rights are those that both it and its user have.
    separated: bool,
    expired: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    subject: String,
    role: String,
    propagate: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Access {
    roles: BTreeMap<String, BTreeSet<String>>,
    tokens: BTreeMap<String, Token>,
    entries: Vec<Entry>,
}

impl Access {
    pub fn role(&mut self, name: &str, privileges: &[&str]) {
        self.roles.insert(name.into(), privileges.iter().map(|one| (*one).to_owned()).collect());
    }

    /// A token with privilege separation; its id is `user@realm!name`.
    pub fn token(&mut self, id: &str, secret: &str) {
        self.tokens.insert(id.into(), Token { secret: secret.into(), separated: true, expired: false });
    }

    /// Gives a token all rights of its user.
    pub fn unseparate(&mut self, id: &str) {
        if let Some(token) = self.tokens.get_mut(id) {
            token.separated = false;
        }
    }

    pub fn expire(&mut self, id: &str) {
        if let Some(token) = self.tokens.get_mut(id) {
            token.expired = true;
        }
    }

    /// Gives `role` on `path` and below to a user or a token.
    pub fn grant(&mut self, path: &str, subject: &str, role: &str) {
        let (path, subject, role) = (path.into(), subject.into(), role.into());
        self.entries.push(Entry { path, subject, role, propagate: true });
    }

    /// The same for a user and its token, as privilege separation needs it.
    pub fn grant_both(&mut self, path: &str, token: &str, role: &str) {
        self.grant(path, user_of(token), role);
        self.grant(path, token, role);
    }

    pub fn revoke(&mut self, path: &str, subject: &str) {
        self.entries.retain(|entry| entry.path != path || entry.subject != subject);
    }

    /// Destroying a guest takes the entries on exactly its path with it.
    pub(super) fn forget_path(&mut self, path: &str) {
        self.entries.retain(|entry| entry.path != path);
    }

    /// The token's id, or the reason phrase of the 401.
    pub fn authenticate(&self, header: Option<&str>) -> Result<String, &'static str> {
        let Some(given) = header.and_then(|header| header.strip_prefix("PVEAPIToken")) else {
            return Err("No ticket");
        };
        let (id, secret) =
            given.trim_start_matches(['=', ' ']).split_once('=').ok_or("Authentication failed!")?;
        match self.tokens.get(id) {
            Some(token) if token.secret == secret && !token.expired => Ok(id.to_owned()),
            _ => Err("Authentication failed!"),
        }
    }

    /// What `who` may do on `path`; a guest in a pool has the pool's rights, too.
    fn privileges(&self, who: &str, path: &str, pool: Option<&str>) -> BTreeSet<String> {
        let mut privileges = self.privileges_here(who, path);
        if let Some(pool) = pool {
            privileges.extend(self.privileges_here(who, &format!("/pool/{pool}")));
        }
        privileges
    }

    fn privileges_here(&self, who: &str, path: &str) -> BTreeSet<String> {
        let user = user_of(who);
        let separated = self.tokens.get(who).is_some_and(|token| token.separated);
        let of_user = if user == ROOT { self.everything() } else { self.granted(user, path) };
        if user == who || !separated {
            return of_user;
        }
        self.granted(who, path).intersection(&of_user).cloned().collect()
    }

    fn everything(&self) -> BTreeSet<String> {
        self.roles
            .values()
            .flatten()
            .cloned()
            .chain(["Sys.Modify".into(), "Permissions.Modify".into()])
            .collect()
    }

    /// Entries further down replace those further up.
    fn granted(&self, subject: &str, path: &str) -> BTreeSet<String> {
        let mut roles: Vec<&str> = Vec::new();
        for level in levels(path) {
            let here: Vec<&str> = self
                .entries
                .iter()
                .filter(|entry| entry.subject == subject && entry.path == level)
                .filter(|entry| entry.propagate || level == path)
                .map(|entry| entry.role.as_str())
                .collect();
            if !here.is_empty() {
                roles = here;
            }
        }
        roles.into_iter().filter_map(|role| self.roles.get(role)).flatten().cloned().collect()
    }

    fn known_paths(&self) -> BTreeSet<String> {
        let named = self.entries.iter().map(|entry| entry.path.clone());
        ALWAYS.iter().map(|path| (*path).to_owned()).chain(named).collect()
    }
}

/// The user of a token, or the user itself.
pub fn user_of(who: &str) -> &str {
    who.split_once('!').map_or(who, |(user, _)| user)
}

/// `/`, then every folder on the way, then `path`.
fn levels(path: &str) -> Vec<String> {
    let mut levels = vec!["/".to_owned()];
    let mut here = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        here = format!("{here}/{part}");
        levels.push(here.clone());
    }
    levels
}

impl World {
    /// Refuses with the words of the real check, which name the path and what would have been enough.
    pub(super) fn check(&self, who: &str, path: &str, wanted: &[&str], need: Need) -> Result<(), Refusal> {
        let has = |privilege: &&&str| self.may(who, path, privilege);
        let missing = match need {
            Need::All => wanted.iter().find(|privilege| !has(privilege)).map(|one| (*one).to_owned()),
            Need::Any if wanted.iter().any(|privilege| has(&privilege)) => None,
            Need::Any => Some(wanted.join("|")),
        };
        missing.map_or(Ok(()), |missing| Err(Refusal::forbidden(path, &missing)))
    }

    pub(super) fn may(&self, who: &str, path: &str, privilege: &str) -> bool {
        self.access.privileges(who, path, self.pool_of_path(path)).contains(privilege)
    }

    fn pool_of_path(&self, path: &str) -> Option<&str> {
        let id: u32 = path.strip_prefix("/vms/")?.parse().ok()?;
        self.pools.iter().find(|(_, members)| members.contains(&id)).map(|(pool, _)| pool.as_str())
    }

    /// Entries on paths whose permissions the caller may change: none, for most tokens.
    pub(super) fn list_acl(&self, call: &Call) -> Answer {
        let lines =
            self.access.entries.iter().filter(|entry| self.may(&call.who, &entry.path, "Permissions.Modify"));
        let lines = lines.map(|entry| {
            let kind = if entry.subject.contains('!') { "token" } else { "user" };
            json!({
                "path": entry.path, "ugid": entry.subject, "roleid": entry.role, "type": kind,
                "propagate": u8::from(entry.propagate),
            })
        });
        Answer::data(lines.collect()).after(self.profile.read)
    }

    pub(super) fn get_permissions(&self, call: &Call) -> Answer {
        let paths = match call.parameters.get("path") {
            Some(path) => BTreeSet::from([path.to_owned()]),
            None => self.access.known_paths(),
        };
        let listed = paths.into_iter().filter_map(|path| {
            let privileges = self.access.privileges(&call.who, &path, self.pool_of_path(&path));
            let listed: BTreeMap<String, u8> = privileges.into_iter().map(|one| (one, 1)).collect();
            (!listed.is_empty()).then(|| (path, json!(listed)))
        });
        Answer::data(Value::Object(listed.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let mut access = Access::default();
        access.role("Wide", &["VM.Audit", "VM.Allocate"]);
        access.role("Narrow", &["VM.Audit"]);
        access.token("a@pve!t1", "secret");
        access
    }

    fn names(privileges: &BTreeSet<String>) -> Vec<&str> {
        privileges.iter().map(String::as_str).collect()
    }

    #[test]
    fn separation_is_an_intersection() {
        let table = [
            (Some("Wide"), None, ""),
            (None, Some("Wide"), ""),
            (Some("Wide"), Some("Narrow"), "VM.Audit"),
            (Some("Wide"), Some("Wide"), "VM.Allocate VM.Audit"),
        ];
        for (of_user, of_token, expected) in table {
            let mut access = access();
            for (subject, role) in [("a@pve", of_user), ("a@pve!t1", of_token)] {
                role.into_iter().for_each(|role| access.grant("/vms", subject, role));
            }
            let found = access.privileges("a@pve!t1", "/vms/100", None);
            assert_eq!(names(&found).join(" "), expected, "user {of_user:?}, token {of_token:?}");
        }
    }

    #[test]
    fn a_deeper_entry_replaces_the_one_above_and_a_pool_adds() {
        let mut access = access();
        access.grant_both("/", "a@pve!t1", "Wide");
        access.grant_both("/vms/100", "a@pve!t1", "Narrow");
        assert_eq!(names(&access.privileges("a@pve!t1", "/vms/100", None)), ["VM.Audit"]);
        assert_eq!(names(&access.privileges("a@pve!t1", "/vms/101", None)), ["VM.Allocate", "VM.Audit"]);
        access.grant_both("/pool/p", "a@pve!t1", "Wide");
        assert_eq!(names(&access.privileges("a@pve!t1", "/vms/100", Some("p"))), ["VM.Allocate", "VM.Audit"]);
    }

    #[test]
    fn headers_are_told_apart_as_the_real_daemon_does() {
        let mut access = access();
        let table = [
            (None, Err("No ticket")),
            (Some("Basic x"), Err("No ticket")),
            (Some("PVEAPIToken=garbage"), Err("Authentication failed!")),
            (Some("PVEAPIToken=a@pve!t1=wrong"), Err("Authentication failed!")),
            (Some("PVEAPIToken=b@pve!t1=secret"), Err("Authentication failed!")),
            (Some("PVEAPIToken=a@pve!t1=secret"), Ok("a@pve!t1".to_owned())),
        ];
        for (header, expected) in table {
            assert_eq!(access.authenticate(header), expected, "{header:?}");
        }
        access.expire("a@pve!t1");
        assert!(access.authenticate(Some("PVEAPIToken=a@pve!t1=secret")).is_err());
    }
}
