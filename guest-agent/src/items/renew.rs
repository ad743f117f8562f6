//! Takes found items away or makes them anew. Each change is atomic, durable, and safe to repeat after a crash:
//! the stamp is written later, and without it everything is done again.

use std::collections::{BTreeMap, BTreeSet};

use firstlight_shared::error::Chain;
use firstlight_shared::items::{Finding, FirstBoot, Fresh, Reset};
use firstlight_shared::text::escape;
use firstlight_shared::wire::{ItemAction, ItemOutcome};

use super::{Found, Scan};
use crate::keys::dropbear;
use crate::sys::{Root, SysError, random_bytes};

/// The longest path that a report shows.
const SHOWN: usize = 200;

/// What the first boot does about everything that was found. Returns the outcomes, and one line per problem.
pub(crate) fn renew_found(root: &Root, scan: &Scan) -> (Vec<ItemOutcome>, Vec<String>) {
    let mut problems = scan.unknown.clone();
    let mut outcomes = Vec::new();
    let mut run = Run { root, randoms: BTreeMap::new(), folders: BTreeSet::new() };
    for found in &scan.found {
        let done = if found.renew { run.first_boot(found) } else { Ok(false) };
        let action = match done {
            Ok(true) => ItemAction::Renewed,
            Ok(false) => ItemAction::Found,
            Err(error) => {
                problems.push(Chain(&error).to_string());
                ItemAction::Failed
            }
        };
        let detail = format!("/{}", escape(&found.path, SHOWN));
        outcomes.push(ItemOutcome { item: found.item.name.to_owned(), action, detail });
    }
    problems.extend(run.sync_folders().into_iter().map(|error| Chain(&error).to_string()));
    (outcomes, problems)
}

/// Carries out an item's reset, as sealing does. False where the reset is not one that can be done here: a policy, a
/// program to run, or a folder to take away.
///
/// # Errors
/// A change failed; what it was to replace is then still whole.
#[cfg(test)]
pub(crate) fn reset(root: &Root, found: &Found) -> Result<bool, SysError> {
    let mut run = Run { root, randoms: BTreeMap::new(), folders: BTreeSet::new() };
    let done = run.reset(found)?;
    run.sync_folders().into_iter().next().map_or(Ok(done), Err)
}

/// Carries out this very reset at a path, as sealing does. False where it is not one that can be done here.
///
/// # Errors
/// A change failed; what it was to replace is then still whole.
pub(crate) fn carry_out(root: &Root, path: &str, reset: Reset) -> Result<bool, SysError> {
    let mut run = Run { root, randoms: BTreeMap::new(), folders: BTreeSet::new() };
    let done = run.carry_out(path, reset)?;
    run.sync_folders().into_iter().next().map_or(Ok(done), Err)
}

struct Run<'r> {
    root: &'r Root,
    /// One draw per item: its files must agree.
    randoms: BTreeMap<&'static str, [u8; 16]>,
    /// A path in each folder from which something was removed.
    folders: BTreeSet<String>,
}

impl Run<'_> {
    fn first_boot(&mut self, found: &Found) -> Result<bool, SysError> {
        match found.item.first_boot {
            FirstBoot::Reset => self.reset(found),
            FirstBoot::Fresh(Fresh::DropbearKey) => match dropbear::make(&found.path) {
                Some(key) => {
                    let key = key
                        .map_err(|error| SysError::new("make", &found.path, std::io::Error::other(error)))?;
                    self.write(&found.path, Some(0o600), b"", &key)
                }
                None => Ok(false),
            },
            FirstBoot::Fresh(fresh) => {
                let random = *self.randoms.entry(found.item.name).or_insert_with(random_bytes);
                let old = self.root.read(&found.path)?.unwrap_or_default();
                let new = fresh.bytes(&found.path, &old, random);
                new.map_or(Ok(false), |new| self.write(&found.path, None, &old, &new))
            }
            _ => Ok(false),
        }
    }

    fn reset(&mut self, found: &Found) -> Result<bool, SysError> {
        if found.finding != Finding::Carried {
            return Ok(false);
        }
        self.carry_out(&found.path, found.item.reset.in_root(|path| self.root.kind(path).is_some()))
    }

    fn carry_out(&mut self, path: &str, reset: Reset) -> Result<bool, SysError> {
        match reset {
            Reset::Remove => {
                self.root.remove(path)?;
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.folders.insert(format!("{folder}/."));
                Ok(true)
            }
            Reset::Link(target) => self.root.link(path, target).map(|()| true),
            // Whatever it holds: it may be larger than what is read.
            Reset::Truncate => self.write(path, None, b"\0", b""),
            _ => {
                let old = self.root.read(path)?.unwrap_or_default();
                let new = reset.bytes(&old);
                new.map_or(Ok(false), |new| self.write(path, reset.mode(), &old, &new))
            }
        }
    }

    /// The file keeps its owner, and its mode unless the reset gives one: a log that its service cannot write any more
    /// would keep it from starting.
    fn write(&self, path: &str, mode: Option<u32>, old: &[u8], new: &[u8]) -> Result<bool, SysError> {
        let mode = mode.or_else(|| self.root.mode(path)).unwrap_or(0o644);
        match self.root.owner(path) {
            _ if old == new => {}
            Some(owner) => self.root.replace_owned(path, mode, owner, new)?,
            None => self.root.replace(path, mode, new)?,
        }
        Ok(true)
    }

    fn sync_folders(&self) -> Vec<SysError> {
        self.folders.iter().filter_map(|path| self.root.sync_folder_of(path).err()).collect()
    }
}
