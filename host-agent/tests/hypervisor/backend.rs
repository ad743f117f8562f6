//! The companion's side of the paper hypervisor.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use firstlight::backend::{
    Adopted, Allocation, Backend, GuestPlan, MemoryInUse, Observed, Place, Placement, ReportEndpoint,
    RunningGuest, Slot, Snapshot, Stage, Surveyed, Taken,
};
use firstlight::outcome::{Act, Fault, Followed, Probe, Undo};
use firstlight_shared::ids::{GuestName, MacAddress};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::call::{NoAnswer, call};
use super::world::{Alteration, Machine, Wanted};

/// As most tests name it.
pub(crate) const NAME: &str = "paper";

#[derive(Debug)]
pub(crate) struct Paper {
    /// As specs name it.
    pub(crate) name: &'static str,
    pub(crate) socket: PathBuf,
    /// What its requests are signed with.
    pub(crate) companion: String,
    /// Where guests are told to report.
    pub(crate) url: String,
}

impl Paper {
    async fn call(&self, method: &str, path: &str, body: &Value) -> Result<(StatusCode, Value), NoAnswer> {
        call(&self.socket, &self.companion, method, path, body).await
    }

    async fn machine(&self, job: &str) -> Result<Option<Machine>, Fault> {
        match self.call("GET", &format!("/machines/{job}"), &Value::Null).await {
            Ok((StatusCode::OK, machine)) => {
                serde_json::from_value(machine).map(Some).map_err(|error| fault(&error.to_string()))
            }
            Ok((StatusCode::NOT_FOUND, _)) => Ok(None),
            Ok((status, _)) => Err(fault(status.as_str())),
            Err(NoAnswer::NeverSent(why) | NoAnswer::Unclear(why)) => Err(fault(&why)),
        }
    }

    async fn act_on(&self, method: &str, path: &str) -> Act {
        match self.call(method, path, &Value::Null).await {
            Ok((StatusCode::OK, _)) => Act::Applied(json!({})),
            Ok((status, _)) => Act::Refused(fault(status.as_str())),
            Err(NoAnswer::NeverSent(why) | NoAnswer::Unclear(why)) => Act::Unknown(fault(&why)),
        }
    }

    async fn alter(&self, guest: &Placement, alteration: Alteration) -> Act {
        match self.call("POST", &format!("/machines/{}/alter", guest.job), &json!(alteration)).await {
            Ok((StatusCode::OK, _)) => Act::Applied(json!({})),
            Ok((status, _)) => Act::Refused(fault(status.as_str())),
            Err(NoAnswer::NeverSent(why) | NoAnswer::Unclear(why)) => Act::Unknown(fault(&why)),
        }
    }

    async fn machines(&self) -> Result<Vec<Machine>, Fault> {
        let machines = match self.call("GET", "/machines", &Value::Null).await {
            Ok((_, machines)) => serde_json::from_value(machines),
            Err(NoAnswer::NeverSent(why) | NoAnswer::Unclear(why)) => return Err(fault(&why)),
        };
        machines.map_err(|error| fault(&error.to_string()))
    }

    async fn make(&self, guest: &Placement) -> Act {
        let wanted = Wanted {
            job: guest.job.clone(),
            guest: guest.plan.name.to_string(),
            mac: guest.allocation.mac,
            addresses: guest.allocation.addresses.clone(),
            claim: guest.claim.clone(),
            memory: guest.plan.size.memory_bytes.unwrap_or(0),
            ephemeral: guest.plan.ephemeral,
        };
        match self.call("PUT", &format!("/machines/{}", guest.job), &json!(wanted)).await {
            Ok((StatusCode::OK, Value::String(task))) => Act::Started(task),
            Ok((StatusCode::OK, _)) => Act::Applied(json!({})),
            Ok((status, _)) => Act::Refused(fault(status.as_str())),
            Err(NoAnswer::NeverSent(why) | NoAnswer::Unclear(why)) => Act::Unknown(fault(&why)),
        }
    }
}

/// Our machines go by their jobs, those of others by their numbers.
fn key(guest: &Placement) -> &str {
    guest.allocation.slot.as_ref().map_or(&guest.job, |slot| &slot.id)
}

fn fault(message: &str) -> Fault {
    Fault::new("paper", message)
}

#[async_trait]
impl Backend for Paper {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn preflight(&self, _: &GuestPlan) -> Result<(), Fault> {
        Ok(())
    }

    async fn namesake(&self, _: &GuestName, _: &Place) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    async fn golden_mark(&self, _: &GuestPlan) -> Result<String, Fault> {
        Ok("paper".to_owned())
    }

    async fn prepare(&self) -> Result<ReportEndpoint, Fault> {
        Ok(ReportEndpoint { url: self.url.clone(), listener: None })
    }

    async fn release(&self) -> Result<bool, Fault> {
        Ok(true)
    }

    async fn allocate(&self, _: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        loop {
            let [a, b, c] = rand::random::<[u8; 3]>();
            let mac = MacAddress::local([0x02, 0xf1, 0x57], [a, b, c]);
            let address = IpAddr::V4(Ipv4Addr::new(10, a, b, c.clamp(1, 254)));
            if !taken.macs.contains(&mac) && !taken.addresses.contains(&address) {
                return Ok(Allocation { mac, addresses: vec![address], more_macs: Vec::new(), slot: None });
            }
        }
    }

    async fn probe(&self, stage: Stage, guest: &Placement) -> Result<Probe, Fault> {
        let Some(machine) = self.machine(&guest.job).await? else { return Ok(Probe::Absent) };
        Ok(match (stage, machine.task) {
            (_, Some(task)) => Probe::InFlight(task),
            (Stage::Start, None) if !machine.running => Probe::Absent,
            // The make has done all the rest in one call.
            _ => Probe::Present(json!({})),
        })
    }

    async fn act(&self, stage: Stage, guest: &Placement) -> Act {
        match stage {
            Stage::Restore => self.make(guest).await,
            Stage::Start => self.act_on("POST", &format!("/machines/{}/start", guest.job)).await,
            _ => Act::Refused(fault("the make was to do this")),
        }
    }

    async fn follow(&self, _: Stage, guest: &Placement, task: &str) -> Followed {
        loop {
            match self.machine(&guest.job).await {
                Ok(Some(machine)) if machine.task.as_deref() == Some(task) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(Some(_)) => return Followed::Done(json!({})),
                Ok(None) => return Followed::Failed(fault("nothing was made")),
                Err(fault) => return Followed::Unknown(fault),
            }
        }
    }

    async fn undo(&self, stage: Stage, guest: &Placement) -> Undo {
        match (stage, self.machine(&guest.job).await) {
            (_, Err(fault)) => Undo::Failed(fault),
            (_, Ok(None)) => Undo::Absent,
            (_, Ok(Some(Machine { task: Some(task), .. }))) => Undo::Started(task),
            (Stage::Start, Ok(Some(_))) => {
                undone(self.act_on("POST", &format!("/machines/{}/stop", guest.job)).await)
            }
            (Stage::Restore, Ok(Some(machine))) => {
                if machine.running {
                    // A start that came late: what is removed must stand still.
                    self.act_on("POST", &format!("/machines/{}/stop", guest.job)).await;
                }
                undone(self.act_on("DELETE", &format!("/machines/{}", guest.job)).await)
            }
            _ => Undo::Absent,
        }
    }

    async fn follow_undo(&self, stage: Stage, guest: &Placement, task: &str) {
        self.follow(stage, guest, task).await;
    }

    async fn survey(&self) -> Result<Vec<Surveyed>, Fault> {
        let machines = self.machines().await?;
        let surveyed = |machine: Machine| Surveyed {
            job: Some(machine.job),
            guest: machine.guest,
            id: None,
            running: machine.running,
        };
        Ok(machines.into_iter().filter(|machine| !machine.foreign).map(surveyed).collect())
    }

    fn resources(&self, _: &GuestPlan) -> Vec<String> {
        vec![format!("node:{NAME}")]
    }

    async fn observe(&self, guest: &Placement) -> Result<Observed, Fault> {
        let machine = self.machine(key(guest)).await?;
        Ok(Observed {
            running: machine.as_ref().is_some_and(|machine| machine.running),
            mac: machine.as_ref().map(|machine| machine.mac),
            addresses: machine.map(|machine| machine.addresses).unwrap_or_default(),
            mounts: Vec::new(),
            mounts_unseen: None,
            no_network: false,
        })
    }

    async fn adopt(&self, name_or_id: &str) -> Result<Adopted, Fault> {
        let machines = self.machines().await?;
        let wanted = |machine: &&Machine| machine.job == name_or_id || machine.guest == name_or_id;
        let found: Vec<&Machine> = machines.iter().filter(wanted).collect();
        let machine = match found.as_slice() {
            [machine] => machine,
            [] => return Err(Fault::new("no-such-guest", format!("there is no guest `{name_or_id}`"))),
            _ => {
                let message = format!("several guests are called `{name_or_id}`");
                return Err(
                    Fault::new("ambiguous-guest", message).with_hint("name one by its number: --vmid")
                );
            }
        };
        let slot = machine.foreign.then(|| Slot {
            id: machine.job.clone(),
            node: NAME.to_owned(),
            uuid: None,
            since_s: 0,
        });
        Ok(Adopted {
            name: machine.guest.parse().map_err(|_| fault("what a name"))?,
            kind: None,
            allocation: Allocation {
                mac: machine.mac,
                more_macs: Vec::new(),
                addresses: machine.addresses.clone(),
                slot,
            },
        })
    }

    async fn read_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.machine(key(guest)).await?.and_then(|machine| machine.report).map(String::into_bytes))
    }

    async fn console_tail(&self, _: &Placement, _: usize) -> Vec<String> {
        Vec::new()
    }

    async fn remove_claim(&self, guest: &Placement) -> Result<(), Fault> {
        match self.act_on("DELETE", &format!("/machines/{}/claim", guest.job)).await {
            Act::Refused(fault) | Act::Unknown(fault) => Err(fault),
            Act::Applied(_) | Act::Started(_) => Ok(()),
        }
    }

    async fn memory_in_use(&self, _: &GuestPlan) -> Result<Option<MemoryInUse>, Fault> {
        let running = self.machines().await?.into_iter().filter(|machine| machine.running);
        let guest = |machine: Machine| RunningGuest {
            job: (!machine.foreign).then_some(machine.job),
            id: None,
            at: vec![format!("node:{NAME}")],
            bytes: machine.memory,
        };
        let guests: Vec<RunningGuest> = running.map(guest).collect();
        let bytes = guests.iter().map(|guest| guest.bytes).sum();
        Ok(Some(MemoryInUse { of: NAME.to_owned(), bytes, total_bytes: 0, guests }))
    }

    async fn memory(&self, guest: &Placement) -> Result<Option<u64>, Fault> {
        Ok(self.machine(&guest.job).await?.map(|machine| machine.memory))
    }

    async fn set_memory(&self, guest: &Placement, bytes: u64) -> Act {
        self.alter(guest, Alteration::Memory(bytes)).await
    }

    async fn keep(&self, guest: &Placement) -> Act {
        self.alter(guest, Alteration::Keep).await
    }

    async fn snapshots(&self, guest: &Placement) -> Result<Vec<Snapshot>, Fault> {
        let snapshots = self.machine(&guest.job).await?.map(|machine| machine.snapshots).unwrap_or_default();
        Ok(snapshots.into_iter().map(|(name, _)| Snapshot { name, taken_at_ms: None }).collect())
    }

    async fn snapshot(&self, guest: &Placement, name: &str) -> Act {
        self.alter(guest, Alteration::TakeSnapshot(name.to_owned())).await
    }

    async fn restore_snapshot(&self, guest: &Placement, name: &str) -> Act {
        self.alter(guest, Alteration::GoBack(name.to_owned())).await
    }

    async fn remove_snapshot(&self, guest: &Placement, name: &str) -> Act {
        self.alter(guest, Alteration::DropSnapshot(name.to_owned())).await
    }

    fn manual_cleanup(&self, guest: &Placement) -> Vec<String> {
        vec![format!("remove machine {}", guest.job)]
    }

    fn reach(&self, _: &Placement) -> Option<String> {
        None
    }
}

fn undone(act: Act) -> Undo {
    match act {
        Act::Applied(_) => Undo::Absent,
        Act::Started(task) => Undo::Started(task),
        Act::Refused(fault) | Act::Unknown(fault) => Undo::Failed(fault),
    }
}
