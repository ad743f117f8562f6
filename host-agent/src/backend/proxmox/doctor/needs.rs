//! What each kind of work needs of a token, and where. Pure.
//!
//! | work | on guests | elsewhere |
//! |---|---|---|
//! | containers | VM.Allocate, VM.Audit, VM.PowerMgmt, VM.Config.{Network,Options}; {CPU,Memory,Disk} as asked | Datastore.AllocateSpace, SDN.Use |
//! | machines | the same, VM.Config.HWType (the claim), VM.GuestAgent.{Audit,FileRead} | the same |
//! | waiting | VM.Audit | |
//! | changes of guests that are there | VM.Config.Memory, VM.Snapshot (to roll back, VM.Snapshot.Rollback is enough) | |

use std::collections::BTreeSet;

use crate::backend::proxmox::archive::Archive;
use crate::backend::proxmox::settings::Defaults;
use crate::backend::{GuestPlan, Kind};

/// What guests of a spec have in common for a token; names do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    /// Without it the spec cannot be carried out.
    pub(super) must: bool,
    pub(super) golden: Option<String>,
    /// None: any of the cluster.
    pub(super) node: Option<String>,
    pub(super) pool: Option<String>,
    pub(super) vmid: u32,
    /// Empty: the golden's own.
    pub(super) storages: BTreeSet<String>,
    /// Empty: the golden's own.
    pub(super) bridges: BTreeSet<(String, Option<u16>)>,
    pub(super) cores: bool,
    pub(super) memory: bool,
    pub(super) disk: bool,
    pub(super) tags: bool,
}

/// Each different ask once. Without a spec: containers, and machines if it may, with the defaults.
pub(super) fn asks(plans: Option<&[GuestPlan]>, defaults: &Defaults) -> Vec<Ask> {
    let mut asks = Vec::new();
    match plans {
        Some(plans) => {
            for ask in plans.iter().map(|plan| ask(plan, defaults)) {
                if !asks.contains(&ask) {
                    asks.push(ask);
                }
            }
        }
        None => asks.extend([anything(Kind::Lxc, true, defaults), anything(Kind::Vm, false, defaults)]),
    }
    asks
}

fn ask(plan: &GuestPlan, defaults: &Defaults) -> Ask {
    let place = &plan.place;
    let bridge =
        |nic: &crate::backend::Nic| (nic.bridge.clone().unwrap_or_else(|| defaults.bridge.clone()), nic.vlan);
    let root = place.storage.as_ref().or(defaults.storage.as_ref());
    let volumes = plan.mounts.iter().filter_map(|mount| mount.storage.as_ref());
    Ask {
        kind: plan.kind.unwrap_or(Kind::Lxc),
        must: true,
        golden: Some(plan.golden.clone()),
        node: place.node.clone().or_else(|| defaults.node.clone()),
        pool: place.pool.clone().or_else(|| defaults.pool.clone()),
        vmid: place.vmid.unwrap_or(*defaults.vmids.end()),
        storages: root.into_iter().chain(volumes).cloned().collect(),
        bridges: plan.nics.iter().map(bridge).collect(),
        cores: plan.size.cores.is_some(),
        memory: plan.size.memory_bytes.is_some(),
        disk: plan.size.disk_bytes.is_some() || !plan.mounts.is_empty(),
        tags: !(plan.tags.is_empty() && defaults.tags.is_empty()),
    }
}

fn anything(kind: Kind, must: bool, defaults: &Defaults) -> Ask {
    Ask {
        kind,
        must,
        golden: None,
        node: defaults.node.clone(),
        pool: defaults.pool.clone(),
        vmid: *defaults.vmids.end(),
        storages: defaults.storage.iter().cloned().collect(),
        bridges: BTreeSet::from([(defaults.bridge.clone(), None)]),
        cores: true,
        memory: true,
        disk: true,
        tags: !defaults.tags.is_empty(),
    }
}

impl Ask {
    /// With what its golden brings where it says nothing itself.
    pub(super) fn completed(mut self, archive: &Archive) -> Self {
        if self.bridges.is_empty() {
            let of_net = |(_, net): (u32, crate::backend::proxmox::client::properties::Properties)| {
                let vlan = net.get("tag").and_then(|tag| tag.parse().ok());
                net.get("bridge").map(|bridge| (bridge.to_owned(), vlan))
            };
            self.bridges = archive.nets().into_iter().filter_map(of_net).collect();
        }
        if self.storages.is_empty() {
            let roots =
                archive.rootfs().into_iter().chain(archive.mounts().into_iter().map(|(_, mount)| mount));
            let disks = archive.disks().into_iter().map(|disk| disk.properties);
            let storage = |volume: crate::backend::proxmox::client::properties::Properties| {
                let volume = volume.unnamed().or_else(|| volume.get("volume")).or_else(|| volume.get("file"));
                volume.and_then(|volume| volume.split_once(':')).map(|(storage, _)| storage.to_owned())
            };
            self.storages = match self.kind {
                Kind::Lxc => roots.filter_map(storage).collect(),
                Kind::Vm => disks.filter_map(storage).collect(),
            };
        }
        self
    }
}

/// Where privileges lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Area {
    /// A guest that is to be made; a pool's rights count for its members.
    Guests {
        vmid: u32,
        pool: Option<String>,
    },
    /// The same, and the pool's rights do not count.
    Number(u32),
    /// The pool itself.
    Pool(String),
    Storage(String),
    Bridge(String, Option<u16>),
    Node(String),
}

impl Area {
    /// Rights on any of them count.
    pub(super) fn paths(&self) -> Vec<String> {
        match self {
            Self::Guests { vmid, pool } => {
                let pool = pool.iter().map(|pool| format!("/pool/{pool}"));
                std::iter::once(format!("/vms/{vmid}")).chain(pool).collect()
            }
            Self::Number(vmid) => vec![format!("/vms/{vmid}")],
            Self::Pool(pool) => vec![format!("/pool/{pool}")],
            Self::Storage(storage) => vec![format!("/storage/{storage}")],
            Self::Bridge(bridge, None) => vec![format!("/sdn/zones/localnetwork/{bridge}")],
            Self::Bridge(bridge, Some(vlan)) => vec![format!("/sdn/zones/localnetwork/{bridge}/{vlan}")],
            Self::Node(node) => vec![format!("/nodes/{node}")],
        }
    }

    /// Where to grant them.
    pub(super) fn grant(&self) -> String {
        match self {
            Self::Guests { pool: Some(pool), .. } | Self::Pool(pool) => format!("/pool/{pool}"),
            Self::Guests { pool: None, .. } | Self::Number(_) => "/vms".to_owned(),
            Self::Storage(storage) => format!("/storage/{storage}"),
            Self::Bridge(bridge, _) => format!("/sdn/zones/localnetwork/{bridge}"),
            Self::Node(node) => format!("/nodes/{node}"),
        }
    }
}

/// One privilege that some work needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub(super) area: Area,
    /// Any of them will do; the first is the one to grant.
    pub(super) any: Vec<&'static str>,
    pub(super) why: &'static str,
    pub(super) must: bool,
}

/// Privileges for machines' agents are of this version on; before, one was for all of them.
const AGENT_SINCE: (u32, u32) = (9, 0);
const AGENT_ALL: &str = "VM.GuestAgent.Unrestricted";

/// `nodes` are those where the guests may come to be; a version that is not known is taken for a new one.
pub(super) fn needs(asks: &[Ask], nodes: &[String], version: Option<(u32, u32)>) -> Vec<Need> {
    let mut found: Vec<Need> = Vec::new();
    for ask in asks {
        for need in of_guests(ask, version).into_iter().chain(of_surroundings(ask)) {
            match found.iter_mut().find(|other| other.area == need.area && other.any == need.any) {
                Some(other) => other.must |= need.must,
                None => found.push(need),
            }
        }
    }
    found.extend(nodes.iter().map(|node| Need {
        area: Area::Node(node.clone()),
        any: vec!["Sys.Audit"],
        why: "the node's clock, its free memory, and tasks that were lost",
        must: false,
    }));
    found
}

fn of_guests(ask: &Ask, version: Option<(u32, u32)>) -> Vec<Need> {
    let is_machine = ask.kind == Kind::Vm;
    let before_agent = version.is_some_and(|version| version < AGENT_SINCE);
    let table = [
        (true, vec!["VM.Allocate"], "to make the guest, and to remove it again"),
        (
            true,
            vec!["VM.Audit"],
            "to read its state, its configuration and its addresses (all that waiting needs)",
        ),
        (true, vec!["VM.PowerMgmt"], "to start and stop it"),
        (true, vec!["VM.Config.Network"], "its interfaces and its host name"),
        (
            true,
            vec!["VM.Config.Options"],
            "the stamp in its description, its claim, its tags; containers with a claim cannot be read without",
        ),
        (ask.cores, vec!["VM.Config.CPU"], "`cores`"),
        (ask.memory, vec!["VM.Config.Memory"], "`memory`"),
        (ask.disk, vec!["VM.Config.Disk"], "`disk` and `mounts`"),
        (is_machine, vec!["VM.Config.HWType"], "a machine's claim, in its SMBIOS strings"),
        (is_machine && before_agent, vec!["VM.Monitor"], "a machine's agent: its addresses and its report"),
        (
            is_machine && !before_agent,
            vec!["VM.GuestAgent.Audit", AGENT_ALL],
            "a machine's agent: its addresses",
        ),
        (
            is_machine && !before_agent,
            vec!["VM.GuestAgent.FileRead", AGENT_ALL],
            "a machine's agent: its report",
        ),
    ];
    let area = Area::Guests { vmid: ask.vmid, pool: ask.pool.clone() };
    let need = |(_, any, why)| Need { area: area.clone(), any, why, must: ask.must };
    let mut needs: Vec<Need> = table.into_iter().filter(|(asked, ..)| *asked).map(need).collect();
    needs.extend(of_changes(ask, &area));
    if let Some(pool) = &ask.pool {
        needs.push(Need {
            area: Area::Pool(pool.clone()),
            any: vec!["Pool.Audit"],
            why: "to see before anything is done that the pool is there",
            must: false,
        });
    }
    if ask.pool.is_some() && ask.tags && !is_machine {
        needs.push(Need {
            area: Area::Number(ask.vmid),
            any: vec!["VM.Config.Options"],
            why: "tags of containers: rights on a pool do not count for them, the guests go without",
            must: false,
        });
    }
    needs
}

/// What a bring-up does without.
fn of_changes(ask: &Ask, area: &Area) -> Vec<Need> {
    let table = [
        (!ask.memory, vec!["VM.Config.Memory"], "`firstlight set --memory`"),
        (true, vec!["VM.Snapshot"], "`firstlight snapshot`"),
        (true, vec!["VM.Snapshot", "VM.Snapshot.Rollback"], "`firstlight rollback`"),
    ];
    let asked = table.into_iter().filter(|(asked, ..)| *asked);
    asked.map(|(_, any, why)| Need { area: area.clone(), any, why, must: false }).collect()
}

fn of_surroundings(ask: &Ask) -> Vec<Need> {
    let storages = ask.storages.iter().map(|storage| Need {
        area: Area::Storage(storage.clone()),
        any: vec!["Datastore.AllocateSpace"],
        why: "to put the guest's volumes there",
        must: ask.must,
    });
    let leftovers = ask.storages.iter().map(|storage| Need {
        area: Area::Storage(storage.clone()),
        any: vec!["Datastore.Allocate"],
        why: "to remove volumes that a killed restore left behind; without, an operator has to",
        must: false,
    });
    let bridges = ask.bridges.iter().map(|(bridge, vlan)| Need {
        area: Area::Bridge(bridge.clone(), *vlan),
        any: vec!["SDN.Use"],
        why: "to put the guest's interface on it",
        must: ask.must,
    });
    storages.chain(leftovers).chain(bridges).collect()
}

#[cfg(test)]
mod tests;
