//! Makes an image a golden: the program and its units in it and enabled, what clones must not share taken away, and what
//! it was recorded. Looked at first, then changed: nothing is, where somebody has to decide before.

mod identity;
mod install;
mod overrides;
mod plan;
mod record;
mod show;
#[cfg(test)]
mod tests;
mod units;

use std::path::{Path, PathBuf};

use firstlight_shared::error::{Chain, Code};
use firstlight_shared::items::Reset;
use serde::Serialize;

use crate::items;
use crate::keys::{self, HostKeys};
use crate::sys::{Machine, Root, SysError, Use, source_date, use_of};
pub(crate) use plan::{Action, Change, Left};
use plan::{Effect, Plan};
pub(crate) use show::render;

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The program and its units only; the identity is left as it is, and nothing is recorded.
    pub only_install: bool,
    pub dry_run: bool,
    /// Of a system that runs from this root, too.
    pub live: bool,
    /// Items that stay.
    pub keep: Vec<String>,
    /// The program to install, where it is not this one.
    pub program: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// The changes were made.
    Done,
    /// The changes would be made: a dry run.
    Planned,
    /// There was nothing to change.
    Unchanged,
    /// Somebody has to decide first; nothing was changed.
    Refused,
    /// Something could not be done or looked at.
    Failed,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Sealed {
    pub state: State,
    pub version: &'static str,
    pub changes: Vec<Change>,
    pub left: Vec<Left>,
    pub refused: Vec<Left>,
    pub problems: Vec<String>,
}

/// Why nothing was looked at, let alone changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error(
        "a system is running from this root (process {process} works in it): its clones are made of an image. Seal the image, or \
         a copy of it; or say --live, if this machine is switched off right after and never starts again"
    )]
    InUse { process: u32 },
    #[error(
        "whether a system is running from this root cannot be seen, because /proc is not there: mount it, or say --live where \
         nothing else works in this root"
    )]
    Unseen,
    #[error(
        "this is no root of a system with systemd (/etc or /usr/lib/systemd/systemd is not there): name the right folder with --root"
    )]
    NoSystem,
}

impl Code for SealError {
    fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } | Self::Unseen => "in-use",
            Self::NoSystem => "no-system",
        }
    }
}

/// Never fails once it has begun: what cannot be done is told.
///
/// # Errors
/// A system runs from the root, or it is none.
pub(crate) fn run(mut machine: Machine, options: &Options) -> Result<Sealed, SealError> {
    // In a chroot, and where only something is built, the network cards are another machine's.
    let is_booted = machine.is_booted();
    let is_own = machine.is_own_root();
    machine.root = machine.root.into_image();
    machine.live = is_booted;
    if !options.live {
        match use_of(&machine.root) {
            Use::By(process) => return Err(SealError::InUse { process }),
            Use::Free if is_booted => return Err(SealError::InUse { process: 1 }),
            Use::Unseen if is_own => return Err(SealError::Unseen),
            Use::Free | Use::Unseen => {}
        }
    }
    if !options.only_install && !install::is_system(&machine.root) {
        return Err(SealError::NoSystem);
    }
    let mut plan = Plan::default();
    install::plan(&machine.root, options.program.as_deref(), &mut plan);
    if !options.only_install {
        plan_identity(&machine, options, &mut plan);
    }
    let mut sealed = Sealed {
        state: State::Unchanged,
        version: env!("CARGO_PKG_VERSION"),
        changes: plan.changes,
        left: plan.left,
        refused: plan.refused,
        problems: plan.problems,
    };
    if sealed.refused.is_empty() && !options.dry_run {
        apply(&machine.root, &mut sealed);
    }
    if options.live
        && !options.dry_run
        && let Err(error) = machine.root.sync_file_system()
    {
        sealed.problems.push(Chain(&error).to_string());
    }
    sealed.problems.extend(machine.root.take_notes());
    sealed.state = state_of(&sealed, options.dry_run);
    Ok(sealed)
}

fn plan_identity(machine: &Machine, options: &Options, plan: &mut Plan) {
    let root = &machine.root;
    let keys = keys::scan(root).unwrap_or_else(|error| {
        plan.problems.push(Chain(&error).to_string());
        HostKeys::default()
    });
    let golden = record::look(machine, &keys, &mut plan.problems);
    let scan = identity::scan(root);
    let mut taken = Plan::default();
    identity::plan(root, &scan, &keys, &golden.hostnames, &options.keep, &mut taken);
    let installed = std::mem::take(&mut plan.changes);
    plan.left.append(&mut taken.left);
    plan.refused.append(&mut taken.refused);
    plan.problems.append(&mut taken.problems);
    // The record goes between: what is to be recorded is gone afterwards.
    let mut noted = Plan { changes: [installed.clone(), taken.changes.clone()].concat(), ..plan.clone() };
    let now = source_date().unwrap_or_else(|| machine.clock().now());
    let planned = noted.changes.len();
    record::plan(root, &golden, now, &mut noted);
    let record = noted.changes.split_off(planned);
    plan.problems = noted.problems;
    plan.changes = [installed, record, taken.changes].concat();
    overrides::refuse_blocked(root, plan);
}

fn state_of(sealed: &Sealed, dry_run: bool) -> State {
    if !sealed.refused.is_empty() {
        State::Refused
    } else if !sealed.problems.is_empty() {
        State::Failed
    } else if sealed.changes.is_empty() {
        State::Unchanged
    } else if dry_run {
        State::Planned
    } else {
        State::Done
    }
}

/// In order. Where a part of what renews a clone cannot be put in place, nothing is taken away any more.
fn apply(root: &Root, sealed: &mut Sealed) {
    for change in &mut sealed.changes {
        let path = change.path.trim_start_matches('/').to_owned();
        match carry_out(root, &path, &change.effect) {
            Ok(()) => change.done = true,
            Err(error) => {
                sealed.problems.push(Chain(&error).to_string());
                if !matches!(change.effect, Effect::Reset(_)) {
                    sealed.problems.push(format!("stopped at {}: nothing after it was changed", change.path));
                    return;
                }
            }
        }
    }
}

fn carry_out(root: &Root, path: &str, effect: &Effect) -> Result<(), SysError> {
    match effect {
        Effect::Write { mode, bytes } => root.replace(path, *mode, bytes),
        Effect::Link(target) => {
            root.make_folder(Path::new(path).parent().and_then(Path::to_str).unwrap_or_default())?;
            root.link(path, target)
        }
        Effect::Reset(Reset::RemoveTree) => root.remove_tree(path),
        Effect::Reset(reset) => {
            let done = items::carry_out(root, path, *reset)?;
            let undone = || SysError::new("change", path, std::io::Error::other("it changed meanwhile"));
            done.then_some(()).ok_or_else(undone)
        }
    }
}
