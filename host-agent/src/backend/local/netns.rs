//! Network namespaces and links, by `ip`: what there is, and how it is made.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use firstlight_shared::ids::MacAddress;
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use serde::Deserialize;

use super::exec;
use super::names::{NETNS_FOLDER, netns_file};
use super::stamp::file_fault;
use crate::outcome::Fault;

/// A link as `ip -json address show` tells it, as far as we look. Names and addresses in a guest's namespace are the
/// guest's word.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    pub ifname: String,
    #[serde(default)]
    pub address: Option<String>,
    #[serde(default)]
    pub master: Option<String>,
    #[serde(default)]
    pub flags: Vec<String>,
    #[serde(default)]
    pub addr_info: Vec<LinkAddress>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct LinkAddress {
    #[serde(default)]
    pub local: Option<IpAddr>,
    #[serde(default)]
    pub scope: String,
}

impl Link {
    pub(super) fn mac(&self) -> Option<MacAddress> {
        self.address.as_ref()?.parse().ok()
    }

    pub(super) fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "UP")
    }

    /// Addresses that others can reach.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.addr_info.iter().filter(|info| info.scope == "global").filter_map(|info| info.local).collect()
    }
}

/// Whether the namespace is there, whole. A crash in the middle of `ip netns add` leaves a plain file.
pub(super) fn lives(namespace: &str) -> bool {
    statfs(netns_file(namespace).as_path()).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC)
}

/// Names of all namespaces (and half-made ones) that begin so.
pub(super) fn with_prefix(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(NETNS_FOLDER).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// Makes the namespace if it is not there.
pub(super) async fn ensure(namespace: &str) -> Result<(), Fault> {
    if lives(namespace) {
        return Ok(());
    }
    delete(namespace).await?;
    exec::run_text("ip", &["netns", "add", namespace]).await?;
    Ok(())
}

/// Ensures that the namespace, or what is left of one, is gone.
pub(super) async fn delete(namespace: &str) -> Result<(), Fault> {
    if lives(namespace) {
        exec::run_text("ip", &["netns", "delete", namespace]).await?;
    }
    let file = netns_file(namespace);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(file_fault("remove a namespace", &file, &error))
        }
        _ => Ok(()),
    }
}

/// All links of a namespace.
pub(super) async fn links(namespace: &str) -> Result<Vec<Link>, Fault> {
    let shown = exec::run_text("ip", &["-n", namespace, "-json", "address", "show"]).await?;
    parse_links(&shown)
}

fn parse_links(json: &[u8]) -> Result<Vec<Link>, Fault> {
    serde_json::from_slice(json).map_err(|error| {
        Fault::new("unexpected-output", format!("`ip -json address show` gave no list of links: {error}"))
    })
}

/// Runs `ip` in a namespace; `command` is split at spaces.
pub(super) async fn ip(namespace: &str, command: &str) -> Result<(), Fault> {
    let mut arguments = vec!["-n", namespace];
    arguments.extend(command.split(' '));
    exec::run_text("ip", &arguments).await?;
    Ok(())
}

/// Identity of a live namespace: device and inode.
pub(super) fn identity(namespace: &str) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(Path::new(NETNS_FOLDER).join(namespace)).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_tolerantly() {
        let json = br#"[{"ifname":"lo","flags":["LOOPBACK"],"address":"00:00:00:00:00:00","addr_info":[]},
            {"ifname":"eth0","link_index":7,"flags":["BROADCAST","UP"],"address":"02:f1:57:00:00:01","master":"flbr0",
             "addr_info":[{"family":"inet","local":"10.77.0.10","prefixlen":24,"scope":"global"},
                          {"family":"inet6","local":"fe80::1","scope":"link"}]}, {}]"#;
        let links = parse_links(json).unwrap();
        assert_eq!(links.len(), 3);
        assert!(links[1].is_up() && !links[0].is_up());
        assert_eq!(links[1].addresses(), ["10.77.0.10".parse::<IpAddr>().unwrap()]);
        assert_eq!(links[1].mac(), "02:f1:57:00:00:01".parse().ok());
        assert_eq!(parse_links(b"oops").unwrap_err().code, "unexpected-output");
    }

    #[test]
    fn a_plain_file_is_no_namespace() {
        assert!(!lives("fl-there-is-no-such"));
    }
}
