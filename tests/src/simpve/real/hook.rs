//! What Proxmox VE's start hook writes into a container, at each start, whatever is there.
//!
//! Source: PVE/LXC/Setup/Base.pm and Debian.pm of pve-container 6.1, and what a start on 9.2 was seen to change. Left out:
//! gettys and /fastboot.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

const BEGIN: &str = "# --- BEGIN PVE ---\n";
const END: &str = "# --- END PVE ---\n";

/// ifupdown's, whatever the image has: a golden that uses networkd brings its own.
const INTERFACES: &str = "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n\n";
const PRESET: &str = "# Added by PVE at container setup\n\
    disable systemd-networkd.service\ndisable systemd-networkd-wait-online.service\n";

/// Writes it. `resolvers` are the node's own, for a container whose configuration names none.
///
/// # Errors
/// The root has no `/etc`, or a file cannot be written.
pub(super) fn apply(root: &Path, hostname: &str, wired: bool, resolvers: &str) -> Result<()> {
    let etc = root.join("etc");
    ensure!(etc.is_dir() && !etc.is_symlink(), "{} is no root file system: it has no etc", root.display());
    let read = |name: &str| fs::read_to_string(etc.join(name)).unwrap_or_default();
    put(&etc.join("hostname"), &format!("{}\n", first_label(hostname)))?;
    put(&etc.join("hosts"), &hosts(&read("hosts"), hostname))?;
    put(&etc.join("resolv.conf"), &with_section(&read("resolv.conf"), resolvers))?;
    if wired {
        put(&etc.join("network/interfaces"), INTERFACES)?;
    }
    put(&etc.join("systemd/system-preset/00-pve.preset"), PRESET)
}

fn first_label(hostname: &str) -> &str {
    hostname.split('.').next().unwrap_or_default()
}

fn hosts(present: &str, hostname: &str) -> String {
    let own = without_section(present);
    let has = |address: &str| own.lines().any(|line| line.split_whitespace().next() == Some(address));
    let mut section = String::new();
    for address in ["127.0.0.1", "::1"] {
        if !has(address) {
            section += &format!("{address} localhost.localnet localhost\n");
        }
    }
    let short = first_label(hostname);
    let names = if short == hostname { hostname.to_owned() } else { format!("{hostname} {short}") };
    section += &format!("127.0.1.1 {names}\n");
    with_section(present, &section)
}

/// Nameservers and search domains of this machine.
pub(super) fn resolvers(conf: &str) -> String {
    let kept = conf.lines().filter(|line| line.starts_with("nameserver ") || line.starts_with("search "));
    kept.map(|line| format!("{line}\n")).collect()
}

/// The section takes the place of the one that is there, or comes last.
fn with_section(text: &str, section: &str) -> String {
    let section = format!("{BEGIN}{section}{END}");
    match parts(text) {
        Some((before, after)) => format!("{before}{section}{after}"),
        None if text.is_empty() || text.ends_with('\n') => format!("{text}{section}"),
        None => format!("{text}\n{section}"),
    }
}

fn without_section(text: &str) -> String {
    parts(text).map_or_else(|| text.to_owned(), |(before, after)| format!("{before}{after}"))
}

/// What stands before and after the section.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some((before, after))
}

/// A new file: a link in the root is the guest's, and might lead out of it.
fn put(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let folder = path.parent().with_context(failed)?;
    fs::create_dir_all(folder).with_context(failed)?;
    let _ = fs::remove_file(path);
    fs::write(path, text).with_context(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_under_another_name_changes_only_the_section() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        assert!(apply(root.path(), "a", true, "").unwrap_err().to_string().contains("no etc"));
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("hosts"), "127.0.0.1 localhost\n::1 ip6-localhost\n# mine").unwrap();
        apply(root.path(), "web-01", true, "nameserver 10.0.0.1\n").unwrap();
        apply(root.path(), "web-02.example.org", false, "nameserver 10.0.0.2\n").unwrap();
        let read = |name: &str| fs::read_to_string(etc.join(name)).unwrap();
        assert_eq!(read("hostname"), "web-02\n");
        assert_eq!(
            read("hosts"),
            "127.0.0.1 localhost\n::1 ip6-localhost\n# mine\n\
             # --- BEGIN PVE ---\n127.0.1.1 web-02.example.org web-02\n# --- END PVE ---\n"
        );
        assert_eq!(read("resolv.conf"), "# --- BEGIN PVE ---\nnameserver 10.0.0.2\n# --- END PVE ---\n");
        assert!(read("network/interfaces").contains("iface eth0 inet dhcp"));
    }

    #[test]
    fn an_image_without_hosts_gets_its_loopback_names() {
        let section =
            "127.0.0.1 localhost.localnet localhost\n::1 localhost.localnet localhost\n127.0.1.1 x\n";
        assert_eq!(hosts("", "x"), format!("{BEGIN}{section}{END}"));
        assert_eq!(hosts(&hosts("", "x"), "x"), hosts("", "x"));
        assert_eq!(
            resolvers("# by hand\nnameserver 1.1.1.1\noptions rotate\nsearch a b\n"),
            "nameserver 1.1.1.1\nsearch a b\n"
        );
    }
}
