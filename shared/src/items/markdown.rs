//! The table as documentation, so that the documentation is the table.

use super::item::{FirstBoot, Fresh, Item, Renewer, Seal};
use super::{Detect, GROUPS, Reset};

const INTRODUCTION: &str = "\
# What a clone shares with its golden

This is the table that `firstlight-guest` works from, written out of the code by a test: it cannot differ from what
the program does. *Seal* is what sealing a golden does, *first boot* what the identity phase does when it renews a
machine. *Renewed by* says who makes a thing anew once it is gone, on Debian 12, Debian 13, Ubuntu 24.04, Fedora and
NixOS in this order; one name stands for all of them. Where nobody does, nothing is removed that a service needs.
A question mark: not looked into. Rows of general knowledge that were not verified against a package are information
only, and nothing is ever reset on their word.

The first boot runs when the local file systems are there and no service is: it changes only what services read when
they start. It does not look below /home, /boot and /efi, which may wait for something.
";

/// The whole page.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for group in &GROUPS {
        page.push_str(&format!("\n## {}\n\n", group.title));
        page.push_str(
            "| item | if two guests share it | found as | seal | first boot | renewed by | lint |\n",
        );
        page.push_str("|---|---|---|---|---|---|---|\n");
        group.items.iter().for_each(|item| page.push_str(&row(item)));
    }
    page.push_str("\n## Where each rule was verified\n\n");
    for item in super::all() {
        page.push_str(&format!("- `{}`: {}\n", item.name, item.source));
    }
    page
}

fn row(item: &Item) -> String {
    let paths: Vec<String> = item.paths.iter().map(|path| format!("`/{path}`")).collect();
    let places = if paths.is_empty() { String::new() } else { format!("<br>{}", paths.join("<br>")) };
    let cells = [
        format!("**{}**<br>{}{places}", item.name, item.title),
        item.danger.to_owned(),
        found_as(item.detect),
        sealed(item),
        first_boot(item),
        renewed_by(item),
        if item.verified { item.severity.as_str().to_owned() } else { "info, not verified".to_owned() },
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn found_as(rule: Detect) -> String {
    match rule {
        Detect::Exists => "anything there".to_owned(),
        Detect::NonEmpty => "a file with bytes".to_owned(),
        Detect::FileNotSymlink => "a file, not a symlink".to_owned(),
        Detect::HasValue(keys) => format!("a value of {}", words(keys)),
        Detect::IsTrue(key) => format!("`{key}` is true"),
        Detect::Mac([]) => "a MAC address".to_owned(),
        Detect::Mac(keys) => format!("a MAC address after {}", words(keys)),
        Detect::MachineId => "32 hexadecimal digits".to_owned(),
        Detect::Word(word) => format!("the word `{word}`"),
        Detect::NamedByMachineId => "a name that begins with a machine-id".to_owned(),
        Detect::PrivateKey => "a private key in text form".to_owned(),
        Detect::HostName => "a name other than localhost".to_owned(),
        Detect::Elsewhere => "not in a root".to_owned(),
    }
}

fn words(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ")
}

fn sealed(item: &Item) -> String {
    match item.seal {
        Seal::Reset => reset(item.reset),
        Seal::Refuse => "refuses".to_owned(),
        Seal::Leave => "left".to_owned(),
    }
}

fn reset(reset_: Reset) -> String {
    match reset_ {
        Reset::Remove => "removed".to_owned(),
        Reset::RemoveTree => "removed with all in it".to_owned(),
        Reset::Truncate => "emptied".to_owned(),
        Reset::WriteText { text, .. } => format!("becomes `{}`", text.trim()),
        Reset::SetValue { key, value } => format!("`{key}={value}`"),
        Reset::DropLines(key) => format!("lines of `{key}` go"),
        Reset::DropLinesWithout { key, but } => {
            format!("lines of `{key}` go, unless there are some of `{but}`: then left")
        }
        Reset::IfOwnName { reset: inner, .. } => {
            format!("{} where it is the golden's own name; another one is left", reset(*inner))
        }
        Reset::Link(target) => format!("symlink to {target}"),
        Reset::EmptyMachineId => "empty, mode 0444".to_owned(),
        Reset::Run(command) => format!("`{}`", command.join(" ")),
        Reset::ByOwner(owners) => {
            let each = owners.iter().map(|(path, one)| format!("{} where `/{path}` is", reset(*one)));
            format!("{}; else refused", each.collect::<Vec<_>>().join(", "))
        }
        Reset::Policy => "refused".to_owned(),
    }
}

fn first_boot(item: &Item) -> String {
    match item.first_boot {
        FirstBoot::Identity => "in code of its own: see the report".to_owned(),
        FirstBoot::Reset => "as seal".to_owned(),
        FirstBoot::Fresh(Fresh::NvmeHost) => "a new name and id, unless they are in use already".to_owned(),
        FirstBoot::Fresh(Fresh::IscsiName) => "a new name, unless it is in use already".to_owned(),
        FirstBoot::Fresh(Fresh::QuotedId(_)) => "a new id".to_owned(),
        FirstBoot::Fresh(Fresh::DropbearKey) => "a new key".to_owned(),
        FirstBoot::Late => format!("made anew after the boot: {}", reset(item.reset)),
        FirstBoot::Report => "reported".to_owned(),
        FirstBoot::Silent => "–".to_owned(),
    }
}

fn renewed_by(item: &Item) -> String {
    let each = item.renewers.each();
    let names =
        if each.iter().all(|one| *one == each[0]) { renewer(each[0]) } else { each.map(renewer).join(" / ") };
    if item.renewers.note.is_empty() { names } else { format!("{names}: {}", item.renewers.note) }
}

fn renewer(renewer: Renewer) -> String {
    match renewer {
        Renewer::Us => "us".to_owned(),
        Renewer::Systemd => "systemd".to_owned(),
        Renewer::Service(name) => name.to_owned(),
        Renewer::CloudInit => "cloud-init".to_owned(),
        Renewer::Nobody => "nobody".to_owned(),
        Renewer::Unknown => "?".to_owned(),
    }
}
