//! Commands for people, and the last words of what failed.

use firstlight_shared::text::escape;

use super::client::endpoint::guest::{Guest, Kind};
use super::client::endpoint::task::{ListTasks, ReadTaskLog};
use super::client::verdict::Patience;
use super::standing::{target, tool};
use crate::backend::Placement;

/// Of a log.
const LINES: u32 = 2_000;

impl super::Proxmox {
    /// As root, on the node.
    pub(super) fn cleanup_commands(&self, placement: &Placement) -> Vec<String> {
        let Ok(guest) = target(placement) else { return Vec::new() };
        let storage = placement.plan.place.storage.as_deref().or(self.defaults.storage.as_deref());
        commands(&guest, placement.plan.name.as_str(), storage)
    }

    /// The end of the last task on this guest: a console is not to be had from the API.
    pub(super) async fn last_words(&self, placement: &Placement, lines: usize) -> Vec<String> {
        let Ok(guest) = target(placement) else { return Vec::new() };
        let since = placement.allocation.slot.as_ref().map(|slot| slot.since_s);
        let asking = self.client.with_patience(Patience::NONE);
        let list =
            ListTasks { node: guest.node.clone(), vmid: Some(guest.vmid), since, kind: None, limit: None };
        let told = asking.send(&list).await.unwrap_or_default();
        let Some(last) = told.into_iter().max_by_key(|line| line.upid.started) else { return Vec::new() };
        let log = ReadTaskLog { upid: last.upid.clone(), start: 0, limit: LINES };
        let mut log = asking.send(&log).await.unwrap_or_default();
        let tail = log.split_off(log.len().saturating_sub(lines.saturating_sub(1)));
        std::iter::once(format!("task {}:", last.upid.kind)).chain(tail).take(lines).collect()
    }
}

fn commands(guest: &Guest, name: &str, storage: Option<&str>) -> Vec<String> {
    let (tool, vmid, node) = (tool(guest), guest.vmid, &guest.node);
    let mut commands = vec![
        format!("{tool} config {vmid}  # on {node}: is it {}? Only then go on", escape(name, 80)),
        format!("{tool} unlock {vmid}  # on {node}: if it has a lock, and no task works on it"),
    ];
    commands.push(match guest.kind {
        Kind::Lxc => format!("{tool} destroy {vmid} --force --purge  # on {node}"),
        Kind::Qemu => format!("{tool} stop {vmid} && {tool} destroy {vmid} --purge  # on {node}"),
    });
    commands.push(format!(
        "pvesm list {} --vmid {vmid}  # on {node}: images that are left go with `pvesm free VOLUME`",
        storage.unwrap_or("STORAGE")
    ));
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_say_where_they_are_to_be_run() {
        let guest = |kind| Guest { node: "pve2".to_owned(), kind, vmid: 104 };
        let container = commands(&guest(Kind::Lxc), "web-01", Some("thin"));
        assert!(container.iter().all(|command| command.contains("104") && command.contains("# on pve2")));
        assert!(container[2].starts_with("pct destroy 104 --force --purge"), "{container:?}");
        assert!(container[3].starts_with("pvesm list thin --vmid 104"), "{container:?}");
        let machine = commands(&guest(Kind::Qemu), "web-01", None);
        assert!(machine[2].starts_with("qm stop 104 && qm destroy 104 --purge"), "{machine:?}");
    }
}
