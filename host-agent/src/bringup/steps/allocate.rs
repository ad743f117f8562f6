//! allocate: choose MAC, address and claim, and make ready what guests share. Proof: the journal has them.
//!
//! What is chosen is reserved in the store before it is journaled, in rows that no other job can have: two companions that
//! choose at once never choose the same, and a repeated choice of one job is the same choice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::secret::Secret;
use tokio::time::Instant;

use super::{Common, FAST, store_fault, unless_store};
use crate::backend::{Allocation, Backend, ClaimChannel, Placement, Taken};
use crate::bringup::facts::{ALLOCATE, Allocated, CONTENDED};
use crate::bringup::service::{Bringups, Known};
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

pub(super) struct Allocate(pub(super) Arc<Common>);

/// Kinds of what is reserved. MACs are nobody else's anywhere, addresses within one backend's network.
pub(in crate::bringup) const MAC: &str = "mac";
const ADDRESS: &str = "address@";

/// Ids are unique at one hypervisor.
pub(in crate::bringup) fn id_kind(backend: &dyn Backend) -> String {
    format!("id@{}", backend.name())
}

/// The kinds of one backend.
struct Kinds {
    address: String,
    id: String,
}

impl Kinds {
    fn of(backend: &dyn Backend) -> Self {
        Self { address: format!("{ADDRESS}{}", backend.name()), id: id_kind(backend) }
    }

    fn taken(&self, reserved: &[(String, String)]) -> Taken {
        let of = |wanted: &str| {
            let wanted = wanted.to_owned();
            reserved.iter().filter(move |(kind, _)| *kind == wanted).map(|(_, value)| value)
        };
        Taken {
            macs: of(MAC).filter_map(|value| value.parse().ok()).collect(),
            addresses: of(&self.address).filter_map(|value| value.parse().ok()).collect(),
            ids: of(&self.id).cloned().collect(),
        }
    }

    fn values<'a>(&'a self, chosen: &'a Allocation) -> Vec<(&'a str, String)> {
        let macs = std::iter::once(&chosen.mac).chain(&chosen.more_macs);
        let macs = macs.map(|mac| (MAC, mac.to_string()));
        let addresses = chosen.addresses.iter().map(|address| (self.address.as_str(), address.to_string()));
        let id = chosen.slot.iter().map(|slot| (self.id.as_str(), slot.id.clone()));
        macs.chain(addresses).chain(id).collect()
    }
}

/// How often to choose again when another job was faster; each time it is known what that one took.
const ATTEMPTS: u32 = 20;
/// How long what was read is used: what was freed meanwhile is not chosen.
const FRESH: Duration = Duration::from_secs(2);

#[async_trait]
impl Step for Allocate {
    fn name(&self) -> &'static str {
        ALLOCATE
    }

    fn deadline(&self) -> Option<std::time::Duration> {
        Some(FAST)
    }

    async fn probe(&self, _: &Context<'_>) -> Result<Probe, Fault> {
        Ok(Probe::Absent)
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        match self.choose(context).await {
            Ok(allocated) => match serde_json::to_value(&allocated) {
                Ok(output) => Act::Applied(output),
                Err(error) => Act::Refused(Fault::new("internal", error.to_string())),
            },
            Err(fault) => unless_store(fault),
        }
    }

    async fn undo(&self, context: &Context<'_>) -> Undo {
        self.forget(context).await.into()
    }
}

impl Allocate {
    async fn forget(&self, context: &Context<'_>) -> Result<(), Fault> {
        let store = &self.0.service()?.store;
        store.expire_claim(context.job).await.map_err(store_fault)?;
        store.retire_keys(context.job).await.map_err(store_fault)?;
        store.unreserve(context.job).await.map_err(store_fault)
    }

    async fn choose(&self, context: &Context<'_>) -> Result<Allocated, Fault> {
        let service = self.0.service()?;
        let url = service.endpoints.ensure(&*self.0.backend).await?;
        let url = self.0.backend.report_url(&self.0.spec.plan.place, url).await?;
        let id = hex::encode(rand::random::<[u8; 8]>());
        let guest = self.0.spec.plan.name.as_str();
        let claim = match self.0.backend.claim_channel() {
            ClaimChannel::Secret => {
                let secret = Secret::new(rand::random::<[u8; 32]>().to_vec());
                service.store.claim_for(context.job, guest, &id, &secret).await
            }
            ClaimChannel::Open => service.store.open_claim_for(context.job, guest, &id).await,
        };
        let claim = claim.map_err(store_fault)?;
        let allocation = self.reserve(context).await?;
        Ok(Allocated { claim_id: claim.id, url, allocation })
    }

    async fn reserve(&self, context: &Context<'_>) -> Result<Allocation, Fault> {
        let service = self.0.service()?;
        let store = &service.store;
        let kinds = Kinds::of(&*self.0.backend);
        // A companion died between reserving and journaling: what it reserved is forgotten, nothing was made with it.
        if !store.reserved_by(context.job).await.map_err(store_fault)?.is_empty() {
            store.unreserve(context.job).await.map_err(store_fault)?;
        }
        for attempt in 0..ATTEMPTS {
            let anew = attempt > 0;
            let chosen = match self.0.choose_free(&service, &kinds, anew, &[]).await {
                Ok(chosen) => chosen,
                // Something may have become free.
                Err(_) if !anew => continue,
                Err(fault) => return Err(fault),
            };
            if store.reserve(context.job, &kinds.values(&chosen)).await.map_err(store_fault)? {
                return Ok(chosen);
            }
        }
        Err(Fault::new(CONTENDED, "other companions' jobs were faster each time"))
    }
}

impl Common {
    /// One at a time here, so that only other companions can be faster. What is taken is read from the store now and then
    /// only: a choice that is out of date is found out when it is reserved.
    async fn choose_free(
        &self,
        service: &Bringups,
        kinds: &Kinds,
        anew: bool,
        others: &[String],
    ) -> Result<Allocation, Fault> {
        let backend = &self.backend;
        let mut choosing = service.choosing.lock().await;
        let fresh = |known: &Known| !anew && known.read.elapsed() < FRESH;
        let mut known = match choosing.remove(backend.name()).filter(fresh) {
            Some(known) => known,
            None => {
                let wanted = [MAC, &kinds.address, &kinds.id];
                let reserved = service.store.reserved(&wanted).await.map_err(store_fault)?;
                Known { read: Instant::now(), taken: kinds.taken(&reserved) }
            }
        };
        let mut taken = known.taken.clone();
        taken.ids.extend_from_slice(others);
        let chosen = backend.allocate(&self.spec.plan, &taken).await;
        if let Ok(chosen) = &chosen {
            known.taken.macs.push(chosen.mac);
            known.taken.macs.extend(&chosen.more_macs);
            known.taken.addresses.extend(&chosen.addresses);
            known.taken.ids.extend(chosen.slot.iter().map(|slot| slot.id.clone()));
        }
        choosing.insert(backend.name(), known);
        chosen
    }

    /// Another id for the guest, since the one that `placement` has is somebody else's (and those before it, `tried`). Held
    /// in the store when this returns. Everything else that was chosen stays.
    pub(super) async fn choose_another_id(
        &self,
        placement: &Placement,
        tried: &mut Vec<String>,
    ) -> Result<Placement, Fault> {
        let service = self.service()?;
        let kinds = Kinds::of(&*self.backend);
        let Some(slot) = &placement.allocation.slot else {
            return Err(Fault::new("internal", "a guest without an id has none that could be taken"));
        };
        tried.push(slot.id.clone());
        while tried.len() < ATTEMPTS as usize {
            let chosen = self.choose_free(&service, &kinds, true, tried).await?;
            let Some(id) = chosen.slot.map(|slot| slot.id) else { break };
            let (kind, job) = (&kinds.id, &placement.job);
            if service.store.exchange(job, kind, &id).await.map_err(store_fault)? {
                let mut placement = placement.clone();
                placement.allocation.slot = Some(crate::backend::Slot { id, ..slot.clone() });
                return Ok(placement);
            }
            tried.push(id);
        }
        Err(Fault::new(CONTENDED, "each id that was chosen was somebody else's").with_hint(
            "is another program making guests in the same range? Give this one a range of its own, and try again",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_read_back_and_other_networks_do_not_count() {
        let row = |kind: &str, value: &str| (kind.to_owned(), value.to_owned());
        let rows = [
            row(MAC, "02:f1:57:00:00:01"),
            row("address@local", "10.77.0.10"),
            row("address@other", "10.77.0.11"),
            row("id@local", "101"),
            row("id@other", "102"),
        ];
        let kinds = Kinds { address: "address@local".to_owned(), id: "id@local".to_owned() };
        let found = kinds.taken(&rows);
        assert_eq!(found.macs, ["02:f1:57:00:00:01".parse().unwrap()]);
        assert_eq!(found.addresses, ["10.77.0.10".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(found.ids, ["101"]);
    }
}
