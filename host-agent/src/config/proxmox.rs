//! `[proxmox]`: how its values are read, and what of them belongs together.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use firstlight_shared::pin::SpkiPin;

use super::names::{VMIDS, is_pool, is_tag, is_word, parse_vmids};
use super::origin::Origin;
use super::read::{Reader, path};
use super::secret::SecretFile;
use super::settings::{PinSettings, ProxmoxSettings};
use super::value::{Setting, Value, list_of};
use crate::backend::proxmox::client::link::{Address, Fingerprint, NODES};

const TABLE: &str = "proxmox";

impl Setting for Vec<Address> {
    const WANTED: &'static str = "a list of nodes, each HOST or HOST:PORT,";
    fn read(value: &Value) -> Option<Self> {
        list_of(value, |text| NODES.read(text).ok())
    }
}

impl Setting for Vec<SpkiPin> {
    const WANTED: &'static str = "a list of keys, `sha256//` and 44 characters of base64 each,";
    fn read(value: &Value) -> Option<Self> {
        list_of(value, |text| text.parse().ok())
    }
}

impl Setting for Vec<Fingerprint> {
    const WANTED: &'static str = "a list of SHA-256 fingerprints, 32 pairs like AA:BB:.. each,";
    fn read(value: &Value) -> Option<Self> {
        list_of(value, |text| text.parse().ok())
    }
}

#[derive(Default)]
struct Tags(Vec<String>);

impl Setting for Tags {
    const WANTED: &'static str = "a list of tags of small letters, digits and `_+.-`";
    fn read(value: &Value) -> Option<Self> {
        list_of(value, |text| is_tag(text).then(|| text.to_owned())).map(Self)
    }
}

/// Of a node, a storage or a bridge.
#[derive(Default)]
struct Word(Option<String>);

impl Setting for Word {
    const WANTED: &'static str = "a name of letters, digits and `-_.`";
    fn read(value: &Value) -> Option<Self> {
        value.text().filter(|text| is_word(text)).map(|text| Self(Some(text.to_owned())))
    }
}

#[derive(Default)]
struct Pool(Option<String>);

impl Setting for Pool {
    const WANTED: &'static str = "a pool's name";
    fn read(value: &Value) -> Option<Self> {
        value.text().filter(|text| is_pool(text)).map(|text| Self(Some(text.to_owned())))
    }
}

struct Vmids(RangeInclusive<u32>);

impl Default for Vmids {
    fn default() -> Self {
        Self(VMIDS)
    }
}

impl Setting for Vmids {
    const WANTED: &'static str = "FIRST-LAST, from 100 to 999999999,";
    fn read(value: &Value) -> Option<Self> {
        parse_vmids(value.text()?).map(Self)
    }
}

impl Reader<'_> {
    /// None: nothing of the table is set, or what is wrong with it has been said.
    pub(super) fn proxmox(&mut self) -> Option<ProxmoxSettings> {
        let addresses: Vec<Address> = self.get("proxmox.addresses");
        let token: Option<SecretFile> = self.get("proxmox.token");
        let pin = self.proxmox_pin();
        let (node, storage) = (self.get::<Word>("proxmox.node").0, self.get::<Word>("proxmox.storage").0);
        let pool = self.get::<Pool>("proxmox.pool").0;
        let bridge = self.get::<Word>("proxmox.bridge").0.unwrap_or_default();
        let vmids = self.get::<Vmids>("proxmox.vmids").0;
        let tags = self.get::<Tags>("proxmox.tags").0;
        let allow_root_lines = self.get("proxmox.allow_root_lines");
        let first = self.first_set(TABLE)?;
        for (key, what) in [
            ("proxmox.addresses", "is wanted too: the nodes, HOST or HOST:PORT"),
            ("proxmox.token", "is wanted too: the file or credential with the API token"),
        ] {
            if !self.is_set(key) {
                self.problem(first.clone(), format!("{key} {what}"));
            }
        }
        if addresses.is_empty() && self.is_set("proxmox.addresses") {
            self.wrong("proxmox.addresses", "one node at least is wanted");
        }
        if !self.pins().iter().any(|key| self.is_set(key)) {
            let what =
                "a pin is wanted: `firstlight trust ADDRESS` shows a node's key and writes proxmox.keys";
            self.problem(first, what.to_owned());
        }
        Some(ProxmoxSettings {
            addresses,
            token: token?,
            pin: pin?,
            node,
            storage,
            pool,
            bridge,
            vmids,
            tags,
            allow_root_lines,
        })
    }

    fn pins(&self) -> [&'static str; 3] {
        ["proxmox.keys", "proxmox.ca", "proxmox.fingerprints"]
    }

    fn proxmox_pin(&mut self) -> Option<PinSettings> {
        let keys: Vec<SpkiPin> = self.get("proxmox.keys");
        let authority: Option<PathBuf> = self.get("proxmox.ca");
        let leaves: Vec<Fingerprint> = self.get("proxmox.fingerprints");
        let set: Vec<&str> = self.pins().into_iter().filter(|key| self.is_set(key)).collect();
        if let [first, second, ..] = set[..] {
            let what =
                format!("{first} is set too: a server is known by one kind of pin, take one of them out");
            self.wrong(second, &what);
        }
        for (key, none) in [("proxmox.keys", keys.is_empty()), ("proxmox.fingerprints", leaves.is_empty())] {
            if none && self.is_set(key) {
                self.wrong(key, "the list is empty: no server would be the right one");
            }
        }
        match (authority, keys.is_empty(), leaves.is_empty()) {
            (Some(path), ..) => Some(PinSettings::Authority(path)),
            (None, false, _) => Some(PinSettings::Keys(keys)),
            (None, true, false) => Some(PinSettings::Leaves(leaves)),
            (None, true, true) => None,
        }
    }

    fn is_set(&self, key: &str) -> bool {
        self.merged.values.get(&path(key)).is_some_and(|found| found.origin != Origin::Default)
    }

    /// The place of the table's first value that somebody set.
    pub(super) fn first_set(&self, table: &str) -> Option<Origin> {
        let table = path(table);
        let of_table = self.merged.values.iter().filter(|(path, _)| path.starts_with(&table));
        let mut set = of_table.map(|(_, found)| &found.origin).filter(|origin| **origin != Origin::Default);
        set.next().cloned()
    }

    pub(super) fn problem(&mut self, origin: Origin, message: String) {
        self.merged.problem(origin, message);
    }
}
