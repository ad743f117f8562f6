//! What a plan wants, judged by itself, and over networks.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Component, Path};

use firstlight_shared::text::escape;
use firstlight_shared::wire::Intent;

use crate::backend::incus::golden::is_export;
use crate::backend::incus::wanted::{Base, nic_names};
use crate::backend::{GuestPlan, Kind, Mount, Nic};
use crate::outcome::Fault;

const MIB: u64 = 1 << 20;
const LEAST_MEMORY: u64 = 16 * MIB;

/// Which field it is, and what is wrong with it.
pub(super) fn field(name: &str, problem: impl std::fmt::Display) -> Fault {
    Fault::new("unsupported-field", format!("{name}: {problem}"))
}

pub(super) fn check(plan: &GuestPlan) -> Result<(), Fault> {
    if plan.place.vmid.is_some() {
        return Err(field("vmid", "instances have no numbers on Incus"));
    }
    if plan.place.pool.is_some() {
        return Err(field(
            "pool",
            "that is Proxmox's word for a group of guests: `project` or `storage` is meant",
        ));
    }
    if plan.name.as_str().starts_with("firstlight-") {
        return Err(field(
            "name",
            "names that begin with `firstlight-` are those of instances that are being imported",
        ));
    }
    if let Some(tag) = plan.tags.iter().find(|tag| tag.contains([',', '\n'])) {
        return Err(field("tags", format_args!("`{}` has a comma in it", escape(tag, 60))));
    }
    check_secrets(plan)?;
    check_sizes(plan)?;
    if plan.intent == Intent::Restore {
        return check_restore(plan);
    }
    plan.nics.iter().enumerate().try_for_each(|(number, nic)| check_nic(number, nic))?;
    check_mounts(&plan.mounts)
}

/// The step itself refuses the same, but only once the instance is made.
fn check_secrets(plan: &GuestPlan) -> Result<(), Fault> {
    let Some(first) = plan.secrets.first() else { return Ok(()) };
    let shown = |path: &Path| escape(&path.to_string_lossy(), 120);
    if plan.kind == Some(Kind::Vm) {
        let message =
            format!("secrets: {} cannot be written into a machine before it runs", shown(&first.path));
        return Err(Fault::new("no-safe-channel", message)
            .with_hint("a container takes it; or encrypt for the guest's own host key once it is ready"));
    }
    let on_volume = |path: &Path| plan.mounts.iter().any(|mount| path.starts_with(&mount.path));
    match plan.secrets.iter().find(|secret| on_volume(&secret.path)) {
        None => Ok(()),
        Some(secret) => Err(Fault::new(
            "secret-hidden",
            format!("secrets: {} lies on a volume, which is mounted over it", shown(&secret.path)),
        )
        .with_hint("choose a place on the guest's root disk")),
    }
}

fn check_restore(plan: &GuestPlan) -> Result<(), Fault> {
    if !is_export(plan) {
        return Err(field(
            "intent",
            "a guest comes back from its own export: golden = \"/PATH.tar.gz\" is wanted",
        ));
    }
    for (name, given) in [("nics", !plan.nics.is_empty()), ("mounts", !plan.mounts.is_empty())] {
        if given {
            return Err(field(name, "a guest that comes back has its own"));
        }
    }
    Ok(())
}

fn check_sizes(plan: &GuestPlan) -> Result<(), Fault> {
    let size = |name: &str, problem: String| Fault::new("unsupported-size", format!("{name}: {problem}"));
    if plan.size.cores == Some(0) {
        return Err(size("cores", "at least one is wanted".to_owned()));
    }
    if let Some(bytes) = plan.size.memory_bytes.filter(|bytes| *bytes < LEAST_MEMORY) {
        return Err(size("memory", format!("{bytes} bytes are too few: 16M is the least")));
    }
    if plan.size.disk_bytes == Some(0) {
        return Err(size("disk", "a size is wanted".to_owned()));
    }
    Ok(())
}

fn check_nic(number: usize, nic: &Nic) -> Result<(), Fault> {
    let wrong = |key: &str, problem: &str| Err(field(&format!("nics[{number}].{key}"), problem));
    if nic.gateway.is_some() {
        return wrong("gateway", "Incus hands out what its network has; nothing is written into the guest");
    }
    if nic.firewall.is_some() {
        return wrong("firewall", "that is Proxmox's; Incus has ACLs of networks");
    }
    let address = nic.address.as_deref().filter(|address| *address != "dhcp");
    let host = address.map(|address| address.split('/').next().unwrap_or(address));
    if host.is_some_and(|host| host.parse::<Ipv4Addr>().is_err()) {
        return wrong("address", "`dhcp` or an IPv4 address is wanted");
    }
    Ok(())
}

fn check_mounts(mounts: &[Mount]) -> Result<(), Fault> {
    let wrong = |path: &Path, problem: &str| {
        let shown = escape(&path.display().to_string(), 120);
        Err(Fault::new("unsupported-mount", format!("mounts: `{shown}` {problem}")))
    };
    let mut seen = BTreeSet::new();
    for mount in mounts {
        let path = &mount.path;
        let plain = path.is_absolute()
            && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || path.to_str().is_none() || path == Path::new("/") {
            return wrong(path, "is no absolute path below /");
        }
        if !seen.insert(path) {
            return wrong(path, "is there twice");
        }
        if mount.backup == Some(true) {
            return wrong(path, "cannot be in the guest's backups: Incus exports volumes by themselves");
        }
    }
    Ok(())
}

/// An address is handed out by a network that Incus runs itself.
pub(super) fn check_networks(plan: &GuestPlan, base: &Base, default: Option<&str>) -> Result<(), Fault> {
    let there = nic_names(&base.devices);
    for (number, nic) in plan.nics.iter().enumerate() {
        if nic.address.as_deref().is_none_or(|address| address == "dhcp") {
            continue;
        }
        let managed = match nic.bridge.as_deref().or(default) {
            Some(bridge) => base.managed.iter().any(|managed| managed == bridge),
            None => {
                let model =
                    there.get(number).or_else(|| there.first()).and_then(|name| base.devices.get(*name));
                model.is_some_and(|device| device.contains_key("network"))
            }
        };
        if !managed {
            let problem = "only a network that Incus manages hands out addresses of our choice";
            return Err(field(&format!("nics[{number}].address"), problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::wanted::testing::{base, plan};
    use super::*;

    fn code(keys: Value) -> Option<String> {
        check(&plan(keys)).err().map(|fault| fault.code)
    }

    #[test]
    fn a_secret_goes_onto_a_containers_own_disk() {
        let secrets = json!([{ "path": "/srv/data/key", "source": { "file": "/k" } }]);
        let mounts = json!([{ "path": "/srv/data", "size_bytes": null }]);
        assert_eq!(code(json!({ "secrets": secrets })), None);
        assert_eq!(code(json!({ "secrets": secrets, "mounts": mounts })).as_deref(), Some("secret-hidden"));
        assert_eq!(code(json!({ "secrets": secrets, "kind": "vm" })).as_deref(), Some("no-safe-channel"));
    }

    #[test]
    fn what_incus_does_not_have_is_refused_by_its_name() {
        for keys in [
            json!({ "place": { "vmid": 100 } }),
            json!({ "place": { "pool": "lab" } }),
            json!({ "name": "firstlight-0a" }),
            json!({ "nics": [{ "gateway": "10.0.0.1" }] }),
            json!({ "nics": [{ "firewall": true }] }),
            json!({ "nics": [{ "address": "fd00::5/64" }] }),
            json!({ "intent": "restore" }),
            json!({ "intent": "restore", "golden": "/x.tar", "nics": [{}] }),
        ] {
            assert_eq!(code(keys.clone()).as_deref(), Some("unsupported-field"), "{keys}");
        }
        for keys in [
            json!({}),
            json!({ "intent": "restore", "golden": "/x.tar" }),
            json!({ "nics": [{ "address": "10.0.0.5/24" }, { "address": "dhcp", "vlan": 30 }] }),
            json!({ "mounts": [{ "path": "/srv", "size_bytes": null, "backup": false }] }),
        ] {
            assert_eq!(code(keys.clone()), None, "{keys}");
        }
    }

    #[test]
    fn sizes_and_mounts_that_cannot_be_are_refused() {
        for (size, well) in [
            (json!({ "cores": 0 }), false),
            (json!({ "memory_bytes": 1 << 20 }), false),
            (json!({ "disk_bytes": 0 }), false),
            (json!({ "cores": 1, "memory_bytes": 64 << 20, "disk_bytes": 1 }), true),
        ] {
            assert_eq!(code(json!({ "size": size })).is_none(), well, "{size}");
        }
        for (mounts, well) in [
            (json!([{ "path": "/", "size_bytes": null }]), false),
            (json!([{ "path": "srv", "size_bytes": null }]), false),
            (json!([{ "path": "/srv/../etc", "size_bytes": null }]), false),
            (json!([{ "path": "/srv", "size_bytes": null }, { "path": "/srv", "size_bytes": 5 }]), false),
            (json!([{ "path": "/srv", "size_bytes": null, "backup": true }]), false),
            (json!([{ "path": "/srv", "size_bytes": null }, { "path": "/data", "size_bytes": 5 }]), true),
        ] {
            assert_eq!(code(json!({ "mounts": mounts })).is_none(), well, "{mounts}");
        }
    }

    #[test]
    fn addresses_are_handed_out_by_managed_networks_only() {
        let nic = |bridge: Value| json!({ "nics": [{ "bridge": bridge, "address": "10.0.0.5/24" }] });
        for (keys, default, well) in [
            (nic(json!("lab")), None, true),
            (nic(json!("br7")), None, false),
            (nic(json!(null)), None, true),
            (nic(json!(null)), Some("br7"), false),
            (json!({ "nics": [{ "bridge": "br7", "address": "dhcp" }] }), None, true),
        ] {
            assert_eq!(check_networks(&plan(keys.clone()), &base(), default).is_ok(), well, "{keys}");
        }
    }
}
