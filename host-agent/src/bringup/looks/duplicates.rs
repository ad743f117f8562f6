//! Identities that guests share, each with what to do about it.

use firstlight_shared::text::escape;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::bringup::service::Bringups;
pub use crate::store::SharedFilter;
use crate::store::{HolderRow, SharedRow, StoreError};

/// Of commands that are told for one identity.
const COMMANDS: usize = 5;

/// One page, open ones first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DuplicatePage {
    /// How many identities are shared by guests that are there now.
    pub open: u64,
    /// These, and those of which at most one guest is still there.
    pub total: u64,
    pub duplicates: Vec<SharedIdentity>,
    /// Give it as `before` for the next page; none: this is the last one.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharedIdentity {
    /// `mac`, `address`, `machine-id`, `hostname`, `ssh-host-key`, `claim` or `copy` (then the value is the guest's name).
    pub kind: String,
    pub value: String,
    /// Guests that are there now share it.
    pub open: bool,
    /// Those that are there first; no more than 20.
    pub holders: Vec<Holder>,
    pub holder_count: u64,
    /// What it means and what to do, in words.
    pub advice: String,
    /// Commands that mend it.
    pub commands: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    pub guest: String,
    pub job: String,
    /// The guest is no more.
    pub gone: bool,
    /// Of a claim and of a copy: the address from which it was used, or from which the copy reported.
    pub from: Option<String>,
}

impl Bringups {
    /// Identities that two guests told, ever: host keys and machine-ids also of guests that are gone, the others (which are
    /// free again then) of those that are there. Claims that were used from two addresses, and guests whose copies reported.
    ///
    /// # Errors
    /// The store fails.
    pub async fn duplicates(&self, filter: &SharedFilter) -> Result<DuplicatePage, StoreError> {
        let page = self.store.shared_identities(filter).await?;
        Ok(DuplicatePage {
            open: page.open,
            total: page.total,
            duplicates: page.rows.into_iter().map(told).collect(),
            next: page.next,
        })
    }
}

fn told(row: SharedRow) -> SharedIdentity {
    let advice = advice(&row.kind, row.open);
    let commands = if row.open { commands(&row) } else { Vec::new() };
    let holder = |one: HolderRow| Holder {
        guest: escape(&one.guest, 80),
        job: escape(&one.job, 80),
        gone: one.gone,
        from: one.source.map(|source| escape(&source, 80)),
    };
    SharedIdentity {
        value: escape(&row.value, 200),
        kind: row.kind,
        open: row.open,
        holders: row.holders.into_iter().map(holder).collect(),
        holder_count: row.holder_count,
        advice: advice.to_owned(),
        commands,
    }
}

fn advice(kind: &str, open: bool) -> &'static str {
    match (kind, open) {
        ("ssh-host-key", true) => {
            "each can pass for the other: destroy all but one and bring them up again, and look into their golden, which must hold no host key"
        }
        ("ssh-host-key", false) => {
            "nothing: at most one of them is there, and no other guest is taken with this key"
        }
        ("machine-id", true) => {
            "DHCP leases, journals and agents take them for one machine: destroy all but one and bring them up again; the golden's /etc/machine-id must be empty"
        }
        ("mac", true) => {
            "frames of both go to one of them: destroy one and bring it up again, which chooses another MAC"
        }
        ("hostname", true) => "names in logs and DNS mean both: give one of them another name",
        ("address", true) => {
            "only one of them is reached, unless their networks are apart (bridges inside of guests, as Docker's): change one address"
        }
        ("claim", true) => {
            "somebody used this guest's claim again from another address: a copy of the guest, or of its disk; find it, and make the guest anew if it is not yours"
        }
        ("copy", true) => {
            "a report with this guest's SSH host key came from another card or address: a copy of the guest or of its disk, unless that was changed in the guest itself; find who sent it, and bring the copy up as a guest of its own"
        }
        (_, true) => "two guests share it: bring all but one of them up again",
        (_, false) => "nothing: at most one of them is there",
    }
}

/// Of all but the first that came. What somebody else made is not there to be destroyed: `destroy` says so then.
fn commands(row: &SharedRow) -> Vec<String> {
    if ["claim", "copy"].contains(&row.kind.as_str()) {
        let guest = row.holders.first().map(|one| escape(&one.guest, 80)).unwrap_or_default();
        return vec![format!("firstlight reports {guest}"), format!("firstlight verify {guest}")];
    }
    let mut there: Vec<&HolderRow> = row.holders.iter().filter(|one| !one.gone).collect();
    there.sort_by(|one, other| one.job.cmp(&other.job));
    let mut guests: Vec<&str> = Vec::new();
    for one in there {
        if !guests.contains(&one.guest.as_str()) {
            guests.push(&one.guest);
        }
    }
    let later = guests.iter().skip(1).take(COMMANDS);
    later.map(|guest| format!("firstlight destroy {}", escape(guest, 80))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_has_something_to_do_and_what_is_not_has_nothing() {
        let holder = |guest: &str, job: &str, gone| HolderRow {
            guest: guest.into(),
            job: job.into(),
            gone,
            source: None,
        };
        let row = |kind: &str, open| SharedRow {
            kind: kind.into(),
            value: "x\u{1b}".into(),
            open,
            holders: vec![holder("new", "j3", false), holder("old", "j1", false), holder("gone", "j0", true)],
            holder_count: 3,
        };
        for kind in ["ssh-host-key", "machine-id", "mac", "hostname", "address", "claim", "copy", "other"] {
            let shared = told(row(kind, true));
            assert!(!shared.advice.starts_with("nothing") && !shared.commands.is_empty(), "{kind}");
            assert_eq!(shared.value, "x\\u{1b}");
            let settled = told(row(kind, false));
            assert!(settled.advice.starts_with("nothing") && settled.commands.is_empty(), "{kind}");
        }
        // The first that came stays.
        assert_eq!(told(row("mac", true)).commands, ["firstlight destroy new"]);
    }
}
