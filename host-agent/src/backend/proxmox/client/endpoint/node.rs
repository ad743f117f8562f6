//! One node: its clock, its bridges, and what an archive says of itself.

use serde::Deserialize;
use serde_json::Value;

use super::{Endpoint, Unreadable, parse};
use crate::backend::proxmox::client::call::{Call, Method, segment};
use crate::backend::proxmox::client::lenient;

/// Wants Sys.Audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTime {
    pub node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeTime {
    /// Seconds since 1970.
    #[serde(deserialize_with = "lenient::needed_number")]
    pub time: u64,
}

impl Endpoint for ReadTime {
    type Answer = NodeTime;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/nodes/{}/time", segment(&self.node)))
    }

    fn read(data: Value) -> Result<NodeTime, Unreadable> {
        parse(data)
    }
}

/// Bridges of all kinds that the token may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListBridges {
    pub node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BridgeLine {
    pub iface: String,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub active: bool,
    #[serde(default, deserialize_with = "lenient::text")]
    pub cidr: Option<String>,
}

impl Endpoint for ListBridges {
    type Answer = Vec<BridgeLine>;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/nodes/{}/network", segment(&self.node))).with("type", "any_bridge")
    }

    fn read(data: Value) -> Result<Vec<BridgeLine>, Unreadable> {
        parse(data)
    }
}

/// The configuration that lies in an archive, without restoring it; proves that the token may read the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadArchiveConfig {
    pub node: String,
    /// `local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst`
    pub volume: String,
}

/// As it is written: `key: value` lines, `#` comments first, snapshots after `[name]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig(pub String);

impl ArchiveConfig {
    /// Values outside of snapshots; keys may come again (`lxc.mount.entry`).
    pub fn values(&self) -> Vec<(&str, &str)> {
        self.0
            .lines()
            .take_while(|line| !is_section(line))
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(": ").or_else(|| line.split_once('=')))
            .map(|(key, value)| (key.trim(), value.trim()))
            .collect()
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.values().into_iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

/// Where values of a snapshot, or such that are pending, begin. Any other line with a bracket is passed over by Proxmox, and what
/// follows it counts. Source: parse_pct_config and parse_vm_config.
pub(crate) fn is_section(line: &str) -> bool {
    let name = line.trim_ascii_end().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    name.is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':'))
    })
}

impl Endpoint for ReadArchiveConfig {
    type Answer = ArchiveConfig;

    fn call(&self) -> Call {
        let path = format!("/nodes/{}/vzdump/extractconfig", segment(&self.node));
        Call::new(Method::Get, path).with("volume", &self.volume)
    }

    fn read(data: Value) -> Result<ArchiveConfig, Unreadable> {
        parse(data).map(ArchiveConfig)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_proxmox_takes_for_a_section_ends_the_values() {
        for (line, ends) in [
            ("[snap]", true),
            ("[a-1_B]  ", true),
            ("[pve:pending]", true),
            ("[PENDING]", true),
            ("[special:fleecing]", true),
            ("[", false),
            ("[: x", false),
            ("[]", false),
            ("[1]", false),
            ("[a b]", false),
            ("[snap] x", false),
            (" [snap]", false),
        ] {
            let config = ArchiveConfig(format!("memory: 1\n{line}\nenv: A=b\n"));
            assert_eq!(config.get("env").is_none(), ends, "{line:?}");
            assert_eq!(config.get("memory"), Some("1"));
        }
    }
}
