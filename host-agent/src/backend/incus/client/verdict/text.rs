//! Incus' words, as they stand in its code.

use super::{Class, Code};
use crate::backend::incus::client::call::Method;

/// Where the words were said: the same ones are not the same everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Request {
        method: Method,
        path: &'a str,
    },
    /// An operation's description.
    Operation(&'a str),
}

/// What the error of an operation means that did not end well.
pub fn classify_operation(description: &str, text: &str) -> Class {
    judge(Place::Operation(description), text).unwrap_or(Class::Rejected(Code::ServerError))
}

/// None for words that are not known.
pub(super) fn judge(place: Place<'_>, text: &str) -> Option<Class> {
    let text = text.trim();
    already_so(place, text)
        .then_some(Class::AlreadySo)
        .or_else(|| text.contains("Instance is busy running a ").then_some(Class::Busy))
        .or_else(|| gone(place, text))
        .or_else(|| code(text).map(Class::Rejected))
}

fn already_so(place: Place<'_>, text: &str) -> bool {
    let wants = |description: &str| match place {
        Place::Request { method, path } => method == Method::Put && path.ends_with("/state"),
        Place::Operation(said) => said == description,
    };
    (text.ends_with("is already running") && wants("Starting instance"))
        || (text.ends_with("is already stopped") && wants("Stopping instance"))
}

/// The instance itself, or a part of it that the call names; not what a new one is made of.
fn gone(place: Place<'_>, text: &str) -> Option<Class> {
    let Place::Request { method, path } = place else { return None };
    if text.ends_with("Instance not found") {
        return Some(Class::Gone);
    }
    let reads = |folder: &str| path.starts_with(folder) && method != Method::Post;
    let own = [
        ("/1.0/images/", "Image not found"),
        ("/1.0/networks/", "Network not found"),
        ("/1.0/profiles/", "Profile not found"),
        ("/1.0/projects/", "Project not found"),
        ("/1.0/operations/", "Operation not found"),
    ];
    own.iter().any(|(folder, words)| reads(folder) && text.ends_with(words)).then_some(Class::Gone)
}

/// What a text has in it; the first that fits.
const TEXTS: &[(&str, Code)] = &[
    ("already exists", Code::Exists),
    ("already defined", Code::Exists),
    ("no space left on device", Code::PoolFull),
    ("disk quota exceeded", Code::PoolFull),
    ("Image not found", Code::NoImage),
    ("Image alias not found", Code::NoImage),
    ("Network not found", Code::NoNetwork),
    ("Storage pool not found", Code::NoPool),
    ("Profile not found", Code::NoProfile),
    ("Project not found", Code::NoProject),
    ("Storage volume not found", Code::NoVolume),
    ("snapshot not found", Code::NoSnapshot),
    ("Snapshot not found", Code::NoSnapshot),
    ("VM agent isn't currently running", Code::NoAgent),
];

fn code(text: &str) -> Option<Code> {
    TEXTS.iter().find_map(|(part, code)| text.contains(part).then_some(*code))
}
