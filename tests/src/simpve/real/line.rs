//! The command line that boots a container.

use std::ffi::OsString;
use std::path::Path;

use super::super::guests::Boot;
use super::kernel::words;

/// Shows cgroup2 alone, as systemd-nspawn wants it, and starts again as long as the guest reboots (133 says so).
const KEEP: &str = r#"umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit
while :; do "$@"; status=$?; [ "$status" -eq 133 ] || exit "$status"; done"#;

/// Where the parts of one guest are.
#[derive(Debug)]
pub(super) struct Places<'a> {
    /// Unique on this machine.
    pub(super) machine: &'a str,
    pub(super) root: &'a Path,
    pub(super) namespace: &'a str,
    /// A folder for each mount.
    pub(super) volumes: &'a Path,
}

pub(super) fn nspawn(boot: &Boot, hostname: &str, places: &Places<'_>) -> Vec<OsString> {
    let mut line = words(["unshare", "--mount", "--propagation", "private", "sh", "-c", KEEP, "keep"]);
    line.extend(words([
        // As in a container of Proxmox; dhcpcd, for one, writes its card's settings there.
        "env",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        // Nothing but this line decides, and nothing of this machine is copied in.
        "--settings=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--capability=CAP_NET_ADMIN",
    ]));
    let mut option = |name: &str, value: OsString| {
        let mut word = OsString::from(name);
        word.push(value);
        line.push(word);
    };
    option("--machine=", places.machine.into());
    option("--hostname=", hostname.into());
    option("--directory=", places.root.into());
    option("--network-namespace-path=", Path::new("/run/netns").join(places.namespace).into());
    // Guests know their manager by this name.
    option("--setenv=", "container=lxc".into());
    for (name, value) in &boot.env {
        // systemd-nspawn would set its own, of the root's machine-id; a valid one there outdoes `--uuid=`.
        if name == "container_uuid" && is_uuid(value) {
            option("--uuid=", value.into());
        }
        option("--setenv=", format!("{name}={value}").into());
    }
    for (volume, path) in &boot.mounts {
        let source = places.volumes.join(file_name(volume));
        let source = escape_colons(&source.to_string_lossy());
        option("--bind=", format!("{source}:{}", escape_colons(path)).into());
    }
    line.push("--boot".into());
    line
}

/// A volume's name as that of a folder.
pub(super) fn file_name(volume: &str) -> String {
    volume.replace(['/', ':'], "_")
}

fn is_uuid(text: &str) -> bool {
    let digits = text.chars().filter(|c| *c != '-');
    digits.clone().count() == 32
        && digits.clone().all(|c| c.is_ascii_hexdigit())
        && digits.clone().any(|c| c != '0')
}

/// `--bind=` parts its paths at colons; a backslash keeps one.
fn escape_colons(path: &str) -> String {
    path.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::super::super::guest::Kind;
    use super::*;

    #[test]
    fn the_configuration_reaches_the_command_line() {
        let uuid = "5a3c7e10-1b2d-4c3e-8f90-a1b2c3d4e5f6";
        let boot = Boot {
            id: 101,
            kind: Kind::Lxc,
            archive: None,
            hostname: "web-01".into(),
            mac: None,
            env: vec![("container_uuid".into(), uuid.into()), ("X".into(), "a b=c".into())],
            uuid: None,
            serial: None,
            mounts: vec![("local:101/vm-101-disk-1.raw".into(), "/mnt/a:b".into())],
        };
        let places = Places {
            machine: "flpve-0-101",
            root: Path::new("/g/101/root"),
            namespace: "flpve-0-101",
            volumes: Path::new("/g/101/volumes"),
        };
        let line = nspawn(&boot, "web-01", &places);
        for wanted in [
            "--hostname=web-01",
            "--directory=/g/101/root",
            "--network-namespace-path=/run/netns/flpve-0-101",
            "--uuid=5a3c7e10-1b2d-4c3e-8f90-a1b2c3d4e5f6",
            "--setenv=X=a b=c",
            "--bind=/g/101/volumes/local_101_vm-101-disk-1.raw:/mnt/a\\:b",
        ] {
            assert!(line.iter().any(|word| word == wanted), "{wanted} in {line:?}");
        }
        assert!(is_uuid(uuid) && !is_uuid("x") && !is_uuid("00000000-0000-0000-0000-000000000000"));
    }
}
