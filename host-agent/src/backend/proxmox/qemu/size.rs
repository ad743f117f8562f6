//! Cores, memory and the disk that a machine boots from.

use serde_json::{Value, json};

use super::disks;
use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::archive::size_of;
use crate::backend::proxmox::client::endpoint::config::GuestConfig;
use crate::backend::proxmox::client::endpoint::guest::Resize;
use crate::backend::proxmox::fault::act_of;
use crate::backend::proxmox::standing::Ours;
use crate::backend::{Placement, Size};
use crate::outcome::{Act, Fault, Probe};

const MIB: u64 = 1 << 20;

/// What has to change.
#[derive(Debug, Default, PartialEq)]
struct Change {
    set: Vec<(String, String)>,
    /// The disk, and the bytes that it shall have.
    grow: Option<(String, u64)>,
}

impl Proxmox {
    pub(super) async fn probe_size(&self, guest: &Placement, ours: &Ours) -> Result<Probe, Fault> {
        if change(&guest.plan.size, &ours.config) == Ok(Change::default()) {
            return Ok(Probe::Present(output(&ours.config)));
        }
        // An answer may have been lost.
        let task = self.running_task(guest, &ours.guest, "resize").await?;
        Ok(task.map_or(Probe::Absent, |upid| Probe::InFlight(upid.to_string())))
    }

    pub(super) async fn set_size(&self, guest: &Placement, ours: Ours) -> Result<Act, Act> {
        let Change { set, grow } = change(&guest.plan.size, &ours.config).map_err(Act::Refused)?;
        self.change_machine(&ours, set, Vec::new()).await?;
        if let Some((disk, bytes)) = grow {
            let resize = Resize { guest: ours.guest.clone(), disk, bytes };
            if let Some(upid) = self.client.send(&resize).await.map_err(|error| act_of(&error))? {
                return Ok(Act::Started(upid.to_string()));
            }
        }
        let ours = self.ours(guest).await.map_err(Act::Unknown)?;
        Ok(Act::Applied(output(&ours.config)))
    }
}

fn output(config: &GuestConfig) -> Value {
    let disk = disks::boot(config);
    json!({
        "cores": config.number("cores"),
        "memory_mib": memory_mib(config),
        "disk": disk.as_ref().map(|disk| &disk.key),
        "disk_bytes": disk.as_ref().and_then(|disk| size_of(&disk.properties)),
    })
}

/// # Errors
/// There is no disk to grow, or it is larger already.
fn change(asked: &Size, config: &GuestConfig) -> Result<Change, Fault> {
    let mut change = Change::default();
    let mut set = |key: &str, value: u64| change.set.push((key.to_owned(), value.to_string()));
    if let Some(cores) = asked.cores.filter(|cores| config.number("cores") != Some(u64::from(*cores))) {
        set("cores", u64::from(cores));
    }
    if let Some(memory) = asked.memory_bytes.map(|bytes| bytes.div_ceil(MIB)) {
        if memory_mib(config) != Some(memory) {
            set("memory", memory);
        }
        // It may not be more than the memory itself.
        if config.number("balloon").is_some_and(|balloon| balloon > memory) {
            set("balloon", memory);
        }
    }
    if let Some(bytes) = asked.disk_bytes {
        change.grow = growth(bytes, config)?;
    }
    Ok(change)
}

fn growth(bytes: u64, config: &GuestConfig) -> Result<Option<(String, u64)>, Fault> {
    let disk = disks::boot(config).ok_or_else(|| {
        Fault::new("no-disk", "size.disk: the golden has no disk to boot from that could grow")
            .with_hint("`boot: order=...` in the golden's configuration names it")
    })?;
    match size_of(&disk.properties) {
        Some(now) if now > bytes => Err(Fault::new(
            "cannot-shrink",
            format!("size.disk: {} has {now} bytes in the golden, and cannot have {bytes}", disk.key),
        )
        .with_hint("disks only grow: ask for as much as the golden has, or more")),
        Some(now) if now == bytes => Ok(None),
        _ => Ok(Some((disk.key, bytes))),
    }
}

/// `512`, or `current=512`.
fn memory_mib(config: &GuestConfig) -> Option<u64> {
    let memory = config.properties("memory")?;
    memory.get("current").or_else(|| memory.unnamed())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::proxmox::qemu::testing::config;

    #[test]
    fn only_what_differs_is_changed_and_disks_never_shrink() {
        const GIB: u64 = 1 << 30;
        let values = json!({
            "cores": 1, "memory": "512", "balloon": 256, "boot": "order=scsi0",
            "scsi0": "local:9200/vm-9200-disk-0.raw,size=1536M",
        });
        let golden = config(values);
        let size = |cores, memory_bytes, disk_bytes| Size { cores, memory_bytes, disk_bytes };
        let set = |pairs: &[(&str, &str)]| Change {
            set: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            grow: None,
        };
        let grow = |bytes| Change { set: Vec::new(), grow: Some(("scsi0".to_owned(), bytes)) };
        for (asked, expected) in [
            (size(None, None, None), Ok(Change::default())),
            (size(Some(1), Some(512 * MIB), Some(1536 * MIB)), Ok(Change::default())),
            (size(Some(2), None, None), Ok(set(&[("cores", "2")]))),
            (size(None, Some(GIB + 1), None), Ok(set(&[("memory", "1025")]))),
            (size(None, Some(128 * MIB), None), Ok(set(&[("memory", "128"), ("balloon", "128")]))),
            (size(None, None, Some(2 * GIB)), Ok(grow(2 * GIB))),
            (size(None, None, Some(1536 * MIB + 1)), Ok(grow(1536 * MIB + 1))),
            (size(None, None, Some(GIB)), Err("cannot-shrink")),
        ] {
            let found = change(&asked, &golden).map_err(|fault| fault.code);
            assert_eq!(found, expected.map_err(str::to_owned), "{asked:?}");
        }
        let diskless = config(json!({ "memory": "current=640" }));
        assert_eq!(change(&size(None, Some(640 * MIB), None), &diskless), Ok(Change::default()));
        assert_eq!(change(&size(None, None, Some(GIB)), &diskless).unwrap_err().code, "no-disk");
    }
}
