//! The identity table: each row that the golden still carries.

use firstlight_shared::items::{self, EntryKind, Item, Renewer, Reset};

use super::super::collect::{Entry, Facts};
use super::super::finding::{Finding, Severity, Target};

const MACHINE_ID: &str = "etc/machine-id";

pub(super) fn check(facts: &Facts, target: Target) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, entry) in &facts.entries {
        for item in entry.items.iter().filter(|item| item.owns(path)) {
            if carries(facts, path, entry, item) {
                findings.push(finding(facts, target, item, entry));
            }
        }
    }
    findings.extend(machine_id(facts, target));
    findings.extend(keys_elsewhere(facts));
    findings
}

fn carries(facts: &Facts, path: &str, entry: &Entry, item: &Item) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let file = match entry.link {
        Some(_) => facts.file(path).filter(|file| file.kind == EntryKind::File),
        None => Some(entry),
    };
    let bytes = file.and_then(|file| file.bytes.as_deref());
    item.detect.judge(name, entry.kind, bytes) == items::Finding::Carried
}

fn finding(facts: &Facts, target: Target, item: &Item, entry: &Entry) -> Finding {
    let severity = match item.severity {
        // systemd would take the first start for a first boot, and Proxmox' preset then switches networkd off.
        _ if item.name == "machine-id-uninitialized" && target == Target::ProxmoxLxc => Severity::Error,
        items::Severity::Fail => Severity::Error,
        items::Severity::Warn => Severity::Warning,
        items::Severity::Info => Severity::Note,
    };
    let path = format!("/{}", entry.at);
    Finding::new(item.name, severity, item.title, &path).danger(item.danger).fix(fix(facts, item, &path))
}

/// What takes it away, and who makes it anew.
fn fix(facts: &Facts, item: &Item, path: &str) -> String {
    let what = match item.reset.in_root(|owner| facts.has(owner)) {
        Reset::Remove => format!("remove {path}"),
        Reset::RemoveTree => format!("remove {path} with all that is in it"),
        Reset::Truncate => format!("empty {path}, and leave it there"),
        Reset::EmptyMachineId => format!("empty {path}, and leave it there: `: > {path}`"),
        Reset::WriteText { text, .. } => format!("let {path} say `{}` alone", text.trim_end()),
        Reset::SetValue { key, value } => format!("set `{key}={value}` in {path}"),
        Reset::DropLines(key) => format!("take the lines of `{key}` out of {path}"),
        Reset::DropLinesWithout { key, but } => {
            format!("take the lines of `{key}` out of {path}; if there are some of `{but}`, they hang on it")
        }
        Reset::IfOwnName { .. } => {
            format!("decide: is the name in {path} one for all clones? Else take it out")
        }
        Reset::Link(target) => format!("make {path} a symlink to {target}"),
        Reset::Run(command) => format!("nothing now; in each clone: `{}`", command.join(" ")),
        Reset::ByOwner(_) | Reset::Policy => format!("decide: may every clone have {path}? Else remove it"),
    };
    let note = item.renewers.note;
    let renewed = match item.renewers.debian13 {
        Renewer::Us => Some("the guest agent makes it anew"),
        Renewer::Systemd => Some("systemd makes it anew"),
        Renewer::Service(_) => Some("its service makes it anew"),
        Renewer::CloudInit => Some("cloud-init makes it anew"),
        Renewer::Nobody | Renewer::Unknown => None,
    };
    match (renewed, note) {
        (Some(renewed), "") => format!("{what}; {renewed}"),
        (Some(renewed), note) => format!("{what}; {renewed}: {note}"),
        (None, "") => what,
        (None, note) => format!("{what}; {note}"),
    }
}

/// Host keys may lie behind a link, where only the system that runs can see them.
fn keys_elsewhere(facts: &Facts) -> Option<Finding> {
    const FOLDER: &str = "etc/ssh";
    let is_lost = facts.entries.get(FOLDER)?.kind == EntryKind::Symlink && facts.file(FOLDER).is_none();
    is_lost.then(|| {
        Finding::new("not-looked-at", Severity::Warning, "a folder that is elsewhere", format!("/{FOLDER}"))
            .danger("it is a link that leads nowhere in the golden: nothing is proven about the host keys that sshd finds there")
            .fix("see that no clone finds the same keys there; or make it a folder of the golden")
    })
}

/// Of the file itself: what is in it is a row of the table.
fn machine_id(facts: &Facts, target: Target) -> Option<Finding> {
    let Some(entry) = facts.entries.get(MACHINE_ID) else { return Some(absent(target)) };
    let what = match facts.file(MACHINE_ID).map(|file| file.kind) {
        Some(EntryKind::File) => return None,
        _ if entry.kind == EntryKind::Symlink => "a symlink that leads to no file of the golden",
        Some(EntryKind::Folder) => "a folder",
        _ => "no file",
    };
    let finding = Finding::new(
        "machine-id-absent",
        Severity::Error,
        "file of the machine-id",
        format!("/{MACHINE_ID}"),
    );
    Some(
        finding
            .danger(format!(
                "it is {what}: systemd cannot keep an id there, and a clone has another at each boot, or none"
            ))
            .fix(format!("take it away, and make an empty file: `: > /{MACHINE_ID}`")),
    )
}

fn absent(target: Target) -> Finding {
    let (severity, danger) = match target {
        Target::ProxmoxLxc => (
            Severity::Error,
            "the clone's first start is a first boot to systemd: presets are applied, those of Proxmox among them, which switch networkd off",
        ),
        _ => (
            Severity::Warning,
            "the clone's first start is a first boot to systemd: presets enable services that the golden had not enabled",
        ),
    };
    Finding::new("machine-id-absent", severity, "file of the machine-id", format!("/{MACHINE_ID}"))
        .danger(danger)
        .fix(format!("make it, empty: `: > /{MACHINE_ID}`"))
}
