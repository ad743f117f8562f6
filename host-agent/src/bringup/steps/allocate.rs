//! allocate: choose MAC, address and claim, and make ready what guests share. Proof: the journal has them.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use firstlight_shared::secret::Secret;
use tokio::sync::Mutex;

use super::{ALLOCATE, Allocated, Common, store_fault};
use crate::backend::{Allocation, Taken};
use crate::job::{Context, State, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

pub(super) struct Allocate(pub(super) Arc<Common>);

/// What jobs hold, from the moment of choosing: two jobs that choose at once never choose the same.
#[derive(Debug, Default)]
pub(in crate::bringup) struct Reservations {
    held: Mutex<HashMap<String, Allocation>>,
    restored: std::sync::Mutex<HashMap<String, Allocation>>,
}

impl Reservations {
    /// Takes over what a journal says, at start.
    pub(in crate::bringup) fn restore(&self, job: &str, state: &State) {
        if let Some(allocated) = Allocated::of(state).filter(|_| !state.phase.is_gone()) {
            let mut restored = self.restored.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            restored.insert(job.to_owned(), allocated.allocation);
        }
    }

    async fn lock(&self) -> tokio::sync::MutexGuard<'_, HashMap<String, Allocation>> {
        let mut held = self.held.lock().await;
        let mut restored = self.restored.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.extend(restored.drain());
        held
    }
}

#[async_trait]
impl Step for Allocate {
    fn name(&self) -> &'static str {
        ALLOCATE
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
            Err(fault) => Act::Refused(fault),
        }
    }

    async fn undo(&self, context: &Context<'_>) -> Undo {
        self.forget(context).await.into()
    }
}

impl Allocate {
    async fn forget(&self, context: &Context<'_>) -> Result<(), Fault> {
        let service = self.0.service()?;
        service.store.expire_claim(context.job).await.map_err(store_fault)?;
        service.store.retire_keys(context.job).await.map_err(store_fault)?;
        service.reservations.lock().await.remove(context.job);
        Ok(())
    }

    async fn choose(&self, context: &Context<'_>) -> Result<Allocated, Fault> {
        let service = self.0.service()?;
        let url = service.endpoints.ensure(&*self.0.backend).await?;
        let id = hex::encode(rand::random::<[u8; 8]>());
        let secret = Secret::new(rand::random::<[u8; 32]>().to_vec());
        let guest = self.0.spec.plan.name.as_str();
        let claim = service.store.claim_for(context.job, guest, &id, &secret).await.map_err(store_fault)?;

        let mut held = service.reservations.lock().await;
        let taken = Taken {
            macs: held.values().map(|other| other.mac).collect(),
            addresses: held.values().flat_map(|other| other.addresses.clone()).collect(),
        };
        let allocation = self.0.backend.allocate(&self.0.spec.plan, &taken).await?;
        held.insert(context.job.to_owned(), allocation.clone());
        Ok(Allocated { claim_id: claim.id, url, allocation })
    }
}
