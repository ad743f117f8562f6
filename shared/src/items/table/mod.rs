//! The table itself, one file per group.

mod cluster;
mod leftovers;
mod machine;
mod network;
mod people;
mod secrets;
mod services;
mod ssh;
mod storage;
mod systemd;

use super::item::{FirstBoot, Item, Renewer, Renewers, Seal, Severity};
use super::{Detect, Reset};

/// Items that belong together, as the documentation shows them.
#[derive(Debug)]
pub struct Group {
    pub title: &'static str,
    pub items: &'static [Item],
}

/// The whole table.
pub static GROUPS: [Group; 10] = [
    Group { title: "The machine and its name", items: machine::ITEMS },
    Group { title: "SSH servers", items: ssh::ITEMS },
    Group { title: "systemd", items: systemd::ITEMS },
    Group { title: "Network", items: network::ITEMS },
    Group { title: "Storage", items: storage::ITEMS },
    Group { title: "Services", items: services::ITEMS },
    Group { title: "Clusters, meshes and agents", items: cluster::ITEMS },
    Group { title: "Keys and memberships", items: secrets::ITEMS },
    Group { title: "People", items: people::ITEMS },
    Group { title: "What building the image left", items: leftovers::ITEMS },
];

const NOBODY: Renewers = Renewers::all(Renewer::Nobody, "");

/// Somebody has to decide: the golden cannot be sealed with it, and no boot takes it away.
const POLICY: Item = Item {
    name: "",
    title: "",
    danger: "",
    paths: &[],
    except: &[],
    in_use: &[],
    detect: Detect::Exists,
    reset: Reset::Policy,
    seal: Seal::Refuse,
    first_boot: FirstBoot::Report,
    severity: Severity::Fail,
    renewers: NOBODY,
    source: "",
    verified: true,
};

/// Sealing removes it, and the first boot too; the owner makes it anew when it starts.
const REMADE: Item = Item { reset: Reset::Remove, seal: Seal::Reset, first_boot: FirstBoot::Reset, ..POLICY };

/// Sealing removes it; a running machine has its own by right.
const SWEPT: Item = Item {
    reset: Reset::Remove,
    seal: Seal::Reset,
    first_boot: FirstBoot::Silent,
    severity: Severity::Warn,
    ..POLICY
};

/// General knowledge that nobody has verified yet: information, and nothing else.
const HEARSAY: Item = Item {
    seal: Seal::Leave,
    first_boot: FirstBoot::Silent,
    severity: Severity::Info,
    renewers: Renewers::all(Renewer::Unknown, ""),
    source: "general knowledge",
    verified: false,
    ..POLICY
};
