//! The configuration of a guest, read and changed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::guest::Guest;
use super::{Endpoint, Unreadable};
use crate::backend::proxmox::client::call::{Call, Method};
use crate::backend::proxmox::client::lenient;
use crate::backend::proxmox::client::properties::Properties;

/// Wants VM.Audit, and for a container with `env` VM.Config.Options too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadConfig {
    pub guest: Guest,
    /// What the running guest has, without changes that wait for its next start.
    pub current: bool,
}

/// Values as they are written; lists of pairs (`net0`) are [`Properties`].
///
/// `Debug` shows the keys alone: `env` carries claims.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GuestConfig(BTreeMap<String, String>);

impl std::fmt::Debug for GuestConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuestConfig")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl GuestConfig {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(|text| lenient::flag_of(&Value::String(text.clone()))).unwrap_or_default()
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    pub fn properties(&self, key: &str) -> Option<Properties> {
        let Ok(properties) = self.get(key)?.parse();
        Some(properties)
    }

    /// Keys of a family with their numbers: `net` gives `net0`, `net1`; not `netmask`.
    pub fn family<'a>(&'a self, stem: &'a str) -> impl Iterator<Item = (u32, Properties)> + 'a {
        self.0.iter().filter_map(move |(key, text)| {
            let number = key.strip_prefix(stem)?.parse().ok()?;
            let Ok(properties) = text.parse();
            Some((number, properties))
        })
    }

    /// `backup`, `create`, ...: a task is at work, or was killed.
    pub fn lock(&self) -> Option<&str> {
        self.get("lock")
    }

    /// Sent with a change, it makes the server refuse if somebody else was faster.
    pub fn digest(&self) -> Option<&str> {
        self.get("digest")
    }

    /// Proxmox ends it with a newline that nobody wrote.
    pub fn description(&self) -> Option<&str> {
        self.get("description").map(|text| text.strip_suffix('\n').unwrap_or(text))
    }

    /// In lower case and without repetition, as Proxmox keeps them.
    pub fn tags(&self) -> Vec<&str> {
        let tags = self.get("tags").unwrap_or_default();
        tags.split([';', ',', ' ']).filter(|tag| !tag.is_empty()).collect()
    }
}

/// Keys with scalar values; others (`lxc`, pairs of raw lines) are joined by newlines.
pub(super) fn scalars(data: Value) -> Result<BTreeMap<String, String>, Unreadable> {
    let Value::Object(fields) = data else {
        return Err(Unreadable("an object is wanted".to_owned()));
    };
    Ok(fields
        .into_iter()
        .map(|(key, value)| {
            let text = lenient::text_of(&value).unwrap_or_else(|| value.to_string());
            (key, text)
        })
        .collect())
}

impl Endpoint for ReadConfig {
    type Answer = GuestConfig;

    fn call(&self) -> Call {
        Call::new(Method::Get, self.guest.path("/config")).flag("current", self.current)
    }

    fn read(data: Value) -> Result<GuestConfig, Unreadable> {
        scalars(data).map(GuestConfig)
    }
}

/// Changes a configuration, at once (a running guest's perhaps at its next start). One volume a call: if another key of
/// the same call fails, the volume that was made for it stays.
///
/// An error may come after the change was written: see `kept` of [`Class::Rejected`].
///
/// [`Class::Rejected`]: crate::backend::proxmox::client::verdict::Class::Rejected
#[derive(Clone, PartialEq, Eq)]
pub struct ChangeConfig {
    pub guest: Guest,
    pub set: Vec<(String, String)>,
    pub delete: Vec<String>,
    pub digest: Option<String>,
}

impl std::fmt::Debug for ChangeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.call().fmt(f)
    }
}

impl Endpoint for ChangeConfig {
    type Answer = ();

    fn call(&self) -> Call {
        let mut call = Call::new(Method::Put, self.guest.path("/config"));
        for (key, value) in &self.set {
            call = call.with(key, value);
        }
        let delete = (!self.delete.is_empty()).then(|| self.delete.join(","));
        call.maybe("delete", delete).maybe("digest", self.digest.as_deref())
    }

    fn read(_data: Value) -> Result<(), Unreadable> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_read_by_meaning() {
        let config = ReadConfig::read(json!({
            "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:F3:4D:7B", "net1": "name=eth1,bridge=vmbr1",
            "nets": "x", "description": "unit 104\n", "tags": "a;b", "onboot": 0, "protection": "1",
            "memory": "768", "cores": 2, "lxc": [["lxc.mount.entry", "x"]], "digest": "ab", "env": "A=hunter2",
        }))
        .unwrap();
        assert_eq!(config.family("net").map(|(number, _)| number).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(config.properties("net0").unwrap().mac(), Some("BC:24:11:F3:4D:7B"));
        assert_eq!((config.description(), config.tags()), (Some("unit 104"), vec!["a", "b"]));
        assert_eq!(
            (config.flag("onboot"), config.flag("protection"), config.flag("x")),
            (false, true, false)
        );
        assert_eq!((config.number("memory"), config.number("cores")), (Some(768), Some(2)));
        assert_eq!((config.digest(), config.lock()), (Some("ab"), None));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(ReadConfig::read(json!(null)).is_err());
    }
}
