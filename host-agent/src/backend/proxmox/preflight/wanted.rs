//! What a plan wants, judged by itself.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use firstlight_shared::text::escape;
use firstlight_shared::wire::Intent;

use super::super::archive::Golden;
use super::super::client::endpoint::guest::Kind;
use super::super::kind;
use crate::backend::{GuestPlan, Mount, Nic};
use crate::outcome::Fault;

const MIB: u64 = 1 << 20;
/// Proxmox's own limits.
const LEAST_MEMORY: u64 = 16 * MIB;
const MOST_CORES: u32 = 8192;
const MOST_MOUNTS: usize = 256;
const MOST_NICS: usize = 32;

/// Which field it is, and what is wrong with it.
pub(super) fn field(name: &str, problem: impl std::fmt::Display) -> Fault {
    Fault::new("unsupported-field", format!("{name}: {problem}"))
}

pub(super) fn size(name: &str, problem: impl std::fmt::Display) -> Fault {
    Fault::new("unsupported-size", format!("{name}: {problem}"))
}

fn mount_fault(path: &Path, problem: &str) -> Fault {
    let shown = escape(&path.display().to_string(), 120);
    Fault::new("unsupported-mount", format!("mounts: `{shown}` {problem}"))
}

pub(super) fn check(plan: &GuestPlan, golden: &Golden<'_>) -> Result<(), Fault> {
    check_kind(plan, golden)?;
    for (name, given) in [("remote", plan.place.remote.is_some()), ("project", plan.place.project.is_some())]
    {
        if given {
            return Err(field(name, "that is Incus': `node` and `pool` say where a guest of Proxmox is"));
        }
    }
    if let Some(vmid) = plan.place.vmid.filter(|vmid| !(100..=999_999_999).contains(vmid)) {
        return Err(field("vmid", format_args!("{vmid} is none: 100 to 999999999 are")));
    }
    check_tags(&plan.tags)?;
    if plan.intent == Intent::Restore {
        return check_restore(plan);
    }
    check_sizes(plan)?;
    check_nics(plan)?;
    check_mounts(plan)
}

fn check_kind(plan: &GuestPlan, golden: &Golden<'_>) -> Result<(), Fault> {
    let problem = match (kind(plan), golden.kind) {
        (Kind::Lxc, Kind::Lxc) | (Kind::Qemu, Kind::Qemu) => return Ok(()),
        (Kind::Lxc, Kind::Qemu) => "the golden is a backup of a machine: `kind = \"vm\"` is wanted",
        (Kind::Qemu, Kind::Lxc) => "the golden is a backup of a container: `kind = \"lxc\"` is wanted",
    };
    Err(field("kind", problem))
}

fn check_tags(tags: &[String]) -> Result<(), Fault> {
    let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_tag = |tag: &str| {
        tag.starts_with(is_first) && tag.chars().all(|c| is_first(c) || matches!(c, '-' | '+' | '.'))
    };
    match tags.iter().find(|tag| !is_tag(tag)) {
        Some(tag) => Err(field(
            "tags",
            format_args!("`{}` is none: letters, digits and `_` are, then also `+.-`", escape(tag, 60)),
        )),
        None => Ok(()),
    }
}

/// The same guest comes back as it was.
fn check_restore(plan: &GuestPlan) -> Result<(), Fault> {
    let said = [
        ("cores", plan.size.cores.is_some()),
        ("memory", plan.size.memory_bytes.is_some()),
        ("disk", plan.size.disk_bytes.is_some()),
        ("mounts", !plan.mounts.is_empty()),
        ("nics", !plan.nics.is_empty()),
    ];
    match said.iter().find(|(_, said)| *said) {
        Some((name, _)) => Err(field(name, "a guest that is restored comes back as it was: leave it out")
            .with_hint("or make a new guest of the archive: intent = \"provision\"")),
        None => Ok(()),
    }
}

fn check_sizes(plan: &GuestPlan) -> Result<(), Fault> {
    if let Some(cores) = plan.size.cores.filter(|cores| !(1..=MOST_CORES).contains(cores)) {
        return Err(size("cores", format_args!("{cores} is not between 1 and {MOST_CORES}")));
    }
    if plan.size.memory_bytes.is_some_and(|bytes| bytes < LEAST_MEMORY) {
        return Err(size("memory", "Proxmox gives a guest 16M at least"));
    }
    if plan.size.disk_bytes == Some(0) {
        return Err(size("disk", "0 is no size"));
    }
    Ok(())
}

fn check_nics(plan: &GuestPlan) -> Result<(), Fault> {
    if plan.nics.len() > MOST_NICS {
        return Err(field("nics", format_args!("Proxmox gives a guest {MOST_NICS} at most")));
    }
    plan.nics.iter().try_for_each(check_nic)
}

fn check_nic(nic: &Nic) -> Result<(), Fault> {
    let is_word = |text: &&String| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if let Some(bridge) = nic.bridge.as_ref().filter(|bridge| !is_word(bridge)) {
        return Err(field("nics.bridge", format_args!("`{}` is no bridge's name", escape(bridge, 60))));
    }
    if let Some(vlan) = nic.vlan.filter(|vlan| !(1..=4094).contains(vlan)) {
        return Err(field("nics.vlan", format_args!("{vlan} is not between 1 and 4094")));
    }
    let fixed = nic.address.as_deref().filter(|address| *address != "dhcp");
    match fixed {
        Some(address) if !is_network(address) => Err(field(
            "nics.address",
            format_args!(
                "`{}` is neither `dhcp` nor an IPv4 address with the length of its network",
                escape(address, 60)
            ),
        )),
        Some(address) if nic.gateway_is_beyond() => {
            let gateway = nic.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
            Err(field(
                "nics.gateway",
                format_args!("{gateway} is no host of the network of {}", escape(address, 60)),
            )
            .with_hint("an address of its own, with /32, may have any gateway: Proxmox makes a route to it"))
        }
        _ => Ok(()),
    }
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    address.parse::<std::net::Ipv4Addr>().is_ok()
        && length.parse::<u8>().is_ok_and(|length| (1..=32).contains(&length))
}

fn check_mounts(plan: &GuestPlan) -> Result<(), Fault> {
    if plan.mounts.len() > MOST_MOUNTS {
        return Err(field("mounts", format_args!("Proxmox gives a guest {MOST_MOUNTS} at most")));
    }
    let mut paths = BTreeSet::new();
    for mount in &plan.mounts {
        check_mount(mount)?;
        if !paths.insert(&mount.path) {
            return Err(mount_fault(&mount.path, "is wanted twice"));
        }
    }
    Ok(())
}

fn check_mount(mount: &Mount) -> Result<(), Fault> {
    let path = &mount.path;
    let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    let text = path.to_str().unwrap_or_default();
    let unfit = |c: char| c == ',' || c == ':' || c.is_control();
    if !path.is_absolute() || !plain || text.len() < 2 || text.contains(unfit) {
        return Err(mount_fault(
            path,
            "is no absolute path below `/` without `..`, `:`, `,` and control characters",
        ));
    }
    match mount.size_bytes {
        Some(0) => Err(mount_fault(path, "cannot have the size 0")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::archive::golden;
    use super::*;
    use crate::backend::{Kind as PlanKind, testing};

    const CONTAINER: &str = "local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst";
    const MACHINE: &str = "local:backup/vzdump-qemu-9200-2026_11_21-12_00_00.vma.zst";

    fn plan(golden: &str, kind: Option<PlanKind>) -> GuestPlan {
        GuestPlan { golden: golden.to_owned(), kind, ..testing::plan() }
    }

    fn nic(address: &str) -> Nic {
        Nic { address: Some(address.to_owned()), ..Nic::default() }
    }

    fn nic_to(address: &str, gateway: &str) -> Nic {
        Nic { gateway: gateway.parse().ok(), ..nic(address) }
    }

    fn mount(path: &str) -> Mount {
        Mount { path: path.into(), size_bytes: Some(1 << 30), storage: None, backup: None }
    }

    /// How a plan is changed, and what is said to it. Empty: nothing.
    type Row = (&'static str, fn(&mut GuestPlan), &'static str);

    #[test]
    fn what_a_container_cannot_have_is_named() {
        let table: [Row; 30] = [
            ("as it is", |_| {}, ""),
            ("remote", |plan| plan.place.remote = Some("lab".into()), "remote: that is Incus'"),
            ("project", |plan| plan.place.project = Some("lab".into()), "project: that is Incus'"),
            ("kind", |plan| plan.kind = Some(PlanKind::Lxc), ""),
            ("machine", |plan| plan.kind = Some(PlanKind::Vm), "kind: "),
            ("vmid", |plan| plan.place.vmid = Some(99), "vmid: 99"),
            ("vmid", |plan| plan.place.vmid = Some(100), ""),
            ("vmid", |plan| plan.place.vmid = Some(1_000_000_000), "vmid: "),
            ("tags", |plan| plan.tags = vec!["a-1.b".into(), "_".into()], ""),
            ("tags", |plan| plan.tags = vec!["a;b".into()], "tags: `a;b`"),
            ("tags", |plan| plan.tags = vec!["-a".into()], "tags: "),
            ("cores", |plan| plan.size.cores = Some(0), "cores: 0"),
            ("cores", |plan| plan.size.cores = Some(8193), "cores: "),
            ("memory", |plan| plan.size.memory_bytes = Some((16 << 20) - 1), "memory: "),
            ("memory", |plan| plan.size.memory_bytes = Some(16 << 20), ""),
            ("disk", |plan| plan.size.disk_bytes = Some(0), "disk: "),
            ("vlan", |plan| plan.nics = vec![Nic { vlan: Some(0), ..Nic::default() }], "nics.vlan: 0"),
            (
                "bridge",
                |plan| plan.nics = vec![Nic { bridge: Some("a,b".into()), ..Nic::default() }],
                "nics.bridge: ",
            ),
            ("dhcp", |plan| plan.nics = vec![nic("dhcp"), nic("10.0.0.5/24")], ""),
            ("no length", |plan| plan.nics = vec![nic("10.0.0.5")], "nics.address: "),
            ("IPv6", |plan| plan.nics = vec![nic("fd00::1/64")], "nics.address: "),
            ("gateway", |plan| plan.nics = vec![nic_to("10.0.0.5/24", "10.0.0.1")], ""),
            (
                "far gateway",
                |plan| plan.nics = vec![nic_to("10.0.0.5/24", "10.9.0.1")],
                "nics.gateway: 10.9.0.1",
            ),
            ("its own", |plan| plan.nics = vec![nic_to("10.0.0.5/32", "10.9.0.1")], ""),
            ("many", |plan| plan.nics = vec![Nic::default(); 33], "nics: "),
            ("mount", |plan| plan.mounts = vec![mount("/srv/a b"), mount("/srv/b")], ""),
            ("root", |plan| plan.mounts = vec![mount("/")], "mounts: `/`"),
            ("relative", |plan| plan.mounts = vec![mount("srv")], "mounts: `srv`"),
            ("up", |plan| plan.mounts = vec![mount("/srv/../etc")], "mounts: "),
            ("comma", |plan| plan.mounts = vec![mount("/srv,backup=0")], "mounts: "),
        ];
        for (what, change, expected) in table {
            check_row(what, plan(CONTAINER, None), change, expected);
        }
        check_row(
            "twice",
            plan(CONTAINER, None),
            |plan| plan.mounts = vec![mount("/a"), mount("/a")],
            "mounts: `/a` is",
        );
    }

    fn check_row(what: &str, mut plan: GuestPlan, change: fn(&mut GuestPlan), expected: &str) {
        change(&mut plan);
        let said = check(&plan, &golden(&plan.golden).unwrap()).err().map(|fault| fault.message);
        match expected {
            "" => assert_eq!(said, None, "{what}"),
            _ => assert!(said.as_ref().is_some_and(|said| said.starts_with(expected)), "{what}: {said:?}"),
        }
    }

    #[test]
    fn what_a_machine_cannot_have_is_named() {
        let table: [Row; 6] = [
            ("as it is", |_| {}, ""),
            ("kind", |plan| plan.kind = None, "kind: "),
            ("mounts", |plan| plan.mounts = vec![mount("/srv")], ""),
            ("mount", |plan| plan.mounts = vec![mount("srv")], "mounts: `srv`"),
            // Whether its cloud-init takes one, the archive tells.
            ("address", |plan| plan.nics = vec![nic("10.0.0.5/24")], ""),
            ("disk", |plan| plan.size.disk_bytes = Some(8 << 30), ""),
        ];
        for (what, change, expected) in table {
            check_row(what, plan(MACHINE, Some(PlanKind::Vm)), change, expected);
        }
    }

    #[test]
    fn a_guest_that_comes_back_is_as_it_was() {
        let table: [Row; 8] = [
            ("as it is", |_| {}, ""),
            ("vmid", |plan| plan.place.vmid = Some(101), ""),
            ("cores", |plan| plan.size.cores = Some(1), "cores: "),
            ("memory", |plan| plan.size.memory_bytes = Some(1 << 30), "memory: "),
            ("disk", |plan| plan.size.disk_bytes = Some(1 << 30), "disk: "),
            ("mounts", |plan| plan.mounts = vec![mount("/srv")], "mounts: "),
            ("nics", |plan| plan.nics = vec![Nic::default()], "nics: "),
            ("tags", |plan| plan.tags = vec!["x".into()], ""),
        ];
        for (what, change, expected) in table {
            let restored = GuestPlan { intent: Intent::Restore, ..plan(CONTAINER, None) };
            check_row(what, restored, change, expected);
        }
    }
}
