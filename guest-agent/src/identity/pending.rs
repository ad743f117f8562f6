//! The keys that the early phase left to the late one, since they take too long before sshd.

use firstlight_shared::error::Chain;

use super::stamp::{StampState, load as load_stamp, save as save_stamp};
use crate::keys::{KeyError, KeyFile, KeyType, MadeKey, Private, path_of};
use crate::paths;
use crate::sys::{Machine, Stopwatch};

/// Makes the pending keys of the early phase; the stamp then names what is left.
///
/// Returns one line per problem. Takes the time that RSA takes: call it off the runtime's thread.
pub(crate) fn make_pending(machine: &Machine, pending: &[String]) -> PendingOutcome {
    make_pending_with(machine, pending, crate::keys::make)
}

/// With another source of keys: a test of faults makes hundreds.
pub(super) fn make_pending_with(
    machine: &Machine,
    pending: &[String],
    make: impl Fn(KeyType) -> Result<MadeKey, KeyError>,
) -> PendingOutcome {
    let watch = Stopwatch::start();
    let _lock = machine.root.lock(paths::LOCK);
    let mut outcome = PendingOutcome::default();
    for kind in pending.iter().filter_map(|name| KeyType::parse(name)) {
        match make_one(machine, kind, &make) {
            Ok(made) => outcome.made |= made,
            Err(problem) => {
                outcome.left.push(kind.as_str().to_owned());
                outcome.problems.push(problem);
            }
        }
    }
    for name in crate::items::late_among(pending) {
        match crate::items::renew_late(&machine.root, &name) {
            Ok(()) => outcome.items.push(name),
            Err(problem) => {
                outcome.left.push(name);
                outcome.problems.push(problem);
            }
        }
    }
    if let StampState::Valid(mut stamp) = load_stamp(&machine.root) {
        stamp.pending.clone_from(&outcome.left);
        if let Ok(keys) = crate::keys::scan(&machine.root) {
            let has_private = |key: &&KeyFile| matches!(key.private, Private::Readable(_) | Private::Opaque);
            stamp.host_keys = keys.keys.iter().filter(has_private).filter_map(KeyFile::fingerprint).collect();
        }
        if let Err(error) = save_stamp(&machine.root, &stamp) {
            outcome.problems.push(Chain(&error).to_string());
        }
    }
    outcome.problems.extend(machine.root.take_notes());
    outcome.elapsed_ms = watch.elapsed_ms();
    outcome
}

#[derive(Debug, Default)]
pub(crate) struct PendingOutcome {
    /// A key was made.
    pub made: bool,
    /// Items that were renewed.
    pub items: Vec<String>,
    pub left: Vec<String>,
    pub problems: Vec<String>,
    pub elapsed_ms: u64,
}

/// Whether a key was made; false if a whole one is there already (an earlier run was cut off before the stamp).
fn make_one(
    machine: &Machine,
    kind: KeyType,
    make: impl Fn(KeyType) -> Result<MadeKey, KeyError>,
) -> Result<bool, String> {
    let scan = || crate::keys::scan(&machine.root).map_err(|error| Chain(&error).to_string());
    let before = scan()?;
    let name = before.place_of(kind).name;
    let old = before.named(&name);
    if old.is_some_and(KeyFile::is_whole) {
        // The run that made it may have ended before the folder was on the disk.
        machine.root.sync_folder_of(&path_of(&name)).map_err(|error| Chain(&error).to_string())?;
        return Ok(false);
    }
    let made = [make(kind).map_err(|error| Chain(&error).to_string())?];
    let old: Vec<&KeyFile> = old.into_iter().collect();
    crate::keys::install(&machine.root, &before, &made, &old).map_err(|error| Chain(&error).to_string())?;
    let verified =
        scan()?.named(&name).is_some_and(|key| key.is_whole() && key.key() == Some(&made[0].public));
    if verified { Ok(true) } else { Err(format!("the host key {name} did not verify")) }
}
