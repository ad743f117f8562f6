//! Verified keys of guests that are ready: for known_hosts, and for their certificates.

use firstlight_shared::wire::{HostKey, Trust};
use serde::{Deserialize, Serialize};

use super::facts::{beacon_of, reached_at};
use crate::job::{Phase, fold};
use crate::store::{JobRow, Store, StoreError};

/// What known_hosts needs of one guest.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KnownHost {
    pub guest: String,
    /// The guest's name and addresses.
    pub names: Vec<String>,
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<HostKey>,
}

/// Its verified keys; none, if the guest is not ready, or what it said is not surely its own.
pub(super) async fn host_of(store: &Store, row: JobRow) -> Result<Option<KnownHost>, StoreError> {
    if row.phase != Phase::Done || row.trust.is_none_or(|trust| trust > Trust::Claimed) {
        return Ok(None);
    }
    let (report, events) = (store.report_of_job(&row.id).await?, store.events(&row.id).await?);
    let Ok(state) = fold(&events) else { return Ok(None) };
    let keys = match report {
        Some(stored) => stored.envelope.open().ok().map(|opened| opened.report.identity.ssh_host_keys),
        None => beacon_of(&state).and_then(|beacon| beacon.host_key).map(|key| vec![key]),
    };
    let Some(keys) = keys else { return Ok(None) };
    let addresses = reached_at(&state).into_iter().map(|address| address.to_string());
    let names = std::iter::once(row.guest.clone()).chain(addresses).collect();
    Ok(Some(KnownHost { guest: row.guest, names, keys }))
}
