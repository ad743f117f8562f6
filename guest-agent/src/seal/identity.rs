//! What an image carries that its clones must not share: the identity table, and host keys in odd places.

use firstlight_shared::items::{self, Detect, Finding, Item, Reset, Seal, Severity};

use super::plan::{Action, Effect, Plan};
use crate::items::{Found, Scan, find_all};
use crate::keys::{HostKeys, path_of};
use crate::paths;
use crate::sys::{Kind, Root};

const MACHINE_ID: &str = "machine-id";
const HOST_KEYS: &str = "ssh-host-keys";

/// Everything of the table that is in the root.
pub(super) fn scan(root: &Root) -> Scan {
    find_all(root, items::all().filter(|item| item.detect != Detect::Elsewhere))
}

/// `names` are those of the golden, now and when it was sealed before.
pub(super) fn plan(
    root: &Root,
    scan: &Scan,
    keys: &HostKeys,
    names: &[String],
    keep: &[String],
    plan: &mut Plan,
) {
    plan.problems.extend(scan.unknown.iter().cloned());
    for found in scan.found.iter().filter(|found| found.finding == Finding::Carried) {
        judge(root, found, names, keep, plan);
    }
    machine_id(root, keep, plan);
    host_keys(root, keys, keep, plan);
}

fn judge(root: &Root, found: &Found, names: &[String], keep: &[String], plan: &mut Plan) {
    let Found { item, path, kind, .. } = found;
    let is_kept = keep.iter().any(|name| name == item.name);
    if root.is_in_memory(path) {
        return;
    }
    if is_kept {
        return plan.keep(item.name, path, item.danger);
    }
    let reset = match item.seal {
        Seal::Leave => return plan.leave(item.name, path, item.danger),
        Seal::Refuse => return plan.refuse(item.name, path, decide(item)),
        Seal::Reset => reset_of(root, found, names),
    };
    if root.is_mount(path) {
        return plan.leave(
            item.name,
            path,
            "left: something is mounted there, and it is no part of the image",
        );
    }
    // What a symlink leads to is somebody else's: a read-only store, a shared volume.
    let needs_file = !matches!(reset, Reset::Link(_)) && item.detect.needs_bytes();
    if *kind == Kind::Symlink && item.name.starts_with("ssh-host-") {
        // A layout with the keys on another volume: see `host_keys`, which knows what is a key there.
        return;
    }
    if *kind == Kind::Symlink && needs_file {
        let why = format!("it is a symlink, and what it leads to is not changed: {}", item.danger);
        return undecided(item, path, why, plan);
    }
    let can = match reset {
        Reset::Policy | Reset::Run(_) | Reset::ByOwner(_) | Reset::IfOwnName { .. } => false,
        Reset::SetValue { .. } | Reset::DropLines(_) | Reset::DropLinesWithout { .. } => {
            root.read(path).ok().flatten().is_some_and(|old| reset.bytes(&old).is_some())
        }
        _ => true,
    };
    // A tree of one file.
    let reset = match reset {
        Reset::RemoveTree if *kind != Kind::Folder => Reset::Remove,
        other => other,
    };
    if can { plan.reset(item.name, path, reset) } else { undecided(item, path, decide(item), plan) }
}

fn reset_of(root: &Root, found: &Found, names: &[String]) -> Reset {
    let reset = found.item.reset.in_root(|path| root.kind(path).is_some());
    match reset {
        Reset::IfOwnName { .. } => {
            let text = root.read(&found.path).ok().flatten().unwrap_or_default();
            reset.for_names(names, &text)
        }
        other => other,
    }
}

/// Where the reset does not fit: what makes clones dangerous to each other holds the seal up, the rest is only said.
fn undecided(item: &'static Item, path: &str, why: String, plan: &mut Plan) {
    match item.severity {
        Severity::Fail => plan.refuse(item.name, path, why),
        Severity::Warn | Severity::Info => plan.leave(item.name, path, why),
    }
}

fn decide(item: &Item) -> String {
    match item.renewers.note {
        "" => item.danger.to_owned(),
        note => format!("{} ({note})", item.danger),
    }
}

/// It has to be there, and empty: absent, the first start is a first boot to systemd; with anything else in it, systemd
/// does not start.
fn machine_id(root: &Root, keep: &[String], plan: &mut Plan) {
    let path = paths::MACHINE_ID;
    if keep.iter().any(|name| name == MACHINE_ID) || plan.knows(path) || root.is_mount(path) {
        return;
    }
    let empty = Effect::Write { mode: 0o444, bytes: Vec::new().into() };
    match root.kind(path) {
        None => plan.change(MACHINE_ID, path, Action::Create, empty),
        Some(Kind::File) if root.size(path) == Some(0) => {}
        Some(Kind::File) => plan.change(MACHINE_ID, path, Action::Empty, empty),
        Some(Kind::Folder) => {
            plan.refuse(MACHINE_ID, path, "it is a folder, and systemd wants a file there: take it away")
        }
        Some(Kind::Other) => plan.change(MACHINE_ID, path, Action::Rewrite, empty),
        // What it leads to may be on a volume of the clone's own, if it is there already; else every boot has another.
        Some(Kind::Symlink) => match root.read(path) {
            Ok(Some(bytes)) if bytes.is_empty() => {}
            Ok(Some(_)) if plan.refused.iter().any(|left| left.item == MACHINE_ID) => {}
            Ok(Some(_)) => plan.refuse(
                MACHINE_ID,
                path,
                "it is a symlink, and what it leads to is not changed: empty that",
            ),
            Ok(None) | Err(_) => plan.change(MACHINE_ID, path, Action::Rewrite, empty),
        },
    }
}

/// Keys that `HostKey` lines name elsewhere than the table looks, and what an interrupted run left.
fn host_keys(root: &Root, keys: &HostKeys, keep: &[String], plan: &mut Plan) {
    if keep.iter().any(|name| name == HOST_KEYS) {
        return;
    }
    let leftovers = keys.leftovers.iter().map(|name| path_of(name));
    let files = keys.keys.iter().flat_map(|key| key.files.iter().cloned());
    for path in files.chain(leftovers) {
        if !plan.knows(&path) && !root.is_in_memory(&path) {
            plan.reset(HOST_KEYS, &path, Reset::Remove);
        }
    }
    // Absolute ones lead on in the image: a folder of the machine that seals is none of it.
    let folder = "etc/ssh";
    if root.kind(folder) == Some(Kind::Symlink) && root.kind("etc/ssh/.") != Some(Kind::Folder) {
        plan.leave(
            HOST_KEYS,
            folder,
            "it is a link that leads nowhere in the image: host keys there were not looked for",
        );
    }
    for problem in &keys.problems {
        plan.leave(HOST_KEYS, paths::SSHD_CONFIG, problem.clone());
    }
}
