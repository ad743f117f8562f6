//! What stands in the way of what is installed: in the place of our units (in `/etc` it counts for more than below
//! `/usr`), or where a folder has to be.

use firstlight_shared::units as shared;

use super::plan::{Effect, Plan};
use super::units::{self, ENABLED, FOLDER};
use crate::sys::{Kind, Root};

/// systemd.unit(5): a unit or drop-in in one of these replaces that of the same name in [`FOLDER`].
const BEFORE: [&str; 2] = [ENABLED, "usr/local/lib/systemd/system"];
/// Without one of these a clone is not renewed, or nobody hears of it; the others may be switched off.
const NEEDED: [&str; 3] = [shared::GATE, shared::IDENTITY, shared::REPORT];

/// Refuses what would keep a clone from being renewed, or its ways in from waiting for that.
pub(super) fn plan(root: &Root, plan: &mut Plan) {
    for (path, ours) in units::files() {
        let Some(name) = path.strip_prefix(FOLDER).and_then(|name| name.strip_prefix('/')) else { continue };
        for folder in BEFORE {
            let at = format!("{folder}/{name}");
            if root.kind(&at).is_none() {
                continue;
            }
            // Nothing where a link leads nowhere, to /dev/null, or a folder is there.
            let theirs = root.read_text(&at).ok().flatten().unwrap_or_default();
            let is_same =
                theirs == ours || root.read_text(&path).ok().flatten().is_some_and(|text| text == theirs);
            match name.contains('/') {
                _ if is_same && !theirs.is_empty() => {}
                true => drop_in(&at, &path, ours, &theirs, plan),
                false if NEEDED.contains(&name) => unit(&at, name, &theirs, plan),
                false => {}
            }
        }
    }
}

fn unit(at: &str, name: &str, theirs: &str, plan: &mut Plan) {
    if theirs.is_empty() {
        plan.refuse("enabled", at, format!("{name} is masked, and no clone would be renewed: unmask it"));
    } else if shared::serves(name, theirs) {
        plan.leave("unit", at, "left: it replaces the unit of this program; bring it up to date by hand");
    } else {
        let why = match name {
            shared::GATE => "does not wait for the identity phase",
            _ => "does not run the guest agent",
        };
        plan.refuse("unit", at, format!("it replaces {name} and {why}: take it away"));
    }
}

fn drop_in(at: &str, path: &str, ours: &str, theirs: &str, plan: &mut Plan) {
    let says = |line: &str| theirs.lines().any(|their| their.trim() == line);
    let mut lines = ours.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let does_the_same = match shared::holds_back(ours) {
        true => shared::holds_back(theirs),
        false => lines.all(says),
    };
    if !does_the_same {
        let why =
            format!("it replaces /{path}, which makes SSH wait for the clone's own host keys: take it away");
        plan.refuse("unit", at, why);
    }
}

/// Refuses, once each, what is no folder above a path that is to be written: it would be found when half is done.
pub(super) fn refuse_blocked(root: &Root, plan: &mut Plan) {
    let written = plan.changes.iter().filter(|change| !matches!(change.effect, Effect::Reset(_)));
    let blocked: Vec<_> = written
        .filter_map(|change| Some((change.item, blocks(root, change.path.strip_prefix('/')?)?)))
        .collect();
    for (item, path) in blocked {
        if !plan.refused.iter().any(|left| left.path.strip_prefix('/') == Some(path.as_str())) {
            plan.refuse(
                item,
                &path,
                "a folder has to be there, and it is none, nor a link to one in the image: take it away",
            );
        }
    }
}

/// The first component above a path that is there and no folder, links followed.
fn blocks(root: &Root, path: &str) -> Option<String> {
    let parts = path.match_indices('/').map(|(end, _)| &path[..end]);
    for part in parts {
        let is_folder = match root.kind(part)? {
            Kind::Folder => true,
            Kind::Symlink => root.kind(&format!("{part}/.")) == Some(Kind::Folder),
            Kind::File | Kind::Other => false,
        };
        if !is_folder {
            return Some(part.to_owned());
        }
    }
    None
}
