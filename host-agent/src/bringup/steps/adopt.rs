//! adopt: the guest is there, made by somebody else, and still the one that was meant. Its MACs and id are reserved, so
//! that its report is known by them and no guest of ours gets them. Proof: the journal has them, and the store's rows.
//!
//! Nothing is done to the guest, and nothing is undone: only our own rows come and go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Common, FAST, MAC, id_kind, store_fault};
use crate::backend::{Adopted, Allocation};
use crate::bringup::facts::{ADOPT, Allocated};
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};
use crate::store::ADOPTED;

pub(super) struct Adopt(pub(super) Arc<Common>);

/// What a backend finds the guest by: its id, where it has one.
pub(in crate::bringup) fn handle(guest: &Adopted) -> String {
    guest.allocation.slot.as_ref().map_or_else(|| guest.name.to_string(), |slot| slot.id.clone())
}

/// What makes a guest the same guest as long as it exists: ids and MACs. Where it runs and its addresses may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bringup) struct Likeness {
    id: Option<String>,
    uuid: Option<String>,
    macs: Vec<String>,
}

impl Likeness {
    pub(in crate::bringup) fn of(allocation: &Allocation) -> Self {
        let slot = allocation.slot.as_ref();
        let macs = std::iter::once(&allocation.mac).chain(&allocation.more_macs);
        let mut macs: Vec<String> = macs.map(ToString::to_string).collect();
        macs.sort();
        Self {
            id: slot.map(|slot| slot.id.clone()),
            uuid: slot.and_then(|slot| slot.uuid.as_ref()).map(|uuid| uuid.to_lowercase()),
            macs,
        }
    }

    /// A UUID counts where both have one.
    pub(in crate::bringup) fn is_of(&self, other: &Self) -> bool {
        let known = self.uuid.as_ref().zip(other.uuid.as_ref());
        self.id == other.id && self.macs == other.macs && known.is_none_or(|(one, other)| one == other)
    }
}

#[async_trait]
impl Step for Adopt {
    fn name(&self) -> &'static str {
        ADOPT
    }

    /// A hypervisor that does not answer is waited for as a guest is, and the waiting may be cancelled.
    fn waits(&self) -> bool {
        true
    }

    fn deadline(&self) -> Option<Duration> {
        Some(FAST)
    }

    async fn probe(&self, _: &Context<'_>) -> Result<Probe, Fault> {
        Ok(Probe::Absent)
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        match self.adopt(context).await {
            Ok(adopted) => match serde_json::to_value(&adopted) {
                Ok(output) => Act::Applied(output),
                Err(error) => Act::Refused(Fault::new("internal", error.to_string())),
            },
            Err(fault) if is_final(&fault.code) => Act::Refused(fault),
            Err(fault) => Act::Unknown(fault),
        }
    }

    async fn undo(&self, context: &Context<'_>) -> Undo {
        self.forget(context).await.into()
    }
}

impl Adopt {
    async fn adopt(&self, context: &Context<'_>) -> Result<Allocated, Fault> {
        let (service, backend) = (self.0.service()?, &*self.0.backend);
        let meant = self.0.spec.adopt.as_ref();
        let meant = meant.ok_or_else(|| Fault::new("guest-unknown", "the job does not say which guest"))?;
        let found = backend.adopt(&handle(meant)).await?;
        if found.name != meant.name
            || !Likeness::of(&found.allocation).is_of(&Likeness::of(&meant.allocation))
        {
            let message =
                format!("{} of `{}` is another guest than a moment ago", meant.name, backend.name());
            return Err(Fault::new("guest-changed", message).with_hint("wait for it again"));
        }
        // Nobody is given this claim: what it stands for is the place that the report goes to.
        let id = hex::encode(rand::random::<[u8; 8]>());
        let guest = found.name.as_str();
        let claim = service.store.open_claim_for(context.job, guest, &id).await.map_err(store_fault)?;
        let (kind, mark) = (id_kind(backend), format!("{}/{}", backend.name(), handle(&found)));
        let macs = std::iter::once(&found.allocation.mac).chain(&found.allocation.more_macs);
        let mut values: Vec<(&str, String)> = macs.map(|mac| (MAC, mac.to_string())).collect();
        values.extend(found.allocation.slot.iter().map(|slot| (kind.as_str(), slot.id.clone())));
        values.push((ADOPTED, mark));
        if !service.store.reserve(context.job, &values).await.map_err(store_fault)? {
            let message = format!("{guest} has the MAC or id of a guest that another job knows");
            let hint =
                "`firstlight jobs` lists the guests; forget the one that is wrong with `firstlight abandon`";
            return Err(Fault::new("guest-known", message).with_hint(hint));
        }
        // It knows where to report without us; only for the record.
        let url = service.endpoints.ensure(backend).await.unwrap_or_default();
        Ok(Allocated { claim_id: claim.id, url, allocation: found.allocation })
    }

    async fn forget(&self, context: &Context<'_>) -> Result<(), Fault> {
        let store = &self.0.service()?.store;
        store.expire_claim(context.job).await.map_err(store_fault)?;
        store.retire_keys(context.job).await.map_err(store_fault)?;
        store.unreserve(context.job).await.map_err(store_fault)
    }
}

/// A word about the guest. Anything else (a hypervisor or a store that is away) may pass, and it is tried again.
fn is_final(code: &str) -> bool {
    matches!(code, "no-such-guest" | "ambiguous-guest" | "no-mac" | "no-name" | "template" | "no-adoption")
        || code.starts_with("guest-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Slot;

    fn allocation(id: &str, uuid: Option<&str>, macs: &[&str]) -> Allocation {
        let mut macs = macs.iter().map(|mac| mac.parse().unwrap());
        Allocation {
            mac: macs.next().unwrap(),
            more_macs: macs.collect(),
            addresses: Vec::new(),
            slot: Some(Slot {
                id: id.to_owned(),
                node: "pve1".to_owned(),
                uuid: uuid.map(ToOwned::to_owned),
                since_s: 0,
            }),
        }
    }

    #[test]
    fn a_guest_is_the_same_by_id_and_macs_wherever_it_runs() {
        let (one, two) = ("02:f1:57:00:00:01", "02:f1:57:00:00:02");
        let known = allocation("101", Some("AB"), &[one, two]);
        for (other, same) in [
            (allocation("101", Some("ab"), &[one, two]), true),
            (allocation("101", None, &[two, one]), true),
            (allocation("101", Some("cd"), &[one, two]), false),
            (allocation("102", Some("ab"), &[one, two]), false),
            (allocation("101", Some("ab"), &[one]), false),
        ] {
            assert_eq!(Likeness::of(&known).is_of(&Likeness::of(&other)), same, "{other:?}");
        }
        let mut moved = known.clone();
        moved.slot.as_mut().unwrap().node = "pve2".to_owned();
        moved.addresses = vec!["192.0.2.7".parse().unwrap()];
        assert!(Likeness::of(&known).is_of(&Likeness::of(&moved)));
    }

    #[test]
    fn only_a_word_about_the_guest_ends_the_waiting() {
        for (code, is) in [
            ("no-such-guest", true),
            ("ambiguous-guest", true),
            ("template", true),
            ("in-flight", false),
            ("no-adoption", true),
            ("store", false),
            ("timeout", false),
        ] {
            assert_eq!(is_final(code), is, "{code}");
        }
    }
}
