//! The node: the operator's, or the one with the most free memory of those that can do it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::archive::{Golden, golden};
use super::super::client::endpoint::cluster::NodeLine;
use super::super::client::endpoint::guest::Kind;
use super::super::client::endpoint::storage::StorageState;
use crate::backend::GuestPlan;
use crate::outcome::Fault;

/// How long a guest that was given to a node does not show in the node's statistics.
const PENDING: Duration = Duration::from_secs(90);
/// What a guest is taken to need whose plan does not say it.
const USUAL: u64 = 1 << 30;

/// Memory of guests that were given to nodes lately, in bytes.
#[derive(Debug, Default)]
pub(in super::super) struct Promised(Mutex<Vec<(Instant, String, u64)>>);

impl Promised {
    /// Chooses, and holds the guest's memory there.
    async fn choose(&self, nodes: &[NodeLine], bytes: u64) -> Option<String> {
        let mut promised = self.0.lock().await;
        promised.retain(|(since, ..)| since.elapsed() < PENDING);
        let sums: Vec<(&str, u64)> =
            promised.iter().map(|(_, node, bytes)| (node.as_str(), *bytes)).collect();
        let node = roomiest(nodes, &sums)?.to_owned();
        promised.push((Instant::now(), node.clone(), bytes));
        Some(node)
    }
}

/// The node with the most free memory; where the token does not see that, the one that was given the least.
fn roomiest<'a>(nodes: &'a [NodeLine], promised: &[(&str, u64)]) -> Option<&'a str> {
    let given = |node: &NodeLine| -> u64 {
        promised.iter().filter(|(name, _)| *name == node.node).map(|(_, bytes)| bytes).sum()
    };
    let room = |node: &NodeLine| i128::from(node.free_memory().unwrap_or(0)) - i128::from(given(node));
    // Of equals the first by name.
    let order = |node: &&NodeLine| (room(node), std::cmp::Reverse(node.node.clone()));
    nodes.iter().max_by_key(order).map(|node| node.node.as_str())
}

/// What keeps a node from being chosen, by its storages as the token sees them. None: nothing.
fn obstacle(storages: &[StorageState], golden: &Golden<'_>, target: Option<&str>) -> Option<String> {
    let find = |name: &str| storages.iter().find(|storage| storage.storage.as_deref() == Some(name));
    match find(golden.storage) {
        None => return Some(format!("it has no storage `{}`, or the token does not see it", golden.storage)),
        Some(storage) if !storage.enabled => {
            return Some(format!("storage `{}` is disabled, or not for it", golden.storage));
        }
        Some(storage) if !storage.active => {
            return Some(format!("its storage `{}` does not answer", golden.storage));
        }
        Some(_) => {}
    }
    let target = target?;
    let content = if golden.kind == Kind::Lxc { "rootdir" } else { "images" };
    match find(target) {
        Some(storage) if storage.active && storage.takes(content) => None,
        Some(_) => {
            Some(format!("storage `{target}` is not for it, does not answer, or takes no `{content}`"))
        }
        None => Some(format!("it has no storage `{target}`, or the token does not see it")),
    }
}

impl super::super::Proxmox {
    /// The plan's node, or the backend's; else of those that have the archive and the storage, the one with the most
    /// memory.
    ///
    /// # Errors
    /// There is none.
    pub(in super::super) async fn choose_node(&self, plan: &GuestPlan) -> Result<String, Fault> {
        if let Some(node) = plan.place.node.as_ref().or(self.defaults.node.as_ref()) {
            return self.known_node(node).await;
        }
        let candidates = self.candidates(plan).await?;
        let bytes = plan.size.memory_bytes.unwrap_or(USUAL);
        let chosen = self.cluster.promised.choose(&candidates, bytes).await;
        chosen.ok_or_else(|| Fault::new("no-node", "no node of the cluster is online"))
    }

    /// A node on which the plan can be checked, without choosing it.
    pub(in super::super) async fn some_node(&self, plan: &GuestPlan) -> Result<String, Fault> {
        if let Some(node) = plan.place.node.as_ref().or(self.defaults.node.as_ref()) {
            return self.known_node(node).await;
        }
        let first = self.candidates(plan).await?.into_iter().next().map(|node| node.node);
        first.ok_or_else(|| Fault::new("no-node", "no node of the cluster is online"))
    }

    async fn known_node(&self, wanted: &str) -> Result<String, Fault> {
        let nodes = self.nodes().await?;
        match nodes.iter().find(|node| node.node == wanted) {
            Some(node) if node.status.as_deref() == Some("offline") => {
                Err(Fault::new("node-offline", format!("node: {wanted} is offline")))
            }
            Some(_) => Ok(wanted.to_owned()),
            None => {
                let names: Vec<_> = nodes.iter().map(|node| node.node.as_str()).collect();
                let shown = firstlight_shared::text::escape(wanted, 60);
                Err(Fault::new("no-such-node", format!("node: the cluster has no `{shown}`"))
                    .with_hint(format!("its nodes are {}", names.join(", "))))
            }
        }
    }

    pub(super) async fn candidates(&self, plan: &GuestPlan) -> Result<Vec<NodeLine>, Fault> {
        let golden = golden(&plan.golden)?;
        let nodes = self.online_nodes().await?;
        // Then its own answers say what it lacks.
        if let [_] = nodes.as_slice() {
            return Ok(nodes);
        }
        let target = plan.place.storage.as_deref().or(self.defaults.storage.as_deref());
        let mut fit = Vec::new();
        let mut reasons = Vec::new();
        for node in nodes {
            let storages = self.storages(&node.node).await?;
            match obstacle(&storages, &golden, target) {
                Some(reason) => reasons.push(format!("{}: {reason}", node.node)),
                None => fit.push(node),
            }
        }
        let fit = self.with_archive(plan, &golden, fit, &mut reasons).await?;
        if fit.is_empty() {
            return Err(Fault::new("no-node", format!("no node fits: {}", reasons.join("; "))));
        }
        Ok(fit)
    }

    /// Of a storage that each node has for itself, the archive lies on some of them only.
    async fn with_archive(
        &self,
        plan: &GuestPlan,
        golden: &Golden<'_>,
        nodes: Vec<NodeLine>,
        reasons: &mut Vec<String>,
    ) -> Result<Vec<NodeLine>, Fault> {
        let Some(first) = nodes.first() else { return Ok(nodes) };
        let storages = self.storages(&first.node).await?;
        let is_it = |storage: &&StorageState| storage.storage.as_deref() == Some(golden.storage);
        if storages.iter().find(is_it).is_some_and(|storage| storage.shared) {
            return Ok(nodes);
        }
        let mut with = Vec::new();
        for node in nodes {
            match self.archive_line(&plan.golden, &node.node).await? {
                Some(_) => with.push(node),
                None => reasons.push(format!(
                    "{}: its `{}` has no such archive, or the token may not see it",
                    node.node, golden.storage
                )),
            }
        }
        Ok(with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, free: Option<u64>) -> NodeLine {
        let maxmem = free.map(|free| free + 100);
        NodeLine {
            node: name.to_owned(),
            status: None,
            ssl_fingerprint: None,
            mem: free.map(|_| 100),
            maxmem,
        }
    }

    #[test]
    fn the_roomiest_node_is_chosen_and_what_was_promised_counts() {
        for (nodes, promised, expected) in [
            (vec![node("a", Some(1000)), node("b", Some(3000))], vec![], Some("b")),
            (vec![node("a", Some(1000)), node("b", Some(3000))], vec![("b", 2500)], Some("a")),
            (vec![node("a", Some(1000)), node("b", Some(1000))], vec![], Some("a")),
            (vec![node("a", Some(0)), node("b", Some(0))], vec![("a", 500), ("b", 600)], Some("a")),
            (vec![node("a", None), node("b", None)], vec![("a", 1)], Some("b")),
            (vec![node("a", None), node("b", Some(5))], vec![], Some("b")),
            (vec![], vec![], None),
        ] {
            assert_eq!(roomiest(&nodes, &promised), expected, "{nodes:?} {promised:?}");
        }
    }

    #[test]
    fn a_node_needs_the_archives_storage_and_the_target() {
        let storage = |name: &str, content: &str, active: bool| StorageState {
            storage: Some(name.to_owned()),
            driver: "dir".to_owned(),
            content: content.split(',').map(str::to_owned).collect(),
            active,
            enabled: true,
            shared: false,
            avail: None,
            total: None,
        };
        let storages = [
            storage("vault", "backup", true),
            storage("thin", "rootdir", true),
            storage("off", "backup", false),
        ];
        for (archive, kind, target, fits) in [
            ("vault", Kind::Lxc, None, true),
            ("vault", Kind::Lxc, Some("thin"), true),
            ("vault", Kind::Qemu, Some("thin"), false),
            ("vault", Kind::Lxc, Some("vault"), false),
            ("vault", Kind::Lxc, Some("zfs"), false),
            ("off", Kind::Lxc, None, false),
            ("nfs", Kind::Lxc, None, false),
        ] {
            let golden = Golden { storage: archive, kind, owner: None };
            assert_eq!(obstacle(&storages, &golden, target).is_none(), fits, "{archive} {target:?}");
        }
    }
}
