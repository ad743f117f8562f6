//! A container's backup as Proxmox VE writes it: its configuration first, then the root. A restore makes guests of it.
//!
//! Not a template (`vztmpl`): with one, Proxmox makes host keys and removes the machine-id itself, and what the container
//! needs (features above all, which only root may set) is lost.
//!
//! Source: pve-container, src/PVE/VZDump/LXC.pm, src/PVE/LXC/Create.pm; pve-storage, src/PVE/Storage.pm (archive_info).

use super::recipe::{Architecture, Distribution, Docker, Recipe};
use crate::clock::calendar;

/// In the archive; the only place where a restore looks.
pub(super) const CONFIGURATION: &str = "etc/vzdump/pct.conf";

/// `vzdump-lxc-9000-2026_09_12-07_55_41.tar.zst`: storages list no archive of another name. The time is the golden's date.
pub(super) fn name(recipe: &Recipe, epoch: u64) -> String {
    let [year, month, day, hour, minute, second] = calendar(epoch);
    let id = recipe.proxmox.id;
    format!("vzdump-lxc-{id}-{year:04}_{month:02}_{day:02}-{hour:02}_{minute:02}_{second:02}.tar.zst")
}

/// In the order of Proxmox: sorted by key. No MAC: whoever restores it gives one.
pub(super) fn configuration(recipe: &Recipe) -> String {
    let proxmox = &recipe.proxmox;
    let id = proxmox.id;
    let mut lines = vec![
        format!("arch: {}", architecture(recipe.architecture)),
        format!("features: {}", features(recipe)),
        format!("hostname: {}", recipe.name),
        format!("memory: {}", proxmox.memory),
        format!("ostype: {}", ostype(recipe.distribution)),
        // Where it was is not where it comes to; its size is taken over.
        format!("rootfs: local:{id}/vm-{id}-disk-0.raw,size={}", proxmox.disk),
        format!("swap: {}", proxmox.swap),
    ];
    lines.extend(proxmox.cores.map(|cores| format!("cores: {cores}")));
    if !proxmox.bridge.is_empty() {
        lines.push(format!("net0: name=eth0,bridge={},ip=dhcp,type=veth", proxmox.bridge));
    }
    if proxmox.unprivileged {
        lines.push("unprivileged: 1".to_owned());
    }
    lines.retain(|line| line != "features: ");
    lines.sort();
    lines.join("\n") + "\n"
}

const fn architecture(architecture: Architecture) -> &'static str {
    architecture.as_str()
}

const fn ostype(distribution: Distribution) -> &'static str {
    distribution.as_str()
}

/// Services of systemd isolate themselves (nesting); Docker in an unprivileged container needs a keyring of its own.
fn features(recipe: &Recipe) -> String {
    if let Some(features) = &recipe.proxmox.features {
        let word = |(name, value): (&String, &toml::Value)| match value {
            toml::Value::Boolean(set) => format!("{name}={}", u8::from(*set)),
            toml::Value::Integer(number) => format!("{name}={number}"),
            other => format!("{name}={}", other.as_str().unwrap_or_default()),
        };
        return features.iter().map(word).collect::<Vec<_>>().join(",");
    }
    match recipe.docker {
        Docker::No => "nesting=1".to_owned(),
        Docker::Debian | Docker::Upstream => "nesting=1,keyctl=1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(more: &str) -> Recipe {
        Recipe::parse(&format!("name = \"debian-13\"\nsuite = \"trixie\"\n{more}\n")).unwrap()
    }

    #[test]
    fn a_backup_says_what_its_container_needs() {
        assert_eq!(
            configuration(&recipe("docker = \"docker.io\"\n[proxmox]\ncores = 2\ndisk = \"8G\"")),
            "arch: amd64\ncores: 2\nfeatures: nesting=1,keyctl=1\nhostname: debian-13\nmemory: 512\n\
             net0: name=eth0,bridge=vmbr0,ip=dhcp,type=veth\nostype: debian\n\
             rootfs: local:9000/vm-9000-disk-0.raw,size=8G\nswap: 0\nunprivileged: 1\n"
        );
        let text = configuration(&recipe(
            "architecture = \"arm64\"\ndistribution = \"ubuntu\"\n[proxmox]\nbridge = \"\"\nunprivileged = false\nfeatures = { fuse = true, nesting = 1, mount = \"nfs\" }",
        ));
        assert_eq!(
            text,
            "arch: arm64\nfeatures: fuse=1,mount=nfs,nesting=1\nhostname: debian-13\nmemory: 512\nostype: ubuntu\n\
             rootfs: local:9000/vm-9000-disk-0.raw,size=4G\nswap: 0\n"
        );
        assert!(!configuration(&recipe("proxmox.features = {}")).contains("features"));
    }

    #[test]
    fn an_archive_has_the_name_that_storages_list() {
        let named = recipe("[proxmox]\nid = 9100");
        assert_eq!(name(&named, 1_789_199_741), "vzdump-lxc-9100-2026_09_12-07_55_41.tar.zst");
        for (epoch, expected) in [
            (0, [1970, 1, 1, 0, 0, 0]),
            (951_782_399, [2000, 2, 28, 23, 59, 59]),
            (951_782_400, [2000, 2, 29, 0, 0, 0]),
            (1_709_251_199, [2024, 2, 29, 23, 59, 59]),
            (4_107_542_400, [2100, 3, 1, 0, 0, 0]),
        ] {
            assert_eq!(calendar(epoch), expected, "{epoch}");
        }
    }
}
