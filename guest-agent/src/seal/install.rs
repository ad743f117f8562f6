//! The program and its units: what of them is missing in an image, or another version's.

use std::borrow::Cow;
use std::path::Path;

use firstlight_shared::elf;
use firstlight_shared::error::Chain;

use super::overrides;
use super::plan::{Action, Effect, Plan};
use super::units::{self, CLOUD, ENABLE, ENABLED, FOLDER, GATE, PRESET};
use crate::sys::{Kind, MAX_PROGRAM, Root, own_program, program_at};

const PROGRAM: &str = "usr/bin/firstlight-guest";
/// Signs of a package that owns what is below /usr.
const PACKAGES: [&str; 3] = [
    "var/lib/dpkg/info/firstlight-guest.list",
    "usr/share/doc/firstlight-guest",
    "usr/share/licenses/firstlight-guest",
];
/// PID 1: its machine is the image's.
const SYSTEMD: [&str; 2] = ["usr/lib/systemd/systemd", "lib/systemd/systemd"];
const CLOUD_INIT: [&str; 2] = ["etc/cloud/cloud.cfg.d", "etc/cloud/cloud.cfg"];

/// Whether this is the root of a system with systemd, and not a folder that was named by mistake.
pub(super) fn is_system(root: &Root) -> bool {
    root.kind("etc").is_some() && SYSTEMD.iter().any(|path| root.kind(path).is_some())
}

/// `program`: another one than this, for an image of another architecture.
pub(super) fn plan(root: &Root, program: Option<&Path>, plan: &mut Plan) {
    let is_packaged = PACKAGES.iter().any(|path| root.kind(path).is_some());
    install_program(root, program, is_packaged, plan);
    for (path, text) in units::files() {
        let theirs =
            is_packaged.then_some("a package's, of another version than this program: upgrade the package");
        write(root, "unit", &path, text, theirs, plan);
    }
    overrides::plan(root, plan);
    link(root, "unit", GATE.0, GATE.1, plan);
    for (unit, wanted) in ENABLE {
        link(root, "enabled", &format!("{ENABLED}/{wanted}/{unit}"), &format!("/{FOLDER}/{unit}"), plan);
    }
    write(root, "preset", PRESET.0, PRESET.1, None, plan);
    if CLOUD_INIT.iter().any(|path| root.kind(path).is_some()) {
        let text = root.read_text(CLOUD.0).ok().flatten().unwrap_or_default();
        // Somebody may have added to it.
        if !text.lines().any(|line| line.trim() == "ssh_deletekeys: false") {
            write(root, "cloud-init", CLOUD.0, CLOUD.1, None, plan);
        }
    }
    overrides::refuse_blocked(root, plan);
}

fn install_program(root: &Root, program: Option<&Path>, is_packaged: bool, plan: &mut Plan) {
    let present = match root.read_up_to(PROGRAM, MAX_PROGRAM) {
        Ok(present) => present,
        Err(error) => return plan.refuse("program", PROGRAM, Chain(&error).to_string()),
    };
    let wanted = match program.map_or_else(own_program, program_at) {
        Ok(wanted) => wanted,
        Err(_) if present.is_some() && program.is_none() => {
            return plan.leave(
                "program",
                PROGRAM,
                "left: this program cannot read itself, so they were not compared",
            );
        }
        Err(error) => return plan.refuse("program", PROGRAM, Chain(&error).to_string()),
    };
    let Some(machine) = elf::machine(&wanted) else {
        return plan.refuse("program", PROGRAM, "what is to be installed is no program of Linux (ELF)");
    };
    let system = SYSTEMD.iter().find_map(|path| elf::machine(&root.head(path, 64).ok()??));
    if system.is_some_and(|system| system != machine) {
        let why = format!(
            "it is built for {}, and the image for {}",
            elf::name(machine),
            system.map(elf::name).unwrap_or_default()
        );
        match present.as_deref().map(elf::machine) {
            Some(own) if own == system => {
                plan.leave("program", PROGRAM, "left: the image has a program of its own machine")
            }
            _ => plan.refuse("program", PROGRAM, format!("{why}: name the right one with --program FILE")),
        }
        return;
    }
    let is_executable = root.mode(PROGRAM).is_some_and(|mode| mode & 0o111 == 0o111);
    let action = match &present {
        Some(bytes) if *bytes == wanted && is_executable => return,
        Some(_) if is_packaged => {
            return plan.leave("program", PROGRAM, "left: a package's, of another version than this program");
        }
        Some(_) => Action::Rewrite,
        None => Action::Create,
    };
    plan.change("program", PROGRAM, action, Effect::Write { mode: 0o755, bytes: Cow::Owned(wanted) });
}

/// `theirs`: why another content is left, if it is.
fn write(
    root: &Root,
    item: &'static str,
    path: &str,
    text: &'static str,
    theirs: Option<&str>,
    plan: &mut Plan,
) {
    let effect = Effect::Write { mode: 0o644, bytes: Cow::Borrowed(text.as_bytes()) };
    match (root.kind(path), root.read_text(path)) {
        (_, Ok(Some(present))) if present == text => {}
        (Some(_), _) if theirs.is_some() => {
            plan.leave(item, path, format!("left: {}", theirs.unwrap_or_default()))
        }
        (Some(Kind::Folder | Kind::Other), _) => plan.refuse(item, path, "it is no file: take it away"),
        (Some(_), _) => plan.change(item, path, Action::Rewrite, effect),
        (None, _) => plan.change(item, path, Action::Create, effect),
    }
}

fn link(root: &Root, item: &'static str, path: &str, target: &str, plan: &mut Plan) {
    let name = target.rsplit('/').next().unwrap_or_default();
    match (root.kind(path), root.link_target(path)) {
        // However systemctl or a package wrote it.
        (Some(Kind::Symlink), Some(present)) if present.rsplit('/').next() == Some(name) => {}
        (Some(Kind::Folder), _) => plan.refuse(item, path, "it is a folder: take it away"),
        (Some(_), _) => plan.change(item, path, Action::Rewrite, Effect::Link(target.to_owned())),
        (None, _) => plan.change(item, path, Action::Create, Effect::Link(target.to_owned())),
    }
}
