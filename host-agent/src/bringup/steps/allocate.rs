//! allocate: choose MAC, address and claim, and make ready what guests share. Proof: the journal has them.
//!
//! What is chosen is reserved in the store before it is journaled, in rows that no other job can have: two companions that
//! choose at once never choose the same, and a repeated choice of one job is the same choice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::secret::Secret;
use tokio::time::Instant;

use super::{ALLOCATE, Allocated, CONTENDED, Common, FAST, store_fault, unless_store};
use crate::backend::{Allocation, Taken};
use crate::bringup::service::Bringups;
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

pub(super) struct Allocate(pub(super) Arc<Common>);

/// Kinds of what is reserved. MACs are nobody else's anywhere, addresses within one backend's network.
const MAC: &str = "mac";
const ADDRESS: &str = "address@";

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
        let id = hex::encode(rand::random::<[u8; 8]>());
        let secret = Secret::new(rand::random::<[u8; 32]>().to_vec());
        let guest = self.0.spec.plan.name.as_str();
        let claim = service.store.claim_for(context.job, guest, &id, &secret).await.map_err(store_fault)?;
        let allocation = self.reserve(context).await?;
        Ok(Allocated { claim_id: claim.id, url, allocation })
    }

    async fn reserve(&self, context: &Context<'_>) -> Result<Allocation, Fault> {
        let service = self.0.service()?;
        let store = &service.store;
        let address_kind = format!("{ADDRESS}{}", self.0.backend.name());
        let held = store.reserved_by(context.job).await.map_err(store_fault)?;
        if let Some(allocation) = allocation(&held, &address_kind) {
            return Ok(allocation);
        }
        for attempt in 0..ATTEMPTS {
            let anew = attempt > 0;
            let chosen = match self.choose_free(&service, &address_kind, anew).await {
                Ok(chosen) => chosen,
                // Something may have become free.
                Err(_) if !anew => continue,
                Err(fault) => return Err(fault),
            };
            let addresses =
                chosen.addresses.iter().map(|address| (address_kind.as_str(), address.to_string()));
            let values: Vec<_> = std::iter::once((MAC, chosen.mac.to_string())).chain(addresses).collect();
            if store.reserve(context.job, &values).await.map_err(store_fault)? {
                return Ok(chosen);
            }
        }
        Err(Fault::new(CONTENDED, "other companions' jobs were faster each time"))
    }

    /// One at a time here, so that only other companions can be faster. What is taken is read from the store now and then
    /// only: a choice that is out of date is found out when it is reserved.
    async fn choose_free(
        &self,
        service: &Bringups,
        address_kind: &str,
        anew: bool,
    ) -> Result<Allocation, Fault> {
        let backend = &self.0.backend;
        let mut choosing = service.choosing.lock().await;
        let fresh = |known: &Known| !anew && known.read.elapsed() < FRESH;
        let mut known = match choosing.remove(backend.name()).filter(fresh) {
            Some(known) => known,
            None => {
                let reserved = service.store.reserved(&[MAC, address_kind]).await.map_err(store_fault)?;
                Known { read: Instant::now(), taken: taken(&reserved, address_kind) }
            }
        };
        let chosen = backend.allocate(&self.0.spec.plan, &known.taken).await;
        if let Ok(chosen) = &chosen {
            known.taken.macs.push(chosen.mac);
            known.taken.addresses.extend(&chosen.addresses);
        }
        choosing.insert(backend.name(), known);
        chosen
    }
}

/// What was taken in a backend's network when the store was read, and what was chosen here since.
#[derive(Debug)]
pub(in crate::bringup) struct Known {
    read: Instant,
    taken: Taken,
}

/// What a job holds, if it is whole.
fn allocation(held: &[(String, String)], address_kind: &str) -> Option<Allocation> {
    let taken = taken(held, address_kind);
    Some(Allocation { mac: *taken.macs.first()?, addresses: taken.addresses })
}

fn taken(reserved: &[(String, String)], address_kind: &str) -> Taken {
    let of = |wanted: &str| {
        let wanted = wanted.to_owned();
        reserved.iter().filter(move |(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    Taken {
        macs: of(MAC).filter_map(|value| value.parse().ok()).collect(),
        addresses: of(address_kind).filter_map(|value| value.parse().ok()).collect(),
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
        ];
        let found = allocation(&rows, "address@local").unwrap();
        assert_eq!(found.mac.to_string(), "02:f1:57:00:00:01");
        assert_eq!(found.addresses, ["10.77.0.10".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(allocation(&rows[1..], "address@local"), None);
    }
}
