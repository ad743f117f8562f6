//! What there is: asks the cluster, and judges nothing. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;

use super::needs::{Area, Ask, Need, needs};
use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::archive::{self, Archive};
use crate::backend::proxmox::client::call::Limits;
use crate::backend::proxmox::client::endpoint::access::{Permissions, ReadPermissions};
use crate::backend::proxmox::client::endpoint::cluster::{ListNodes, NodeLine, ReadVersion, Version};
use crate::backend::proxmox::client::endpoint::node::{BridgeLine, ListBridges, ReadArchiveConfig, ReadTime};
use crate::backend::proxmox::client::endpoint::storage::{ListStorages, StorageState};
use crate::backend::proxmox::client::link::Pin;
use crate::backend::proxmox::client::verdict::{ApiError, Patience};
use crate::backend::proxmox::client::{Client, HASTY_CONNECT, Settings as ClientSettings, SettingsError};
use crate::backend::proxmox::settings::ProxmoxConfig;
use crate::backend::{Backend as _, GuestPlan};
use crate::clock::now_s;
use crate::outcome::Fault;

/// An answer, or why there is none.
pub(super) type Asked<T> = Result<T, ApiError>;

#[derive(Debug)]
pub(super) struct Facts {
    /// `USER@REALM!NAME`
    pub(super) token: String,
    pub(super) pin: Pin,
    /// Every configured address, asked for the version.
    pub(super) doors: Vec<(String, Asked<Version>)>,
    /// None: no address answered, and nothing else was asked.
    pub(super) cluster: Option<ClusterFacts>,
}

#[derive(Debug)]
pub(super) struct ClusterFacts {
    pub(super) version: Version,
    pub(super) nodes: Asked<Vec<NodeLine>>,
    /// Completed by their goldens.
    pub(super) asks: Vec<Ask>,
    /// By volume.
    pub(super) goldens: BTreeMap<String, GoldenFacts>,
    pub(super) needs: Vec<Need>,
    /// Of each path that matters, exactly there.
    pub(super) permissions: BTreeMap<String, Asked<BTreeSet<String>>>,
    /// The nodes where guests may come to be.
    pub(super) places: Vec<NodeFacts>,
    /// Guests of the spec, and what `up` would say to each.
    pub(super) preflights: Vec<(String, Result<(), Fault>)>,
}

#[derive(Debug)]
pub(super) struct GoldenFacts {
    /// Of the first node that can read it; None: no node is online.
    pub(super) archive: Option<Asked<Archive>>,
}

#[derive(Debug)]
pub(super) struct NodeFacts {
    pub(super) name: String,
    /// What its clock is ahead of ours, in seconds.
    pub(super) ahead_s: Asked<i64>,
    pub(super) bridges: Asked<Vec<BridgeLine>>,
    pub(super) storages: Asked<Vec<StorageState>>,
}

pub(super) struct Collector<'a> {
    config: &'a ProxmoxConfig,
    client: Client,
    /// As the companion would make it.
    backend: Proxmox,
    progress: &'a mut (dyn FnMut(&str) + Send),
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        config: &'a ProxmoxConfig,
        progress: &'a mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, SettingsError> {
        let hasty =
            ClientSettings { patience: Patience::NONE, limits: hasty(config), ..config.client.clone() };
        let client = Client::new(hasty.clone())?;
        let backend = Proxmox::new(ProxmoxConfig { client: hasty, ..config.clone() })?;
        Ok(Self { config, client, backend, progress })
    }

    pub(super) async fn collect(mut self, asks: Vec<Ask>, plans: &[GuestPlan]) -> Facts {
        let doors = self.doors().await;
        let version = doors.iter().find_map(|(_, answer)| answer.as_ref().ok().cloned());
        let cluster = match version {
            Some(version) => Some(self.cluster(version, asks, plans).await),
            None => None,
        };
        Facts {
            token: self.config.client.token.id().to_owned(),
            pin: self.config.client.pin.clone(),
            doors,
            cluster,
        }
    }

    /// All at once: an address that does not answer keeps nobody waiting for the others.
    async fn doors(&mut self) -> Vec<(String, Asked<Version>)> {
        let addresses = &self.config.client.addresses;
        let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        (self.progress)(&format!("asking {}", names.join(", ")));
        let mut asking = JoinSet::new();
        for (number, address) in addresses.iter().enumerate() {
            let settings = ClientSettings {
                addresses: vec![address.clone()],
                patience: Patience::NONE,
                limits: hasty(self.config),
                ..self.config.client.clone()
            };
            // The same settings have made a client already: what is wrong with them was said.
            let Ok(client) = Client::new(settings) else { continue };
            asking.spawn(async move { (number, client.send(&ReadVersion).await) });
        }
        let mut answers = asking.join_all().await;
        answers.sort_by_key(|(number, _)| *number);
        let named = |(number, answer): (usize, Asked<Version>)| Some((names.get(number)?.clone(), answer));
        answers.into_iter().filter_map(named).collect()
    }

    async fn cluster(&mut self, version: Version, asks: Vec<Ask>, plans: &[GuestPlan]) -> ClusterFacts {
        (self.progress)("asking for nodes");
        let nodes = self.client.send(&ListNodes).await;
        let online = places(&asks, nodes.as_deref().unwrap_or_default());
        let goldens = self.goldens(&asks, &online).await;
        let asks: Vec<Ask> = asks
            .into_iter()
            .map(|ask| match ask.golden.as_ref().and_then(|golden| goldens.get(golden)) {
                Some(GoldenFacts { archive: Some(Ok(archive)) }) => ask.completed(archive),
                _ => ask,
            })
            .collect();
        let needs = needs(&asks, &online, version.numbers());
        let permissions = self.permissions(&needs, &goldens).await;
        let mut places = Vec::new();
        for node in &online {
            (self.progress)(&format!("looking at {node}"));
            places.push(self.node(node).await);
        }
        let mut preflights = Vec::new();
        for plan in plans {
            (self.progress)(&format!("trying {}", plan.name));
            preflights.push((plan.name.to_string(), self.backend.preflight(plan).await));
        }
        ClusterFacts { version, nodes, asks, goldens, needs, permissions, places, preflights }
    }

    async fn goldens(&mut self, asks: &[Ask], online: &[String]) -> BTreeMap<String, GoldenFacts> {
        let mut found = BTreeMap::new();
        for ask in asks {
            let Some(golden) = ask.golden.as_ref().filter(|golden| !found.contains_key(*golden)) else {
                continue;
            };
            let nodes = online.iter().filter(|node| ask.node.as_ref().is_none_or(|wanted| wanted == *node));
            let mut answer = None;
            for node in nodes {
                if matches!(answer, Some(Ok(_))) {
                    break;
                }
                (self.progress)(&format!("reading {golden} on {node}"));
                let read = ReadArchiveConfig { node: node.clone(), volume: golden.clone() };
                answer = Some(self.client.send(&read).await.map(|config| Archive::new(golden, config)));
            }
            found.insert(golden.clone(), GoldenFacts { archive: answer });
        }
        found
    }

    async fn permissions(
        &mut self,
        needs: &[Need],
        goldens: &BTreeMap<String, GoldenFacts>,
    ) -> BTreeMap<String, Asked<BTreeSet<String>>> {
        (self.progress)("asking for the token's permissions");
        let mut paths: BTreeSet<String> = needs.iter().flat_map(|need| need.area.paths()).collect();
        // Where rights would be granted, what is there already must not be lost.
        paths.extend(needs.iter().map(|need| need.area.grant()));
        for golden in goldens.keys().filter_map(|volume| archive::golden(volume).ok()) {
            paths.insert(format!("/storage/{}", golden.storage));
            paths.extend(golden.owner.map(|owner| format!("/vms/{owner}")));
        }
        let mut found = BTreeMap::new();
        for path in paths {
            let answer = self.client.send(&ReadPermissions { path: Some(path.clone()) }).await;
            let of_path = |mut all: Permissions| all.0.remove(&path).unwrap_or_default();
            found.insert(path.clone(), answer.map(of_path));
        }
        found
    }

    async fn node(&mut self, node: &str) -> NodeFacts {
        let name = node.to_owned();
        let before = seconds();
        let time = self.client.send(&ReadTime { node: name.clone() }).await;
        // Somewhere in between it looked at its clock.
        let ours = before.midpoint(seconds());
        NodeFacts {
            ahead_s: time.map(|answer| answer.time.cast_signed() - ours),
            bridges: self.client.send(&ListBridges { node: name.clone() }).await,
            storages: self.client.send(&ListStorages { node: name.clone() }).await,
            name,
        }
    }
}

/// A person waits: an error is as good now as in a minute.
fn hasty(config: &ProxmoxConfig) -> Limits {
    let limits = config.client.limits;
    Limits { connect: limits.connect.min(HASTY_CONNECT), ..limits }
}

/// The nodes that are asked for by name, or all if any will do; those that are not known to be offline.
fn places(asks: &[Ask], nodes: &[NodeLine]) -> Vec<String> {
    let wanted = |node: &str| asks.iter().any(|ask| ask.node.as_ref().is_none_or(|wanted| wanted == node));
    let online = nodes.iter().filter(|line| line.status.as_deref() != Some("offline"));
    let mut names: Vec<String> = online.map(|line| line.node.clone()).filter(|node| wanted(node)).collect();
    names.sort();
    names
}

/// Since 1970.
fn seconds() -> i64 {
    i64::try_from(now_s()).unwrap_or(i64::MAX)
}

impl ClusterFacts {
    /// Whether the token has one of these privileges in this area; Err: it could not be asked.
    pub(super) fn has(&self, area: &Area, any: &[&str]) -> Result<bool, &ApiError> {
        let mut trouble = None;
        for path in area.paths() {
            match self.permissions.get(&path) {
                Some(Ok(granted)) if any.iter().any(|one| granted.contains(*one)) => return Ok(true),
                Some(Ok(_)) | None => {}
                Some(Err(error)) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(false), Err)
    }

    /// What the token has on any of these paths.
    pub(super) fn granted(&self, paths: &[String]) -> BTreeSet<String> {
        let known = paths.iter().filter_map(|path| self.permissions.get(path)?.as_ref().ok());
        known.flatten().cloned().collect()
    }
}
