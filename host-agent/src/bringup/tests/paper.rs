//! A hypervisor on paper: objects with stamps, and faults that tests put in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, TcpListener};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::ids::{GuestName, MacAddress};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backend::{
    Adopted, Allocation, Backend, ClaimChannel, GuestPlan, Look, LookBudget, MemoryInUse, Observed, Place,
    Placement, ReportEndpoint, RunningGuest, SecretFile, Slot, Snapshot, Stage, Surveyed, Taken, Unseen,
};
use crate::outcome::{Act, Fault, Probe, Undo};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::bringup) struct Object {
    pub(in crate::bringup) guest: String,
    pub(in crate::bringup) mac: Option<MacAddress>,
    pub(in crate::bringup) running: bool,
    pub(in crate::bringup) memory: u64,
    /// With the memory that it had then.
    pub(in crate::bringup) snapshots: Vec<(String, u64)>,
    pub(in crate::bringup) ephemeral: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bringup) struct Delivery {
    pub(in crate::bringup) job: String,
    pub(in crate::bringup) running: bool,
    /// As path, owner and content.
    pub(in crate::bringup) files: Vec<(String, String, Vec<u8>)>,
    /// What the claim names.
    pub(in crate::bringup) claimed: Vec<String>,
}

#[derive(Debug, Default)]
pub(in crate::bringup) struct World {
    /// By the job of the stamp.
    pub(in crate::bringup) objects: BTreeMap<String, Object>,
    /// Guests that somebody else made, by their ids.
    pub(in crate::bringup) others: BTreeMap<String, Object>,
    /// What can be read in them, by their ids.
    pub(in crate::bringup) reports: BTreeMap<String, Vec<u8>>,
    pub(in crate::bringup) golden: String,
    pub(in crate::bringup) refuse: Option<Stage>,
    pub(in crate::bringup) undo_fails: Option<Stage>,
    /// What was done to guests that are there.
    pub(in crate::bringup) changes: Vec<String>,
    /// Changes that begin so are refused.
    pub(in crate::bringup) refuse_change: Option<String>,
    /// This change is done, and nobody hears of it.
    pub(in crate::bringup) lose_answer: Option<String>,
    /// A guest with more memory does not start.
    pub(in crate::bringup) starts_with: Option<u64>,
    /// How often each job's guest was made.
    pub(in crate::bringup) made: BTreeMap<String, u32>,
    pub(in crate::bringup) released: u32,
    /// Whether a socket for reports comes with what guests share, and is given out once.
    pub(in crate::bringup) socket: Option<bool>,
    /// Claims carry no secret, ids are chosen, and guests may be looked at.
    pub(in crate::bringup) open: bool,
    /// UUIDs are not chosen: each guest gets this one when it is made, and the restore tells of it.
    pub(in crate::bringup) own_uuid: Option<String>,
    /// What a look at each job's guest shows; nothing: it does not run.
    pub(in crate::bringup) shown: BTreeMap<String, Vec<IpAddr>>,
    pub(in crate::bringup) look_takes: Duration,
    pub(in crate::bringup) look_fails: bool,
    /// Nobody may look.
    pub(in crate::bringup) blind: bool,
    /// Every delivery of secrets: the job, whether its guest ran, and what came.
    pub(in crate::bringup) deliveries: Vec<Delivery>,
    /// The next deliveries end with nobody knowing.
    pub(in crate::bringup) lose_deliveries: u32,
    /// Every look: when it was begun, and at whose guest.
    pub(in crate::bringup) looks: Vec<(Instant, String)>,
    /// Looks under way, by job, and the most at one guest so far.
    pub(in crate::bringup) under_way: BTreeMap<String, usize>,
    pub(in crate::bringup) most_at_once: usize,
    /// Nobody tells what guests have mounted: for so many times (each is counted down).
    pub(in crate::bringup) untold: Option<(Unseen, u32)>,
}

#[derive(Debug)]
pub(in crate::bringup) struct Paper {
    world: Mutex<World>,
    /// A stage that does not go on before this says otherwise.
    pub(in crate::bringup) hold: watch::Sender<Option<Stage>>,
}

impl Default for Paper {
    fn default() -> Self {
        Self { world: Mutex::default(), hold: watch::Sender::new(None) }
    }
}

impl Paper {
    pub(in crate::bringup) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl Paper {
    async fn change(
        &self,
        guest: &Placement,
        what: String,
        change: impl FnOnce(&mut Object, Option<u64>) + Send,
    ) -> Act {
        tokio::task::yield_now().await;
        let mut world = self.world();
        if world.refuse_change.as_ref().is_some_and(|refused| what.starts_with(refused)) {
            return Act::Refused(Fault::new("paper-refused", format!("{what} is refused")));
        }
        let most = world.starts_with;
        let lost = world.lose_answer.as_ref().is_some_and(|lost| what.starts_with(lost));
        match world.objects.get_mut(&guest.job) {
            Some(object) => change(object, most),
            None => return Act::Refused(Fault::new("gone", "there is no such guest")),
        }
        world.changes.push(what);
        if lost {
            world.lose_answer = None;
            return Act::Unknown(Fault::new("lost", "the answer was lost"));
        }
        Act::Applied(json!({}))
    }
}

#[async_trait]
impl Backend for Paper {
    fn name(&self) -> &'static str {
        "paper"
    }

    async fn preflight(&self, plan: &GuestPlan) -> Result<(), Fault> {
        match plan.golden.ends_with("missing") {
            true => Err(Fault::new("golden-missing", "it is not there")),
            false => Ok(()),
        }
    }

    async fn namesake(&self, name: &GuestName, _: &Place) -> Result<Option<String>, Fault> {
        let world = self.world();
        let found = world.objects.iter().find(|(_, object)| object.guest == name.as_str());
        Ok(found.map(|(job, _)| format!("job {job}")))
    }

    async fn golden_mark(&self, _: &GuestPlan) -> Result<String, Fault> {
        Ok(self.world().golden.clone())
    }

    async fn prepare(&self) -> Result<ReportEndpoint, Fault> {
        let given = self.world().socket.as_mut().map(|is_given| std::mem::replace(is_given, true));
        let listener = (given == Some(false)).then(|| TcpListener::bind("127.0.0.1:0").unwrap());
        Ok(ReportEndpoint { url: "https://192.0.2.1:7443".into(), listener })
    }

    async fn release(&self) -> Result<bool, Fault> {
        let mut world = self.world();
        if !world.objects.is_empty() {
            return Ok(false);
        }
        world.released += 1;
        world.socket = world.socket.map(|_| false);
        Ok(true)
    }

    /// Always the first that is free: those who choose at once meet.
    async fn allocate(&self, _: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        tokio::task::yield_now().await;
        let free = (1..=250).map(|last| IpAddr::from([192, 0, 2, last])).zip(1..);
        let mut free = free.filter(|(address, _)| !taken.addresses.contains(address));
        let (address, number) = free.next().ok_or_else(|| Fault::new("full", "no address is free"))?;
        let uuid = format!("00000000-0000-4000-8000-0000000000{number:02x}");
        let uuid = self.world().own_uuid.is_none().then_some(uuid);
        Ok(Allocation {
            mac: MacAddress::local([0x02, 0xf1, 0x58], [0, 0, number]),
            addresses: vec![address],
            more_macs: Vec::new(),
            slot: self.world().open.then(|| Slot {
                id: format!("{}", 100 + u32::from(number)),
                node: "paper-1".to_owned(),
                uuid,
                since_s: 0,
            }),
        })
    }

    async fn probe(&self, stage: Stage, guest: &Placement) -> Result<Probe, Fault> {
        let world = self.world();
        let other = world
            .objects
            .iter()
            .find(|(job, object)| **job != guest.job && object.guest == guest.plan.name.as_str());
        Ok(match (world.objects.get(&guest.job), other) {
            (None, Some((job, _))) => Probe::Foreign(job.clone()),
            (None, None) => Probe::Absent,
            (Some(object), _) if stage == Stage::Start && !object.running => Probe::Absent,
            (Some(_), _) if stage == Stage::Restore || stage == Stage::Start => Probe::Present(json!({})),
            // The others are seen to be done by nobody: they are done again.
            (Some(_), _) => Probe::Absent,
        })
    }

    async fn act(&self, stage: Stage, guest: &Placement) -> Act {
        let mut hold = self.hold.subscribe();
        let _ = hold.wait_for(|held| *held != Some(stage)).await;
        let mut world = self.world();
        if world.refuse == Some(stage) {
            return Act::Refused(Fault::new("paper-refused", format!("{stage:?} is refused")));
        }
        if stage == Stage::Restore {
            *world.made.entry(guest.job.clone()).or_default() += 1;
            let object = Object {
                guest: guest.plan.name.to_string(),
                mac: Some(guest.allocation.mac),
                running: false,
                memory: guest.plan.size.memory_bytes.unwrap_or(512 << 20),
                snapshots: Vec::new(),
                ephemeral: guest.plan.ephemeral,
            };
            world.objects.insert(guest.job.clone(), object);
        }
        match world.objects.get_mut(&guest.job) {
            Some(object) => object.running |= stage == Stage::Start,
            None => return Act::Refused(Fault::new("gone", "there is no such guest")),
        }
        match &world.own_uuid {
            Some(uuid) if stage == Stage::Restore => Act::Applied(json!({ "uuid": uuid })),
            _ => Act::Applied(json!({})),
        }
    }

    async fn undo(&self, stage: Stage, guest: &Placement) -> Undo {
        let mut world = self.world();
        if world.undo_fails == Some(stage) {
            return Undo::Failed(Fault::new("paper-stuck", format!("{stage:?} cannot be undone")));
        }
        if stage == Stage::Restore {
            world.objects.remove(&guest.job);
        }
        if let (Stage::Start, Some(object)) = (stage, world.objects.get_mut(&guest.job)) {
            object.running = false;
        }
        Undo::Absent
    }

    async fn deliver(&self, guest: &Placement, secrets: &[SecretFile]) -> Act {
        let mut world = self.world();
        let running = world.objects.get(&guest.job).is_some_and(|object| object.running);
        let file =
            |one: &SecretFile| (one.path.display().to_string(), one.owner.to_string(), one.content.to_vec());
        world.deliveries.push(Delivery {
            job: guest.job.clone(),
            running,
            files: secrets.iter().map(file).collect(),
            claimed: guest.claim.secrets.iter().map(|secret| secret.path.clone()).collect(),
        });
        match world.lose_deliveries.checked_sub(1) {
            None => Act::Applied(json!({})),
            Some(left) => {
                world.lose_deliveries = left;
                Act::Unknown(Fault::new("paper-lost", "nobody knows"))
            }
        }
    }

    async fn survey(&self) -> Result<Vec<Surveyed>, Fault> {
        let world = self.world();
        let surveyed = |(job, object): (&String, &Object)| Surveyed {
            job: Some(job.clone()),
            guest: object.guest.clone(),
            id: None,
            running: object.running,
        };
        Ok(world.objects.iter().map(surveyed).collect())
    }

    fn resources(&self, _: &GuestPlan) -> Vec<String> {
        vec!["node:paper".to_owned()]
    }

    async fn adopt(&self, name_or_id: &str) -> Result<Adopted, Fault> {
        let world = self.world();
        let others = world.others.iter().map(|(id, object)| (Some(id.clone()), object));
        let all = others.chain(world.objects.values().map(|object| (None, object)));
        let wanted = |(id, object): &(Option<String>, &Object)| {
            id.as_deref() == Some(name_or_id) || object.guest == name_or_id
        };
        let found: Vec<_> = all.filter(wanted).collect();
        let [(id, object)] = found.as_slice() else {
            let (code, what) =
                if found.is_empty() { ("no-such-guest", "no") } else { ("ambiguous-guest", "several") };
            return Err(Fault::new(code, format!("there is {what} guest {name_or_id}")));
        };
        let slot = |id: &String| Slot { id: id.clone(), node: "paper".into(), uuid: None, since_s: 0 };
        Ok(Adopted {
            name: object.guest.parse().unwrap(),
            kind: None,
            allocation: Allocation {
                mac: object.mac.ok_or_else(|| Fault::new("guest-without-mac", "it has none"))?,
                more_macs: Vec::new(),
                addresses: vec![IpAddr::from([192, 0, 2, 77])],
                slot: id.as_ref().map(slot),
            },
        })
    }

    async fn observe(&self, guest: &Placement) -> Result<Observed, Fault> {
        let mut world = self.world();
        let untold = world.untold.as_mut().filter(|(_, times)| *times > 0).map(|(unseen, times)| {
            *times -= 1;
            unseen.clone()
        });
        let other = guest.allocation.slot.as_ref().and_then(|slot| world.others.get(&slot.id));
        let object = world.objects.get(&guest.job).or(other);
        Ok(Observed {
            running: object.is_some_and(|object| object.running),
            mac: object.and_then(|object| object.mac),
            addresses: guest.allocation.addresses.clone(),
            mounts: match &untold {
                Some(_) => Vec::new(),
                None => guest.plan.mounts.iter().map(|mount| mount.path.clone()).collect(),
            },
            mounts_unseen: untold,
            no_network: false,
        })
    }

    fn claim_channel(&self) -> ClaimChannel {
        if self.world().open { ClaimChannel::Open } else { ClaimChannel::Secret }
    }

    fn look_budget(&self) -> Option<LookBudget> {
        let budget =
            LookBudget { per_second: 8, not_before: Duration::from_millis(20), calm: Duration::ZERO };
        let world = self.world();
        (world.open && !world.blind).then_some(budget)
    }

    async fn look(&self, guest: &Placement) -> Result<Look, Fault> {
        let takes = {
            let mut world = self.world();
            world.looks.push((Instant::now(), guest.job.clone()));
            let under_way = world.under_way.entry(guest.job.clone()).or_default();
            *under_way += 1;
            let now = *under_way;
            world.most_at_once = world.most_at_once.max(now);
            world.look_takes
        };
        tokio::time::sleep(takes).await;
        let mut world = self.world();
        *world.under_way.entry(guest.job.clone()).or_default() -= 1;
        if world.look_fails {
            return Err(Fault::new("paper-blind", "no look today"));
        }
        let shown = world.shown.get(&guest.job).cloned();
        Ok(Look { running: shown.is_some(), addresses: shown.unwrap_or_default() })
    }

    async fn read_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        let slot = guest.allocation.slot.as_ref();
        Ok(slot.and_then(|slot| self.world().reports.get(&slot.id).cloned()))
    }

    async fn console_tail(&self, _: &Placement, _: usize) -> Vec<String> {
        vec!["last\u{1b}[31m words".to_owned()]
    }

    async fn remove_claim(&self, _: &Placement) -> Result<(), Fault> {
        Ok(())
    }

    async fn memory_in_use(&self, _: &GuestPlan) -> Result<Option<MemoryInUse>, Fault> {
        tokio::task::yield_now().await;
        let world = self.world();
        let guest = |job: Option<&String>, object: &Object| RunningGuest {
            job: job.cloned(),
            at: vec!["node:paper".to_owned()],
            bytes: object.memory,
            ..RunningGuest::default()
        };
        let ours = world.objects.iter().map(|(job, object)| (Some(job), object));
        let all = ours.chain(world.others.values().map(|object| (None, object)));
        let guests: Vec<RunningGuest> =
            all.filter(|(_, object)| object.running).map(|(job, object)| guest(job, object)).collect();
        let bytes = guests.iter().map(|guest| guest.bytes).sum();
        Ok(Some(MemoryInUse { of: "paper".to_owned(), bytes, total_bytes: 0, guests }))
    }

    async fn memory(&self, guest: &Placement) -> Result<Option<u64>, Fault> {
        Ok(self.world().objects.get(&guest.job).map(|object| object.memory))
    }

    async fn set_memory(&self, guest: &Placement, bytes: u64) -> Act {
        self.change(guest, format!("memory {bytes}"), |object, world| {
            object.memory = bytes;
            object.running = world.is_none_or(|most| bytes <= most);
        })
        .await
    }

    async fn keep(&self, guest: &Placement) -> Act {
        self.change(guest, "keep".to_owned(), |object, _| object.ephemeral = false).await
    }

    async fn snapshots(&self, guest: &Placement) -> Result<Vec<Snapshot>, Fault> {
        let world = self.world();
        let found = world.objects.get(&guest.job).map(|object| object.snapshots.clone()).unwrap_or_default();
        Ok(found.into_iter().map(|(name, _)| Snapshot { name, taken_at_ms: None }).collect())
    }

    async fn snapshot(&self, guest: &Placement, name: &str) -> Act {
        self.change(guest, format!("snapshot {name}"), |object, _| {
            object.snapshots.push((name.to_owned(), object.memory));
        })
        .await
    }

    async fn restore_snapshot(&self, guest: &Placement, name: &str) -> Act {
        self.change(guest, format!("rollback {name}"), |object, _| {
            let found = object.snapshots.iter().find(|(of, _)| of == name);
            object.memory = found.map_or(object.memory, |(_, memory)| *memory);
        })
        .await
    }

    async fn remove_snapshot(&self, guest: &Placement, name: &str) -> Act {
        self.change(guest, format!("remove {name}"), |object, _| {
            object.snapshots.retain(|(of, _)| of != name);
        })
        .await
    }

    fn manual_cleanup(&self, guest: &Placement) -> Vec<String> {
        vec![format!("paper remove {}", guest.job)]
    }

    fn reach(&self, _: &Placement) -> Option<String> {
        Some("paper exec".to_owned())
    }
}

/// The MACs of all objects, each once.
pub(in crate::bringup) fn macs(world: &World) -> BTreeSet<MacAddress> {
    world.objects.values().filter_map(|object| object.mac).collect()
}
