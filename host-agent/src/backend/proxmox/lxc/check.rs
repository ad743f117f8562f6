//! What a container's configuration lacks of what it shall be: pure.

use super::super::archive::{Archive, size_of};
use super::super::client::endpoint::config::GuestConfig;
use super::super::client::properties::Properties;
use super::wanted::{Volume, Wanted, path_of};

/// One PUT. Empty: nothing is to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) set: Vec<(String, String)>,
    pub(super) delete: Vec<String>,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.delete.is_empty()
    }

    fn flag(&mut self, config: &GuestConfig, key: &str, wanted: bool) {
        if config.flag(key) != wanted {
            self.set.push((key.to_owned(), u8::from(wanted).to_string()));
        }
    }
}

/// One more thing to be done with a volume. One volume a call: what was made for it would stay if another key failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum VolumeStep {
    /// Make it, or give it other options: key and value.
    Put(String, String),
    /// Key and size.
    Grow(String, u64),
}

/// Interfaces that are missing, that are not as they shall be, or that nobody asked for: these have the golden's MACs.
pub(super) fn nets(wanted: &Wanted, config: &GuestConfig) -> Change {
    let mut change = Change::default();
    if wanted.nets.is_empty() {
        return change;
    }
    for (number, net) in &wanted.nets {
        let key = format!("net{number}");
        let has = config.properties(&key).unwrap_or_default();
        let differs = |(name, value): (&str, &str)| match has.get(name) {
            Some(found) if name == "hwaddr" => !found.eq_ignore_ascii_case(value),
            found => found != Some(value),
        };
        if net.pairs().any(differs) {
            change.set.push((key, net.to_string()));
        }
    }
    let asked = |number: u32| wanted.nets.iter().any(|(known, _)| *known == number);
    let others = config.family("net").map(|(number, _)| number).filter(|number| !asked(*number));
    change.delete = others.map(|number| format!("net{number}")).collect();
    change
}

/// The name, and what says how the node treats the container.
pub(super) fn options(wanted: &Wanted, config: &GuestConfig) -> Change {
    let mut change = Change::default();
    if let Some(hostname) = wanted.hostname.as_ref().filter(|name| config.get("hostname") != Some(name)) {
        change.set.push(("hostname".to_owned(), hostname.clone()));
    }
    change.flag(config, "onboot", wanted.onboot);
    if let Some(protection) = wanted.protection {
        change.flag(config, "protection", protection);
    }
    change
}

/// Tags that are missing; those that somebody added stay.
pub(super) fn tags(wanted: &Wanted, config: &GuestConfig) -> Option<String> {
    let has = config.tags();
    let missing = wanted.tags.iter().any(|tag| !has.contains(&tag.as_str()));
    let all = || {
        let new = wanted.tags.iter().map(String::as_str).filter(|tag| !has.contains(tag));
        has.iter().copied().chain(new).collect::<Vec<_>>().join(";")
    };
    missing.then(all)
}

pub(super) fn cores_and_memory(wanted: &Wanted, config: &GuestConfig) -> Change {
    let mut change = Change::default();
    for (key, number) in [("cores", wanted.cores.map(u64::from)), ("memory", wanted.memory_mib)] {
        if let Some(number) = number.filter(|number| config.number(key) != Some(*number)) {
            change.set.push((key.to_owned(), number.to_string()));
        }
    }
    change
}

/// The size that the root disk has yet to get.
pub(super) fn root(wanted: &Wanted, config: &GuestConfig) -> Option<VolumeStep> {
    let has = config.properties("rootfs")?;
    grow("rootfs", &wanted.root, &has)
}

/// What is missing of the mounts.
pub(super) fn mounts(wanted: &Wanted, config: &GuestConfig) -> Vec<VolumeStep> {
    let mut taken: Vec<u32> = config.family("mp").map(|(number, _)| number).collect();
    let mut steps = Vec::new();
    for mount in &wanted.mounts {
        let Some((number, has)) = config.family("mp").find(|(_, has)| path_of(has) == mount.path) else {
            let number = if taken.contains(&mount.number) { free(&taken) } else { mount.number };
            taken.push(number);
            steps.push(VolumeStep::Put(format!("mp{number}"), mount.creation().to_string()));
            continue;
        };
        let key = format!("mp{number}");
        if (has.get("backup") == Some("1")) != mount.backup() {
            let value = has.clone().with("backup", u8::from(mount.backup()));
            steps.push(VolumeStep::Put(key.clone(), value.to_string()));
        }
        steps.extend(grow(&key, mount, &has));
    }
    steps
}

/// Whoever does not say its size has what it should.
fn grow(key: &str, wanted: &Volume, has: &Properties) -> Option<VolumeStep> {
    let bytes = wanted.bytes.filter(|bytes| size_of(has).is_some_and(|size| size < *bytes))?;
    Some(VolumeStep::Grow(key.to_owned(), bytes))
}

fn free(taken: &[u32]) -> u32 {
    (0..).find(|number| !taken.contains(number)).unwrap_or_default()
}

/// What a restore did not bring back, in words; nothing but root can mend it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Without these it is another machine.
    pub(super) grave: Vec<String>,
    pub(super) slight: Vec<String>,
}

/// Of a new guest: what a token may not set afterwards.
pub(super) fn lost(archive: &Archive, config: &GuestConfig) -> Losses {
    let mut losses = Losses::default();
    let has = config.properties("features").unwrap_or_default();
    for (name, value) in archive.features().pairs() {
        let on = |text: Option<&str>| text.unwrap_or("0") != "0";
        if has.get(name) != Some(value) && on(Some(value)) {
            losses.grave.push(format!("features: {name}={value}"));
        }
    }
    if archive.flag("unprivileged") && !config.flag("unprivileged") {
        losses.grave.push("unprivileged: 1".to_owned());
    }
    losses
}

/// Of a guest that came back from its backup: everything that is not as it was, but for what we set ourselves.
pub(super) fn differences(wanted: &Wanted, archive: &Archive, config: &GuestConfig) -> Losses {
    let mut losses = Losses::default();
    for (key, was) in archive.values() {
        if is_ours(wanted, key) {
            continue;
        }
        let is = config.get(key);
        let same = match stem(key) {
            "net" | "features" => is.is_some_and(|is| pairs(is, &[]) == pairs(was, &[])),
            "rootfs" | "mp" => is.is_some_and(|is| pairs(is, &["volume"]) == pairs(was, &["volume"])),
            _ => is == Some(was),
        };
        if same {
            continue;
        }
        let text = format!("{key}: {}", firstlight_shared::text::escape(was, 200));
        match stem(key) {
            "net" | "features" | "rootfs" | "mp" | "hostname" | "unprivileged" | "arch" => {
                losses.grave.push(text)
            }
            _ => losses.slight.push(text),
        }
    }
    losses
}

/// What we set, what Proxmox never restores, and volumes that no longer belonged to the guest.
fn is_ours(wanted: &Wanted, key: &str) -> bool {
    let ours = ["description", "tags", "onboot", "lock", "parent", "snaptime", "template", "digest"];
    ours.contains(&key)
        || key.starts_with("lxc.")
        || stem(key) == "unused"
        || (key == "cores" && wanted.cores.is_some())
        || (key == "memory" && wanted.memory_mib.is_some())
}

fn stem(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// In an order of their own.
fn pairs(text: &str, without: &[&str]) -> Vec<(String, String)> {
    let Ok(properties) = text.parse::<Properties>();
    let kept = properties.pairs().filter(|(name, _)| !without.contains(name));
    let mut pairs: Vec<_> = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    pairs.sort();
    pairs
}

#[cfg(test)]
mod tests;
