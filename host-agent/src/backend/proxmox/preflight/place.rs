//! Whether the node has what the plan wants of it.

use std::collections::BTreeSet;

use super::super::archive::{Archive, storage_of};
use super::super::client::endpoint::guest::Kind;
use super::super::client::endpoint::node::BridgeLine;
use super::super::client::endpoint::storage::StorageState;
use super::super::client::properties::Properties;
use super::carried::shown;
use super::wanted::size;
use crate::backend::GuestPlan;
use crate::outcome::Fault;

/// Every storage that the plan puts a volume on. `said` is what plan or defaults name; without it each volume goes to the
/// storage that it came from.
pub(super) fn check_storages(
    plan: &GuestPlan,
    kind: Kind,
    said: Option<&str>,
    archive: &Archive,
    node: &str,
    storages: &[StorageState],
) -> Result<(), Fault> {
    let mounts =
        plan.mounts.iter().filter_map(|mount| mount.storage.clone().map(|name| ("mounts.storage", name)));
    let roots = match said {
        Some(said) => BTreeSet::from([said.to_owned()]),
        None => origins(kind, archive),
    };
    for (field, storage) in roots.into_iter().map(|name| ("storage", name)).chain(mounts) {
        check_storage(field, &storage, kind, node, storages)?;
    }
    let total = |name: &str| storages.iter().find(|storage| storage.storage.as_deref() == Some(name))?.total;
    let sized =
        plan.mounts.iter().map(|mount| ("mounts.size", mount.storage.as_deref().or(said), mount.size_bytes));
    for (of, storage, bytes) in std::iter::once(("disk", said, plan.size.disk_bytes)).chain(sized) {
        let (Some(storage), Some(bytes)) = (storage, bytes) else { continue };
        if let Some(total) = total(storage).filter(|total| bytes > *total) {
            let (bytes, total) = (shown(bytes), shown(total));
            return Err(size(
                of,
                format_args!("{bytes} is more than all of `{storage}` on {node} has ({total})"),
            ));
        }
    }
    Ok(())
}

/// The storages that the archive's volumes came from.
fn origins(kind: Kind, archive: &Archive) -> BTreeSet<String> {
    let volumes: Vec<Properties> = match kind {
        Kind::Lxc => {
            archive.rootfs().into_iter().chain(archive.mounts().into_iter().map(|(_, mount)| mount)).collect()
        }
        Kind::Qemu => archive.disks().into_iter().map(|disk| disk.properties).collect(),
    };
    volumes.iter().filter_map(storage_of).map(str::to_owned).collect()
}

/// How large it is.
fn check_storage(
    field: &str,
    wanted: &str,
    kind: Kind,
    node: &str,
    storages: &[StorageState],
) -> Result<(), Fault> {
    let content = if kind == Kind::Lxc { "rootdir" } else { "images" };
    let fault = |problem: String| Fault::new("no-storage", format!("{field}: {problem}"));
    let found = storages.iter().find(|storage| storage.storage.as_deref() == Some(wanted));
    let Some(storage) = found else {
        let fitting = storages.iter().filter(|storage| storage.active && storage.takes(content));
        let names: Vec<_> = fitting.filter_map(|storage| storage.storage.as_deref()).collect();
        let hint = match names.as_slice() {
            [] => format!("give the token and its user Datastore.AllocateSpace on /storage/{wanted}"),
            names => format!("those that take `{content}` are {}", names.join(", ")),
        };
        let problem = format!("{node} has no `{wanted}`, or the token may not see it");
        return Err(fault(problem).with_hint(hint));
    };
    if !storage.enabled {
        return Err(fault(format!("`{wanted}` is disabled, or not for {node}"))
            .with_hint(format!("`pvesm status` on {node} shows the storages that it has")));
    }
    if !storage.takes(content) {
        let hint = match storage.content.as_slice() {
            [only] if only == "backup" => "it is for backups: choose another storage for guests".to_owned(),
            kept => {
                format!(
                    "`pvesm set {wanted} --content {},{content}` allows it, if it is meant for guests",
                    kept.join(",")
                )
            }
        };
        return Err(fault(format!("`{wanted}` takes no `{content}`")).with_hint(hint));
    }
    if !storage.active {
        return Err(fault(format!("`{wanted}` on {node} does not answer"))
            .with_hint(format!("`pvesm status --storage {wanted}` on {node} says more")));
    }
    Ok(())
}

/// The bridges that the guest's interfaces will be on.
pub(super) fn bridges(plan: &GuestPlan, archive: &Archive, usual: &str) -> BTreeSet<String> {
    let nets = archive.nets();
    let archived = |number: usize| {
        let same = nets.iter().find(|(known, _)| usize::try_from(*known) == Ok(number));
        same.and_then(|(_, net)| net.get("bridge")).map(str::to_owned)
    };
    if plan.nics.is_empty() {
        return nets.iter().filter_map(|(_, net)| net.get("bridge")).map(str::to_owned).collect();
    }
    let of_nic = |(number, nic): (usize, &crate::backend::Nic)| {
        nic.bridge.clone().or_else(|| archived(number)).unwrap_or_else(|| usual.to_owned())
    };
    plan.nics.iter().enumerate().map(of_nic).collect()
}

/// A token is shown the bridges that it may look at or use; none at all says nothing.
pub(super) fn check_bridges(
    wanted: &BTreeSet<String>,
    node: &str,
    listed: &[BridgeLine],
) -> Result<(), Fault> {
    if listed.is_empty() {
        return Ok(());
    }
    match wanted.iter().find(|wanted| !listed.iter().any(|line| line.iface == **wanted)) {
        Some(wanted) => {
            let names: Vec<_> = listed.iter().map(|line| line.iface.as_str()).collect();
            Err(Fault::new(
                "no-bridge",
                format!("nics.bridge: {node} has no `{wanted}`, or the token has no SDN.Use on it"),
            )
            .with_hint(format!("those that it may use are {}", names.join(", "))))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {

    use super::super::super::client::endpoint::node::ArchiveConfig;
    use super::*;
    use crate::backend::testing::plan;
    use crate::backend::{Mount, Nic, Size};

    fn storage(name: &str, content: &str, active: bool) -> StorageState {
        StorageState {
            storage: Some(name.to_owned()),
            driver: "dir".to_owned(),
            content: content.split(',').map(str::to_owned).collect(),
            active,
            enabled: true,
            shared: false,
            avail: None,
            total: Some(100 << 30),
        }
    }

    #[test]
    fn volumes_go_where_they_are_taken() {
        let away = StorageState { enabled: false, ..storage("away", "images,rootdir", false) };
        let storages = [
            away,
            storage("local", "backup,rootdir", true),
            storage("thin", "images,rootdir", true),
            storage("vault", "backup", true),
            storage("off", "images,rootdir", false),
        ];
        let config = "rootfs: local:a,size=1G\nmp0: thin:b,mp=/b\nscsi0: thin:c,size=1G\nscsi1: gone:d\n";
        let archive = Archive::new("local:backup/x", ArchiveConfig(config.to_owned()));
        for (kind, target, mount, disk, said) in [
            (Kind::Lxc, Some("local"), None, None, ""),
            (Kind::Lxc, None, None, None, ""),
            (Kind::Qemu, None, None, None, "storage: pve1 has no `gone`"),
            (Kind::Qemu, Some("local"), None, None, "storage: `local` takes no `images`"),
            (Kind::Qemu, Some("thin"), None, None, ""),
            (Kind::Lxc, Some("vault"), None, None, "storage: `vault` takes no `rootdir`"),
            (Kind::Lxc, Some("zfs"), None, None, "storage: pve1 has no `zfs`"),
            (Kind::Lxc, Some("away"), None, None, "storage: `away` is disabled, or not for pve1"),
            (Kind::Lxc, Some("off"), None, None, "storage: `off` on pve1 does not answer"),
            (Kind::Lxc, Some("thin"), Some("local"), None, ""),
            (Kind::Lxc, Some("thin"), Some("vault"), None, "mounts.storage: `vault`"),
            (Kind::Lxc, Some("thin"), None, Some(100 << 30), ""),
            (Kind::Lxc, Some("thin"), None, Some(101 << 30), "disk: 101G is more than all of `thin`"),
        ] {
            let mounts = mount.map(|storage: &str| Mount {
                path: "/srv".into(),
                size_bytes: Some(1),
                storage: Some(storage.to_owned()),
                backup: None,
            });
            let size = Size { disk_bytes: disk, ..Size::default() };
            let plan = GuestPlan { mounts: mounts.into_iter().collect(), size, ..plan() };
            let found = check_storages(&plan, kind, target, &archive, "pve1", &storages).err();
            let text = found.map(|fault| fault.message).unwrap_or_default();
            assert!(
                text.starts_with(said) && said.is_empty() == text.is_empty(),
                "{target:?} {mount:?}: {text}"
            );
        }
    }

    #[test]
    fn bridges_have_to_be_there_where_any_are_shown() {
        let archive = Archive::new(
            "local:backup/x",
            ArchiveConfig("net0: name=eth0,bridge=vmbr1\nnet1: name=eth1,bridge=vmbr2\n".to_owned()),
        );
        let nic = |bridge: Option<&str>| Nic { bridge: bridge.map(str::to_owned), ..Nic::default() };
        let line = |iface: &str| BridgeLine { iface: iface.to_owned(), active: true, cidr: None };
        for (nics, wanted, fits) in [
            (vec![], vec!["vmbr1", "vmbr2"], true),
            (vec![nic(None)], vec!["vmbr1"], true),
            (vec![nic(Some("vmbr9")), nic(None), nic(None)], vec!["vmbr0", "vmbr2", "vmbr9"], false),
            (vec![nic(None), nic(Some("vmbr1"))], vec!["vmbr1"], true),
        ] {
            let plan = GuestPlan { nics, ..plan() };
            let found = bridges(&plan, &archive, "vmbr0");
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted);
            let listed = [line("vmbr0"), line("vmbr1"), line("vmbr2")];
            assert_eq!(check_bridges(&found, "pve1", &listed).is_ok(), fits);
            assert_eq!(check_bridges(&found, "pve1", &[]), Ok(()), "none are shown");
        }
    }
}
