//! Ready guests with what other tools need to reach them and to know that it is them.

use std::net::IpAddr;

use firstlight_shared::wire::{HostKey, Trust};
use serde::{Deserialize, Serialize};

use super::endings::golden;
use crate::bringup::facts::{beacon_of, reached_at};
use crate::bringup::service::Bringups;
use crate::job::Phase;
use crate::store::{JobFilter, JobRow, StoreError};

/// A guest whose report was verified.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InventoryHost {
    pub guest: String,
    pub job: String,
    pub backend: String,
    /// What was brought up together has the same one.
    pub batch: String,
    /// None: somebody else made the guest.
    pub golden: Option<String>,
    #[schema(value_type = String, example = "attested")]
    pub trust: Trust,
    /// Those that were chosen for it; else those that the hypervisor listed when it was verified.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    /// Derived; the raw one never leaves the guest.
    pub machine_id: Option<String>,
    #[schema(value_type = Vec<Object>)]
    pub ssh_host_keys: Vec<HostKey>,
    /// The guest is gone once it stops.
    pub ephemeral: bool,
}

impl Bringups {
    /// All of them, by name.
    ///
    /// # Errors
    /// The store fails.
    pub async fn inventory(&self) -> Result<Vec<InventoryHost>, StoreError> {
        let mut hosts = Vec::new();
        let mut filter = JobFilter { states: vec![Phase::Done], limit: usize::MAX, ..Default::default() };
        loop {
            let (rows, next) = self.store.list_jobs(&filter).await?;
            for row in rows {
                hosts.extend(self.inventory_host(row).await?);
            }
            if next.is_none() {
                break;
            }
            filter.before = next;
        }
        hosts.sort_by(|one, other| one.guest.cmp(&other.guest));
        Ok(hosts)
    }

    async fn inventory_host(&self, row: JobRow) -> Result<Option<InventoryHost>, StoreError> {
        let Some(trust) = row.trust.filter(|trust| *trust <= Trust::Claimed && row.change_of.is_none())
        else {
            return Ok(None);
        };
        let Some(state) = self.state(&row.id).await? else { return Ok(None) };
        let report = self.store.report_of_job(&row.id).await?.and_then(|stored| stored.envelope.open().ok());
        let (keys, machine_id) = match report {
            Some(opened) => {
                let identity = opened.report.identity;
                (identity.ssh_host_keys, identity.machine_id.derived.map(|id| id.to_string()))
            }
            None => (beacon_of(&state).and_then(|beacon| beacon.host_key).into_iter().collect(), None),
        };
        Ok(Some(InventoryHost {
            addresses: reached_at(&state),
            golden: golden(&state),
            guest: row.guest,
            job: row.id,
            backend: row.backend,
            batch: row.batch,
            trust,
            machine_id,
            ssh_host_keys: keys,
            ephemeral: row.ephemeral,
        }))
    }
}
