//! Changes of guests that are there: memory and snapshots. Only of ours; each is repeatable.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::Proxmox;
use super::allocate::ALL_NODES;
use super::client::endpoint::cluster::{ListGuests, ListNodes};
use super::client::endpoint::config::ChangeConfig;
use super::client::endpoint::guest::{Guest, Kind, Shutdown, Start};
use super::client::endpoint::snapshot::{
    ListSnapshots, RemoveSnapshot, Rollback, SnapshotLine, TakeSnapshot,
};
use super::client::task::TaskEnd;
use super::client::upid::Upid;
use super::client::verdict::Class;
use super::fault::{act_of, act_of_look};
use super::standing::Ours;
use super::tasks::{decides_nothing, failure};
use crate::backend::{GuestPlan, MemoryInUse, Placement, RunningGuest, Snapshot};
use crate::outcome::{Act, Fault, Followed};

/// Of Proxmox, where a configuration says nothing.
const USUAL_MEMORY: u64 = 512;
/// How long a guest has to shut down before its plug is pulled.
const SHUTDOWN: Duration = Duration::from_secs(60);
/// How long a task may take within one change of memory.
const TASK: Duration = Duration::from_secs(180);

impl Proxmox {
    /// What running guests of the node may take at most, ours or not; of all nodes, if the node is chosen later.
    pub(super) async fn memory_of_node(&self, plan: &GuestPlan) -> Result<Option<MemoryInUse>, Fault> {
        let node = plan.place.node.as_deref().or(self.defaults.node.as_deref());
        let here = |name: &str| node.is_none_or(|node| node == name);
        let guests = self.ask(&ListGuests).await?;
        let running =
            guests.iter().filter(|line| here(&line.node) && line.status.as_deref() == Some("running"));
        let bytes = running.filter_map(|line| line.maxmem).sum();
        let everywhere = guests.iter().filter(|line| line.status.as_deref() == Some("running"));
        let taken = everywhere.map(|line| RunningGuest {
            job: None,
            id: Some(line.vmid.to_string()),
            at: vec![format!("node:{}", line.node), ALL_NODES.to_owned()],
            bytes: line.maxmem.unwrap_or(0),
        });
        let taken = taken.collect();
        let nodes = self.ask(&ListNodes).await?;
        let total_bytes = nodes.iter().filter(|line| here(&line.node)).filter_map(|line| line.maxmem).sum();
        let of = node.map_or_else(|| "all nodes".to_owned(), |node| format!("node {node}"));
        Ok(Some(MemoryInUse { of, bytes, total_bytes, guests: taken }))
    }

    pub(super) async fn configured_memory(&self, placement: &Placement) -> Result<u64, Fault> {
        Ok(mebibytes(&self.ours(placement).await?) << 20)
    }

    /// Stopped, changed, started. Interrupted anywhere, it goes on from what is there.
    pub(super) async fn change_memory(&self, placement: &Placement, bytes: u64) -> Result<Act, Act> {
        let ours = self.ours(placement).await.map_err(act_of_look)?;
        let guest = ours.guest.clone();
        if mebibytes(&ours) != bytes >> 20 {
            if self.is_up(&guest).await.map_err(act_of_look)? {
                self.shut_down(&guest).await?;
            }
            // Stopping may have written what waited: the digest is read again.
            let ours = self.ours(placement).await.map_err(act_of_look)?;
            let call = ChangeConfig {
                guest: guest.clone(),
                set: vec![("memory".to_owned(), (bytes >> 20).to_string())],
                delete: Vec::new(),
                digest: ours.config.digest().map(str::to_owned),
            };
            self.client.send(&call).await.map_err(|error| act_of(&error))?;
        }
        if !self.is_up(&guest).await.map_err(act_of_look)? {
            match self.client.send(&Start { guest: guest.clone() }).await {
                Ok(upid) => self.ended_well(&upid).await?,
                Err(error) if error.class == Class::AlreadySo => {}
                Err(error) => return Err(act_of(&error)),
            }
        }
        Ok(Act::Applied(json!({ "memory_bytes": bytes })))
    }

    async fn shut_down(&self, guest: &Guest) -> Result<(), Act> {
        let call = Shutdown { guest: guest.clone(), timeout: SHUTDOWN, force_stop: true };
        match self.client.send(&call).await {
            Ok(upid) => self.ended_well(&upid).await,
            Err(error) if error.class == Class::AlreadySo => Ok(()),
            Err(error) => Err(act_of(&error)),
        }
    }

    async fn ended_well(&self, upid: &Upid) -> Result<(), Act> {
        match followed(upid, self.client.follow(upid, Instant::now() + TASK).await) {
            Followed::Done(_) => Ok(()),
            Followed::Failed(fault) => Err(Act::Refused(fault)),
            Followed::Unknown(fault) => Err(Act::Unknown(fault)),
        }
    }

    pub(super) async fn follow_change_task(&self, task: &str) -> Followed {
        match task.parse::<Upid>() {
            Ok(upid) => followed(
                &upid,
                self.client.follow(&upid, Instant::now() + Duration::from_secs(24 * 3600)).await,
            ),
            Err(error) => Followed::Unknown(Fault::new("no-task", format!("{error}"))),
        }
    }

    pub(super) async fn list_snapshots(&self, placement: &Placement) -> Result<Vec<Snapshot>, Fault> {
        let guest = self.ours(placement).await?.guest;
        let lines = self.ask(&ListSnapshots { guest }).await?;
        Ok(whole(lines))
    }

    pub(super) async fn take_snapshot(&self, placement: &Placement, name: &str) -> Result<Act, Act> {
        let guest = self.ours(placement).await.map_err(act_of_look)?.guest;
        if let Some(upid) = self.changing(placement, &guest, "snapshot").await? {
            return Ok(Act::Started(upid.to_string()));
        }
        let lines = self.ask(&ListSnapshots { guest: guest.clone() }).await.map_err(act_of_look)?;
        match lines.iter().find(|line| line.name == name).map(|line| line.snapstate.is_some()) {
            Some(false) => return Ok(Act::Applied(json!({}))),
            Some(true) => {
                let (tool, vmid) = (super::standing::tool(&guest), guest.vmid);
                let message = format!("the snapshot {name} of {guest} was begun, and its task is gone");
                return Err(Act::Refused(Fault::new("snapshot-unfinished", message).with_hint(format!(
                    "on {}, as root: `{tool} unlock {vmid}` and `{tool} delsnapshot {vmid} {name} --force`",
                    guest.node
                ))));
            }
            None => {}
        }
        let call = TakeSnapshot { guest, name: name.to_owned() };
        self.client
            .send(&call)
            .await
            .map(|upid| Act::Started(upid.to_string()))
            .map_err(|error| act_of(&error))
    }

    pub(super) async fn roll_back(&self, placement: &Placement, name: &str) -> Result<Act, Act> {
        let guest = self.ours(placement).await.map_err(act_of_look)?.guest;
        if let Some(upid) = self.changing(placement, &guest, "rollback").await? {
            return Ok(Act::Started(upid.to_string()));
        }
        let call = Rollback { guest, name: name.to_owned() };
        self.client
            .send(&call)
            .await
            .map(|upid| Act::Started(upid.to_string()))
            .map_err(|error| act_of(&error))
    }

    pub(super) async fn delete_snapshot(&self, placement: &Placement, name: &str) -> Result<Act, Act> {
        let guest = self.ours(placement).await.map_err(act_of_look)?.guest;
        if let Some(upid) = self.changing(placement, &guest, "delsnapshot").await? {
            return Ok(Act::Started(upid.to_string()));
        }
        let lines = self.ask(&ListSnapshots { guest: guest.clone() }).await.map_err(act_of_look)?;
        if lines.iter().all(|line| line.name != name) {
            return Ok(Act::Applied(json!({})));
        }
        let call = RemoveSnapshot { guest, name: name.to_owned() };
        self.client
            .send(&call)
            .await
            .map(|upid| Act::Started(upid.to_string()))
            .map_err(|error| act_of(&error))
    }

    /// A task of ours of this sort that is at work on the guest: its name was lost with an answer.
    async fn changing(&self, placement: &Placement, guest: &Guest, what: &str) -> Result<Option<Upid>, Act> {
        let tool = if guest.kind == Kind::Lxc { "vz" } else { "qm" };
        self.running_task(placement, guest, &format!("{tool}{what}")).await.map_err(act_of_look)
    }
}

fn mebibytes(ours: &Ours) -> u64 {
    // Of a machine, perhaps `current=2048`.
    let text = ours.config.get("memory").map(|text| text.trim_start_matches("current="));
    text.and_then(|text| text.split(',').next()?.parse().ok()).unwrap_or(USUAL_MEMORY)
}

/// Those that are finished, oldest first.
fn whole(mut lines: Vec<SnapshotLine>) -> Vec<Snapshot> {
    lines.retain(|line| line.name != "current" && line.snapstate.is_none());
    lines.sort_by(|one, other| (one.snaptime, &one.name).cmp(&(other.snaptime, &other.name)));
    let snapshot = |line: SnapshotLine| Snapshot {
        taken_at_ms: line.snaptime.filter(|time| *time > 0).map(|seconds| seconds * 1000),
        name: line.name,
    };
    lines.into_iter().map(snapshot).collect()
}

fn followed(upid: &Upid, end: TaskEnd) -> Followed {
    match end {
        TaskEnd::Done { remarks, .. } if remarks.is_empty() => Followed::Done(json!({})),
        TaskEnd::Done { remarks, .. } => Followed::Done(json!({ "remarks": remarks })),
        TaskEnd::Failed { class, text, log } => {
            let doubt = decides_nothing(&class);
            let fault = told(failure(upid, class, &text, &log), &text);
            if doubt { Followed::Unknown(fault) } else { Followed::Failed(fault) }
        }
        TaskEnd::Unknown { text } => Followed::Unknown(Fault::new("task-unknown", text)),
    }
}

/// What Proxmox says of snapshots, with what can be done about it.
fn told(fault: Fault, text: &str) -> Fault {
    let known = [
        (
            "snapshot feature is not available",
            "snapshots-unsupported",
            "the storage of its disks takes no snapshots: LVM-thin, ZFS, btrfs and Ceph do, and folders with qcow2 for machines",
        ),
        (
            "is not most recent snapshot",
            "snapshot-not-newest",
            "this storage goes back to the newest snapshot only: remove those that came after it",
        ),
        (
            "more recent snapshots exist",
            "snapshot-not-newest",
            "this storage goes back to the newest snapshot only: remove those that came after it",
        ),
        ("already used", "snapshot-exists", "choose another name"),
    ];
    match known.into_iter().find(|(words, ..)| text.contains(words)) {
        Some((_, code, hint)) => Fault::new(code, fault.message).with_hint(hint),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::endpoint::Endpoint as _;
    use super::*;

    #[test]
    fn only_finished_snapshots_are_listed_oldest_first() {
        let lines = ListSnapshots::read(json!([
            { "name": "b", "snaptime": 20, "description": "" },
            { "name": "a", "snaptime": "10" },
            { "name": "c", "snaptime": 30, "snapstate": "prepare" },
            { "name": "current", "running": 1, "digest": "x" },
        ]))
        .unwrap();
        let found: Vec<_> = whole(lines).into_iter().map(|one| (one.name, one.taken_at_ms)).collect();
        assert_eq!(found, [("a".to_owned(), Some(10_000)), ("b".to_owned(), Some(20_000))]);
    }

    #[test]
    fn a_storage_without_snapshots_is_told_of_in_clear_words() {
        let of = |text: &str| told(Fault::new("proxmox-server-error", text), text).code;
        assert_eq!(of("snapshot feature is not available"), "snapshots-unsupported");
        assert_eq!(
            of("can't rollback, 'a' is not most recent snapshot on 'z:vm-1-disk-0'"),
            "snapshot-not-newest"
        );
        assert_eq!(of("something else"), "proxmox-server-error");
    }
}
