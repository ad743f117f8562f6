//! A hypervisor that takes no time. It remembers what it was given, so that its guests can be played.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use firstlight::backend::{
    Allocation, Backend, GuestPlan, Observed, Place, Placement, ReportEndpoint, Stage, Surveyed, Taken,
};
use firstlight::outcome::{Act, Fault, Probe, Undo};
use firstlight_shared::ids::{GuestName, MacAddress};
use firstlight_shared::wire::Claim;
use serde_json::json;

pub(crate) const NAME: &str = "instant";

#[derive(Debug, Default)]
pub(crate) struct InstantBackend {
    chosen: AtomicU32,
    guests: Mutex<HashMap<String, InstantGuest>>,
}

/// What a started guest knows, and when its job was seen behind the report.
#[derive(Debug, Clone)]
pub(crate) struct InstantGuest {
    pub(crate) name: String,
    pub(crate) mac: MacAddress,
    pub(crate) address: IpAddr,
    pub(crate) claim: Claim,
    pub(crate) moved_on: Option<Instant>,
}

impl InstantBackend {
    /// Guests that were started, by job.
    pub(crate) fn guests(&self) -> MutexGuard<'_, HashMap<String, InstantGuest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for InstantBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn preflight(&self, _: &GuestPlan) -> Result<(), Fault> {
        Ok(())
    }

    async fn namesake(&self, _: &GuestName, _: &Place) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    async fn golden_mark(&self, _: &GuestPlan) -> Result<String, Fault> {
        Ok(NAME.to_owned())
    }

    async fn prepare(&self) -> Result<ReportEndpoint, Fault> {
        Ok(ReportEndpoint { url: "https://127.0.0.1:1".to_owned(), listener: None })
    }

    async fn release(&self) -> Result<bool, Fault> {
        Ok(true)
    }

    async fn allocate(&self, _: &GuestPlan, _: &Taken) -> Result<Allocation, Fault> {
        let [_, a, b, c] = (self.chosen.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(10, a, b, c));
        Ok(Allocation {
            mac: MacAddress::local([2, 0, 0], [a, b, c]),
            addresses: vec![address],
            more_macs: Vec::new(),
            slot: None,
        })
    }

    async fn probe(&self, _: Stage, _: &Placement) -> Result<Probe, Fault> {
        Ok(Probe::Absent)
    }

    async fn act(&self, stage: Stage, guest: &Placement) -> Act {
        if stage == Stage::Start {
            let started = InstantGuest {
                name: guest.plan.name.to_string(),
                mac: guest.allocation.mac,
                address: guest.allocation.addresses[0],
                claim: guest.claim.clone(),
                moved_on: None,
            };
            self.guests().insert(guest.job.clone(), started);
        }
        Act::Applied(json!({}))
    }

    async fn undo(&self, _: Stage, _: &Placement) -> Undo {
        Undo::Absent
    }

    async fn survey(&self) -> Result<Vec<Surveyed>, Fault> {
        let guests = self.guests();
        let surveyed = |(job, guest): (&String, &InstantGuest)| Surveyed {
            job: Some(job.clone()),
            guest: guest.name.clone(),
            id: None,
            running: true,
        };
        Ok(guests.iter().map(surveyed).collect())
    }

    fn resources(&self, _: &GuestPlan) -> Vec<String> {
        vec![format!("node:{NAME}")]
    }

    async fn observe(&self, guest: &Placement) -> Result<Observed, Fault> {
        let allocation = guest.allocation.clone();
        Ok(Observed {
            running: true,
            mac: Some(allocation.mac),
            addresses: allocation.addresses,
            mounts: Vec::new(),
            mounts_unseen: None,
            no_network: false,
        })
    }

    /// The first thing that is asked once the wait for the report is over.
    async fn read_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(guest) = self.guests().get_mut(&guest.job) {
            guest.moved_on.get_or_insert_with(Instant::now);
        }
        Ok(None)
    }

    async fn console_tail(&self, _: &Placement, _: usize) -> Vec<String> {
        Vec::new()
    }

    async fn remove_claim(&self, _: &Placement) -> Result<(), Fault> {
        Ok(())
    }

    fn manual_cleanup(&self, _: &Placement) -> Vec<String> {
        Vec::new()
    }

    fn reach(&self, _: &Placement) -> Option<String> {
        None
    }
}
