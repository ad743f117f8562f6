//! Storages, the volumes on them, and the archives that guests are restored from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::access::Need;
use super::answer::{Answer, Refusal};
use super::call::Call;
use super::guest::Kind;
use super::property::Properties;
use super::world::World;

/// How a storage keeps its volumes, which shows in their names and in what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    Dir,
    Btrfs,
    LvmThin,
    /// A Proxmox Backup Server: backups only.
    Backups,
}

impl Keeping {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Btrfs => "btrfs",
            Self::LvmThin => "lvmthin",
            Self::Backups => "pbs",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Storage {
    pub keeping: Keeping,
    pub content: Vec<String>,
    pub path: String,
    pub shared: bool,
    /// Nodes that have it; empty: all.
    pub nodes: Vec<String>,
    pub enabled: bool,
    /// A folder that should be a mount point is one.
    pub mounted: bool,
    pub total: u64,
}

impl Storage {
    pub fn new(keeping: Keeping, path: &str, content: &[&str]) -> Self {
        let content = content.iter().map(|one| (*one).to_owned()).collect();
        let shared = keeping == Keeping::Backups;
        Self {
            keeping,
            content,
            path: path.into(),
            shared,
            nodes: Vec::new(),
            enabled: true,
            mounted: true,
            total: 252 << 30,
        }
    }

    fn is_on(&self, node: &str) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|one| one == node)
    }

    pub fn holds(&self, content: &str) -> bool {
        self.content.iter().any(|one| one == content)
    }

    /// A volume's identifier.
    fn volume(&self, name: &str, id: u32, file: &str, format: &str) -> String {
        match self.keeping {
            Keeping::Dir | Keeping::Btrfs => format!("{name}:{id}/{file}.{format}"),
            Keeping::LvmThin | Keeping::Backups => format!("{name}:{file}"),
        }
    }
}

/// A disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub id: u32,
    pub node: String,
    pub size: u64,
    pub format: String,
    pub made: u64,
}

/// A disk image that is to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewVolume<'a> {
    pub(super) node: &'a str,
    pub(super) id: u32,
    pub(super) storage: &'a str,
    pub(super) size: u64,
    pub(super) cloud_init: bool,
}

/// Larger files are refused.
const LARGEST_RAW: u64 = 16 << 40;

/// A backup that guests can be restored from, or a template that containers are made of.
#[derive(Debug, Clone)]
pub struct Archive {
    pub kind: Kind,
    /// The guest that it was made of.
    pub id: u32,
    pub config: BTreeMap<String, String>,
    /// Raw `lxc.` lines, which a restore by a token drops with a warning.
    pub raw_lines: Vec<String>,
    /// Bytes that have to fit.
    pub data: u64,
    /// Bytes of the file.
    pub size: u64,
    pub made: u64,
    /// Cut off: a restore fails while it unpacks.
    pub broken: bool,
    /// On whose folder it lies, where each node has one of its own; none: on all.
    pub node: Option<String>,
}

impl Archive {
    /// `config` has a line for each option, as in the archive's own file.
    pub fn new(kind: Kind, id: u32, config: &str) -> Self {
        let mut options = BTreeMap::new();
        let mut raw_lines = Vec::new();
        for (key, value) in config.lines().filter_map(|line| line.trim().split_once(": ")) {
            match key.starts_with("lxc.") {
                true => raw_lines.push(format!("{key}: {value}")),
                false => drop(options.insert(key.to_owned(), value.replace("\\n", "\n"))),
            }
        }
        let (data, size) = (202_045_440, 64_344_473);
        Self {
            kind,
            id,
            config: options,
            raw_lines,
            data,
            size,
            made: 1_795_259_644,
            broken: false,
            node: None,
        }
    }

    /// A container's template, with as much in it: it has no configuration, and was made of no guest.
    pub fn template() -> Self {
        Self::new(Kind::Lxc, 0, "")
    }

    fn text(&self) -> String {
        let comment = self.config.get("description").into_iter().flat_map(|text| text.lines());
        let mut text: String = comment.map(|line| format!("#{line}\n")).collect();
        let apart = |key: &str| key == "description" || key == "env";
        for (key, value) in self.config.iter().filter(|(key, _)| !apart(key)) {
            text += &format!("{key}: {value}\n");
        }
        let variables = self.config.get("env").into_iter().flat_map(|env| env.split('\0'));
        text.extend(variables.map(|variable| format!("lxc.environment.runtime: {variable}\n")));
        text.extend(self.raw_lines.iter().map(|line| format!("{line}\n")));
        for (key, value) in self.config.iter().filter(|_| self.kind == Kind::Qemu) {
            if value.contains("size=") {
                text += &format!("#qmdump#map:{key}:drive-{key}:{}:raw:\n", storage_of(value));
            }
        }
        text
    }
}

/// The part before the colon.
pub fn storage_of(volume: &str) -> &str {
    volume.split_once(':').map_or(volume, |(storage, _)| storage)
}

/// What a file of a storage is, by its name: `backup`, `vztmpl`. Disks have no such word.
pub(super) fn content_of(volume: &str) -> &str {
    let name = volume.split_once(':').map_or(volume, |(_, name)| name);
    name.split_once('/').map_or("", |(content, _)| content)
}

impl World {
    pub(super) fn storage(&self, name: &str) -> Result<&Storage, String> {
        self.storages.get(name).ok_or_else(|| format!("storage '{name}' does not exist"))
    }

    /// A storage that can be worked with at once.
    pub(super) fn active_storage(&self, name: &str) -> Result<&Storage, String> {
        let storage = self.storage(name)?;
        if !storage.enabled {
            return Err(format!("storage '{name}' is disabled"));
        }
        if !storage.mounted {
            let path = &storage.path;
            return Err(format!(
                "unable to activate storage '{name}' - directory is expected to be a mount point but is not mounted: '{path}'"
            ));
        }
        Ok(storage)
    }

    /// Makes a disk image and names it.
    pub(super) fn allocate(
        &mut self,
        node: &str,
        id: u32,
        storage: &str,
        size: u64,
    ) -> Result<String, String> {
        self.make_volume(NewVolume { node, id, storage, size, cloud_init: false })
    }

    pub(super) fn make_volume(&mut self, new: NewVolume) -> Result<String, String> {
        let NewVolume { node, id, storage, size, cloud_init } = new;
        let kept = self.active_storage(storage)?.clone();
        let format = if cloud_init && kept.keeping == Keeping::Dir { "qcow2" } else { "raw" };
        let name = |number: u32| match cloud_init {
            false => kept.volume(storage, id, &format!("vm-{id}-disk-{number}"), format),
            true => kept.volume(storage, id, &format!("vm-{id}-cloudinit"), format),
        };
        let volume = (0..1000).map(name).find(|volume| !self.volumes.contains_key(volume));
        let volume = volume
            .ok_or_else(|| format!("unable to allocate an image name for VM {id} in storage '{storage}'"))?;
        if size > LARGEST_RAW {
            let file = volume.split_once('/').map_or(volume.as_str(), |(_, file)| file);
            return Err(format!(
                "unable to create image: qemu-img: {}/images/{id}/{file}: The image size is too large for file format 'raw'",
                kept.path
            ));
        }
        let made = self.epoch();
        self.volumes
            .insert(volume.clone(), Volume { id, node: node.into(), size, format: format.into(), made });
        Ok(volume)
    }

    /// Where a volume lies, as messages and logs name it.
    pub(super) fn path_of(&self, volume: &str) -> String {
        let (storage, rest) = volume.split_once(':').unwrap_or((volume, ""));
        let base = self.storages.get(storage).map_or("/var/lib/vz", |storage| storage.path.as_str());
        match rest.split_once('/') {
            Some(("backup", file)) => format!("{base}/dump/{file}"),
            Some(("vztmpl", file)) => format!("{base}/template/cache/{file}"),
            _ => format!("{base}/images/{rest}"),
        }
    }

    /// May this token read the archive? Else what it lacks.
    pub(super) fn check_archive_access(&self, who: &str, archive: &str, target: u32) -> Result<(), Refusal> {
        let path = format!("/storage/{}", storage_of(archive));
        if self.may(who, &path, "Datastore.Allocate") {
            return Ok(());
        }
        self.check(who, &path, &["Datastore.AllocateSpace"], Need::All)?;
        match guest_in_name(archive) {
            Some(id) if id != target => self.check(who, &format!("/vms/{id}"), &["VM.Backup"], Need::All),
            _ => Ok(()),
        }
    }

    /// The volumes that a guest's configuration names, by key.
    pub(super) fn disks(&self, id: u32) -> Vec<(String, String)> {
        let Some(guest) = self.guests.get(&id) else { return Vec::new() };
        let named = guest.config.iter().filter_map(|(key, value)| {
            let volume = Properties::parse(value, "volume").get("volume")?.to_owned();
            self.volumes.contains_key(&volume).then(|| (key.clone(), volume))
        });
        named.collect()
    }

    pub(super) fn list_storages(&self, call: &Call, node: &str) -> Answer {
        let seen = self.storages.iter().filter(|(name, _)| {
            let path = format!("/storage/{name}");
            let may = |one| self.may(&call.who, &path, one);
            may("Datastore.Audit") || may("Datastore.AllocateSpace")
        });
        let list = seen.map(|(name, storage)| {
            let mut line = self.storage_status(node, name, storage);
            line["storage"] = json!(name);
            if line["total"] != 0 {
                line["used_fraction"] = json!(0.118);
            }
            line
        });
        Answer::data(list.collect()).after(self.profile.read)
    }

    pub(super) fn get_storage_status(&self, call: &Call, node: &str, name: &str) -> Result<Answer, Refusal> {
        self.check_storage_reader(call, name)?;
        let storage = self.storage(name).map_err(Refusal::died)?;
        Ok(Answer::data(self.storage_status(node, name, storage)).after(self.profile.read))
    }

    fn storage_status(&self, node: &str, name: &str, storage: &Storage) -> Value {
        if !storage.enabled || !storage.is_on(node) {
            return json!({
                "type": storage.keeping.as_str(), "content": storage.content.join(","), "enabled": 0, "active": 0,
                "shared": u8::from(storage.shared), "total": 0, "used": 0, "avail": 0,
            });
        }
        let used: u64 = self
            .volumes
            .iter()
            .filter(|(volume, kept)| storage_of(volume) == name && kept.node == node)
            .map(|(_, kept)| kept.size)
            .sum();
        json!({
            "type": storage.keeping.as_str(), "content": storage.content.join(","), "enabled": 1,
            "active": u8::from(storage.mounted), "shared": u8::from(storage.shared), "total": storage.total,
            "used": used, "avail": storage.total.saturating_sub(used),
        })
    }

    fn check_storage_reader(&self, call: &Call, name: &str) -> Result<(), Refusal> {
        let wanted = ["Datastore.Audit", "Datastore.AllocateSpace"];
        self.check(&call.who, &format!("/storage/{name}"), &wanted, Need::Any)
    }

    /// GET /storage/{storage}.
    pub(super) fn get_storage(&self, call: &Call, name: &str) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/storage/{name}"), &["Datastore.Allocate"], Need::All)?;
        let storage = self.storage(name).map_err(Refusal::died)?;
        Ok(Answer::data(json!({
            "storage": name, "type": storage.keeping.as_str(), "content": storage.content.join(","),
            "path": storage.path, "digest": "d2f1fc085ecf20a73a98cf35426e5e7cea2334f4",
        })))
    }

    pub(super) fn list_content(&self, call: &Call, node: &str, name: &str) -> Result<Answer, Refusal> {
        self.check_storage_reader(call, name)?;
        if !self.active_storage(name).map_err(Refusal::died)?.is_on(node) {
            return Err(Refusal::died(format!("storage '{name}' is not available on node '{node}'")));
        }
        let backups = self.archives.iter().filter(|(volume, archive)| {
            storage_of(volume) == name && archive.node.as_deref().is_none_or(|one| one == node)
        });
        let backups = backups.map(archive_line);
        let images =
            self.volumes.iter().filter(|(volume, kept)| storage_of(volume) == name && kept.node == node);
        let images = images.map(|(volume, kept)| self.volume_line(volume, kept));
        let wanted = (call.parameters.get("content"), call.parameters.number("vmid"));
        let list: Vec<Value> = backups
            .chain(images)
            .filter(|line| wanted.0.is_none_or(|content| line["content"] == content))
            .filter(|line| wanted.1.is_none_or(|id| line["vmid"] == id))
            .collect();
        Ok(Answer::data(list.into()).after(self.profile.read))
    }

    fn volume_line(&self, volume: &str, kept: &Volume) -> Value {
        let container = self.guests.get(&kept.id).is_some_and(|guest| guest.kind == Kind::Lxc);
        json!({
            "volid": volume, "content": if container { "rootdir" } else { "images" }, "vmid": kept.id,
            "size": kept.size, "used": kept.size.min(264_220_672), "format": kept.format, "parent": null,
            "ctime": kept.made,
        })
    }

    /// The archive as this node reads it.
    pub(super) fn archive(&self, volume: &str, node: &str) -> Result<&Archive, String> {
        let is_here = |archive: &&Archive| archive.node.as_deref().is_none_or(|one| one == node);
        let archive = self.archives.get(volume).filter(is_here);
        archive.ok_or_else(|| format!("volume '{volume}' does not exist"))
    }

    /// The configuration inside a backup. It wants VM.Backup on the guest in the name whatever the rights on the
    /// storage are (from the code, not recorded).
    pub(super) fn extract_config(&self, call: &Call, node: &str) -> Result<Answer, Refusal> {
        let volume = call.parameters.get("volume").unwrap_or_default();
        self.check_archive_access(&call.who, volume, 0)?;
        if let Some(id) = guest_in_name(volume) {
            self.check(&call.who, &format!("/vms/{id}"), &["VM.Backup"], Need::All)?;
        }
        match self.archive(volume, node).ok() {
            Some(archive) => Ok(Answer::data(json!(archive.text())).after(self.profile.read)),
            None => Err(Refusal::died(format!("volume '{volume}' does not exist"))),
        }
    }
}

fn archive_line((volume, archive): (&String, &Archive)) -> Value {
    if content_of(volume) == "vztmpl" {
        return json!({
            "volid": volume, "content": "vztmpl", "size": archive.size, "format": "tzst", "ctime": archive.made,
        });
    }
    let format = if archive.kind == Kind::Lxc { "tar.zst" } else { "vma.zst" };
    let format = if volume.contains(":backup/ct/") { "pbs-ct" } else { format };
    json!({
        "volid": volume, "content": "backup", "subtype": archive.kind.as_str(), "vmid": archive.id,
        "size": archive.size, "format": format, "ctime": archive.made,
    })
}

/// `local:backup/vzdump-lxc-9100-...` or `pbs:backup/ct/9100/...`.
fn guest_in_name(archive: &str) -> Option<u32> {
    archive.split(['-', '/']).find_map(|part| part.parse().ok().filter(|id| *id >= 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_stands_in_the_archives_name() {
        for (name, id) in [
            ("local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst", Some(9100)),
            ("pbs:backup/ct/9200/2026-11-21T11:14:04Z", Some(9200)),
            ("local:vztmpl/debian.tar.zst", None),
        ] {
            assert_eq!(guest_in_name(name), id, "{name}");
        }
    }
}
