//! `firstlight golden lint`: what a golden still carries that its clones must not share, and what would keep them from
//! working. Proves without writing.
//!
//! `read` -> `collect` -> `rules`: readers stream entries, the collector keeps the few that rules want, rules are pure.
//! A golden may be hostile: nothing is unpacked, memory is bounded, and every text of it is escaped where it is shown.

pub(crate) mod bake;
mod collect;
mod finding;
mod mark;
mod place;
mod read;
mod rules;
mod sarif;
mod secret;
mod verdict;
mod wanted;

use std::path::Path;

pub(crate) use collect::Limits;
pub(crate) use finding::{Report, Severity, Target};
pub(crate) use sarif::sarif;
pub(crate) use verdict::refused;

use self::collect::Facts;
use self::place::Layout;
use self::read::Source;
use crate::outcome::Fault;
use crate::packing::Broken;

/// Looks at the golden at `path`. Blocks.
///
/// # Errors
/// It is no golden, or broken, or larger than the limits.
pub(crate) fn lint(path: &Path, target: Option<Target>, limits: Limits) -> Result<Report, Fault> {
    let unreadable = |source| read::refusal(path, &Broken::Unreadable { source });
    let source = read::source(path).map_err(unreadable)?;
    let facts = read::read(path, &source, limits)?;
    if !rules::has_root(&facts) && facts.documents.is_empty() && facts.sealed.is_empty() {
        let fault = Fault::new(
            "golden-no-root",
            format!("golden {}: there is no root of a system in it", path.display()),
        );
        return Err(fault.with_hint("its top folder must be the root: tar -C ROOT -cf golden.tar ."));
    }
    let shape = shape(&source, &facts);
    let target = target.unwrap_or(match shape {
        "vzdump-lxc" => Target::ProxmoxLxc,
        "incus-export" | "incus-image" => Target::Incus,
        _ => Target::Any,
    });
    Ok(Report {
        golden: path.display().to_string(),
        shape,
        target,
        entries: facts.read_entries,
        bytes: facts.read_bytes,
        findings: rules::judge(&facts, target),
        incomplete: !facts.sealed.is_empty(),
    })
}

fn shape(source: &Source, facts: &Facts) -> &'static str {
    match (source, facts.layout) {
        (Source::Vma, _) => "vma",
        (Source::Sealed(_), _) => "not-read",
        (Source::Disk, _) => "disk",
        (_, Layout::Export) => "incus-export",
        (_, Layout::Image) => "incus-image",
        (Source::Folder, _) => "folder",
        (Source::Tar, _) if facts.has(wanted::PCT) => "vzdump-lxc",
        (Source::Tar, _) => "tar",
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
