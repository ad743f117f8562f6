//! Volumes: the root file system and mounts, of the plan and of the archive.

use super::Ground;
use crate::backend::GuestPlan;
use crate::backend::proxmox::archive::size_of;
use crate::backend::proxmox::client::properties::Properties;
use crate::outcome::Fault;

/// A volume as it shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::backend::proxmox::lxc) struct Volume {
    /// Of `mpN`; 0 for the root file system.
    pub(in crate::backend::proxmox::lxc) number: u32,
    /// In the guest; empty for the root file system.
    pub(in crate::backend::proxmox::lxc) path: String,
    pub(in crate::backend::proxmox::lxc) storage: String,
    /// At least. None: whatever the archive has.
    pub(in crate::backend::proxmox::lxc) bytes: Option<u64>,
    /// `backup`, `mp` and the others, without volume and size.
    pub(in crate::backend::proxmox::lxc) options: Properties,
}

impl Volume {
    /// What makes it: `local:8,mp=/srv,backup=1`.
    pub(in crate::backend::proxmox::lxc) fn creation(&self) -> Properties {
        let size = gibibytes(self.bytes.unwrap_or_default());
        let volume = Properties::of(format!("{}:{size}", self.storage));
        self.options.pairs().fold(volume, |made, (name, value)| made.with(name, value))
    }

    pub(in crate::backend::proxmox::lxc) fn backup(&self) -> bool {
        self.options.get("backup") == Some("1")
    }
}

/// Of a mount, without the slash at its end.
pub(in crate::backend::proxmox::lxc) fn path_of(mount: &Properties) -> &str {
    trimmed(mount.get("mp").unwrap_or_default())
}

fn trimmed(path: &str) -> &str {
    let short = path.trim_end_matches('/');
    if short.is_empty() { path } else { short }
}

/// In decimal without loss, as far as Proxmox counts: KiB.
pub(in crate::backend::proxmox::lxc) fn gibibytes(bytes: u64) -> String {
    let kib = bytes.div_ceil(1024);
    let (whole, mut rest) = (kib >> 20, kib & ((1 << 20) - 1));
    let mut text = whole.to_string();
    if rest > 0 {
        text.push('.');
    }
    while rest > 0 {
        rest *= 10;
        text.push_str(&(rest >> 20).to_string());
        rest &= (1 << 20) - 1;
    }
    text
}

/// The root file system and the mounts that the container shall have: the plan's, and those of the archive that the plan
/// does not name.
pub(super) fn of(plan: &GuestPlan, ground: &Ground<'_>) -> Result<(Volume, Vec<Volume>), Fault> {
    let says_volumes = plan.size.disk_bytes.is_some() || !plan.mounts.is_empty();
    let golden = ground.archive.rootfs().unwrap_or_default();
    let bytes = plan.size.disk_bytes.or_else(|| size_of(&golden).filter(|_| says_volumes));
    if says_volumes && bytes.is_none() {
        return Err(Fault::new("no-size", "the archive does not say how large its root disk is")
            .with_hint("give a disk size for this guest"));
    }
    let root =
        Volume { storage: storage(ground, &golden)?, bytes, options: options(&golden), ..Volume::default() };

    let mut mounts = Vec::new();
    for (number, mount) in ground.archive.mounts() {
        mounts.push(archived(number, &mount, says_volumes, ground)?);
    }
    for asked in &plan.mounts {
        let path =
            asked.path.to_str().map(trimmed).ok_or_else(|| {
                Fault::new("mount-path", "mounts: a path in a container of Proxmox is UTF-8")
            })?;
        let place = mounts.iter().position(|mount| mount.path == path);
        let known = place.map(|place| mounts.remove(place));
        let bytes = asked.size_bytes.or_else(|| known.as_ref()?.bytes).ok_or_else(|| {
            Fault::new("no-size", format!("mounts: `{path}` needs a size, the archive has no such mount"))
        })?;
        let root_storage = || known.as_ref().map_or(&root, |known| known).storage.clone();
        let base = known.as_ref().map_or_else(Properties::default, |known| known.options.clone());
        mounts.push(Volume {
            number: known.as_ref().map_or_else(|| free(&mounts), |known| known.number),
            path: path.to_owned(),
            storage: asked.storage.clone().unwrap_or_else(root_storage),
            bytes: Some(bytes),
            options: base.with("mp", path).with("backup", u8::from(asked.backup.unwrap_or(true))),
        });
    }
    mounts.sort_by_key(|mount| mount.number);
    Ok((root, mounts))
}

/// A mount of the archive, made anew where the volumes are said.
fn archived(number: u32, mount: &Properties, anew: bool, ground: &Ground<'_>) -> Result<Volume, Fault> {
    let path = path_of(mount).to_owned();
    let refused =
        |why: &str| Fault::new("archived-mount", format!("the archive's mount `{path}` (mp{number}) {why}"));
    let volume = volume_of(mount).unwrap_or_default();
    if volume.starts_with('/') {
        return Err(refused("is a folder or device of its node: root alone may restore it")
            .with_hint("make the golden without it"));
    }
    let bytes = size_of(mount);
    if anew && bytes.is_none() {
        return Err(refused("has no size").with_hint("name it in the guest's mounts, with a size"));
    }
    Ok(Volume { number, path, storage: storage(ground, mount)?, bytes, options: options(mount) })
}

/// Where a volume goes that names none.
pub(super) fn storage(ground: &Ground<'_>, golden: &Properties) -> Result<String, Fault> {
    let own = || volume_of(golden)?.split_once(':').map(|(storage, _)| storage);
    ground.storage.or_else(own).map(str::to_owned).ok_or_else(|| {
        Fault::new(
            "no-storage",
            "neither the guest nor the defaults name a storage, and the archive has none",
        )
        .with_hint("give `place.storage`")
    })
}

fn volume_of(mount: &Properties) -> Option<&str> {
    mount.unnamed().or_else(|| mount.get("volume"))
}

fn options(golden: &Properties) -> Properties {
    let pairs = golden.pairs().filter(|(name, _)| !matches!(*name, "volume" | "size"));
    pairs.fold(Properties::default(), |options, (name, value)| options.with(name, value))
}

fn free(mounts: &[Volume]) -> u32 {
    (0..).find(|number| mounts.iter().all(|mount| mount.number != *number)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn sizes_are_exact_to_the_kibibyte() {
        for (bytes, text) in [
            (8 * GIB, "8"),
            (GIB / 2, "0.5"),
            (1536 << 20, "1.5"),
            (1000 << 20, "0.9765625"),
            (1024, "0.00000095367431640625"),
            (1, "0.00000095367431640625"),
        ] {
            assert_eq!(gibibytes(bytes), text);
            let read: f64 = text.parse().unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let kib = (read * 1024.0 * 1024.0) as u64;
            assert_eq!(kib, bytes.div_ceil(1024), "as Proxmox reads it");
        }
    }
}
