//! What was sealed, for people.

use firstlight_shared::text::escape;

use super::{Action, Change, Left, Sealed, State};

/// The longest text of an image that is shown on one line.
const SHOWN: usize = 300;

pub(crate) fn render(sealed: &Sealed, dry_run: bool) -> String {
    let mut lines = Vec::new();
    lines.extend(sealed.changes.iter().filter(|one| one.done || dry_run).map(|one| change(one, dry_run)));
    lines.extend(sealed.left.iter().map(left));
    lines.extend(sealed.refused.iter().map(refused));
    lines.extend(sealed.problems.iter().map(|problem| format!("problem: {}", escape(problem, SHOWN))));
    let (undone, all) = (sealed.changes.iter().filter(|one| !one.done).count(), sealed.changes.len());
    lines.push(match sealed.state {
        State::Done => format!("sealed: {all} changes"),
        State::Planned => format!("a dry run: {all} changes would be made, none was"),
        State::Unchanged => "nothing to change: it is sealed".to_owned(),
        State::Refused => {
            "refused, and nothing was changed: take the above away, or keep it for all clones with --keep ITEM".to_owned()
        }
        State::Failed if dry_run => "a dry run: it would fail".to_owned(),
        State::Failed => format!("FAILED: {undone} of {all} changes were not made; run it again when that is mended"),
    });
    lines.join("\n")
}

fn change(change: &Change, dry_run: bool) -> String {
    let (would, path) = (if dry_run { "would " } else { "" }, escape(&change.path, SHOWN));
    let does = match (change.action, dry_run) {
        (Action::Create, true) => "make",
        (Action::Create, false) => "made",
        (Action::Rewrite, true) => "rewrite",
        (Action::Rewrite, false) => "rewritten",
        (Action::Empty, true) => "empty",
        (Action::Empty, false) => "emptied",
        (Action::Remove, true) => "remove",
        (Action::Remove, false) => "removed",
        (Action::RemoveTree, true) => "remove with all in it",
        (Action::RemoveTree, false) => "removed with all in it",
        (Action::Link, true) => "make a link",
        (Action::Link, false) => "made a link",
    };
    format!("{}: {would}{does} {path}", change.item)
}

fn left(left: &Left) -> String {
    let how = if left.kept { "kept" } else { "left" };
    format!("{}: {how} {}: {}", left.item, escape(&left.path, SHOWN), escape(&left.why, SHOWN))
}

fn refused(left: &Left) -> String {
    format!(
        "{}: cannot be sealed with {}: {}",
        left.item,
        escape(&left.path, SHOWN),
        escape(&left.why, SHOWN)
    )
}
