//! Incus' words, as they stand in its code.

use super::{Class, Code, Unsent};
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
        .or_else(|| is_not_ready(place, text).then_some(Class::NeverSent(Unsent::NotReady)))
        // Some lists say so with status 500.
        .or_else(|| text.starts_with("User does not have permission").then_some(Class::Denied))
        .or_else(|| is_gone(place, text).then_some(Class::Gone))
        .or_else(|| code(place, text).map(Class::Rejected))
}

fn already_so(place: Place<'_>, text: &str) -> bool {
    let wants = |description: &str| match place {
        Place::Request { method, path } => method == Method::Put && path.ends_with("/state"),
        Place::Operation(said) => said == description,
    };
    (text.ends_with("is already running") && wants("Starting instance"))
        || (text.ends_with("is already stopped") && wants("Stopping instance"))
}

/// Nothing of a request was looked at.
fn is_not_ready(place: Place<'_>, text: &str) -> bool {
    matches!(place, Place::Request { .. }) && matches!(text, "Daemon is starting up" | "Shutting down")
}

/// What the call itself is about; not what a new thing is made of, or put on.
fn is_gone(place: Place<'_>, text: &str) -> bool {
    let Place::Request { method, path } = place else { return false };
    let words: &[&str] = match path.trim_start_matches("/1.0/").split('/').collect::<Vec<_>>()[..] {
        ["instances", _, "snapshots", _] => &["Instance_snapshot not found", "Instance not found"],
        ["instances", ..] => &["Instance not found"],
        ["images", "aliases", _] => &["Image alias not found"],
        ["images", _] => &["not found"],
        ["networks", ..] => &["Network not found"],
        ["profiles", _] => &["Profile not found"],
        ["projects", ..] => &["Project not found"],
        ["operations", ..] => &["Operation not found"],
        ["storage-pools", _, "volumes", "custom", _] => &["Storage pool volume not found"],
        ["storage-pools", ..] if method == Method::Get => &["Storage pool not found"],
        _ => return false,
    };
    words.iter().any(|end| text.ends_with(end))
}

/// What a text has in it; the first that fits.
const TEXTS: &[(&str, Code)] = &[
    ("already exists", Code::Exists),
    ("UNIQUE constraint failed: ", Code::Exists),
    ("no space left on device", Code::PoolFull),
    ("No space left on device", Code::PoolFull),
    ("isk quota exceeded", Code::PoolFull),
    ("run out of disk space", Code::PoolFull),
    ("Image not provided for instance creation", Code::NoImage),
    ("already defined", Code::Exists),
    // Of an instance's name, by one of another project.
    ("already used on network", Code::Exists),
    ("is forbidden", Code::Restricted),
    ("are forbidden", Code::Restricted),
    ("Reached maximum number of instances", Code::LimitReached),
    ("Image alias not found", Code::NoImage),
    ("Image not found", Code::NoImage),
    ("Network not found", Code::NoNetwork),
    ("Storage pool not found", Code::NoPool),
    ("Requested profile ", Code::NoProfile),
    ("Profile not found", Code::NoProfile),
    ("Project not found", Code::NoProject),
    ("Storage volume not found", Code::NoVolume),
    ("Storage pool volume not found", Code::NoVolume),
    ("Target only allowed when clustered", Code::NoMember),
    ("Cluster member not found", Code::NoMember),
    ("VM agent isn't currently running", Code::NoAgent),
    ("Command not found", Code::NoCommand),
    ("Command not executable", Code::NoCommand),
    ("Reached maximum ", Code::LimitReached),
    ("config, either directly or via a profile", Code::LimitReached),
    ("doesn't allow for ", Code::Restricted),
    ("unavailable on this server", Code::Unavailable),
    ("is still in use", Code::InUse),
    ("is currently in use", Code::InUse),
    ("Instance is protected", Code::Protected),
    ("Instance is running", Code::Running),
    ("Instance is not running", Code::NotRunning),
    ("The instance is already running", Code::Running),
    ("The instance is already stopped", Code::NotRunning),
    ("Failed shutting down instance", Code::TooSlow),
    ("context deadline exceeded", Code::TooSlow),
    ("doesn't match instance type", Code::InvalidRequest),
    ("Unknown configuration key: ", Code::InvalidRequest),
    ("Invalid value", Code::InvalidRequest),
    ("Invalid devices: ", Code::InvalidRequest),
    ("Unsupported compression", Code::InvalidRequest),
    ("Instance type ", Code::NotSupported),
    ("KVM support is missing", Code::NotSupported),
];

fn code(place: Place<'_>, text: &str) -> Option<Code> {
    match place {
        Place::Request { path, .. } if path.ends_with("/files") && text == "Not Found" => {
            return Some(Code::NoGuestFile);
        }
        // It stopped while its state was put together.
        Place::Request { method: Method::Get, path }
            if path.ends_with("/state") && (text.starts_with("Invalid PID") || text.contains("/proc/")) =>
        {
            return Some(Code::NotRunning);
        }
        Place::Operation("Restoring snapshot") if text.ends_with(" does not exist") => {
            return Some(Code::NoSnapshot);
        }
        _ => {}
    }
    TEXTS.iter().find_map(|(part, code)| text.contains(part).then_some(*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no recorded answer tells apart; those that were recorded are in `tests/incus`.
    #[test]
    fn words_mean_what_they_mean_in_their_place() {
        use Method::{Delete, Get, Post, Put};
        let (running, stopped) = ("The instance is already running", "The instance is already stopped");
        for (method, path, text, expected) in [
            (Put, "instances/x/state", running, Some("already-so")),
            (Put, "instances/x/state", stopped, Some("already-so")),
            (Put, "instances/x", running, Some("rejected running")),
            (Post, "instances/x/state", stopped, Some("rejected not-running")),
            (Get, "instances/x", "Fetch: Instance not found", Some("gone")),
            (Delete, "instances/x/snapshots/s", "Fetch: Instance not found", Some("gone")),
            (Delete, "instances/x/snapshots/s", "Fetch: Instance_snapshot not found", Some("gone")),
            (Get, "images/abc", "Image \"abc\" not found", Some("gone")),
            (Get, "operations/abc", "Operation not found", Some("gone")),
            (Get, "instances/x/state", "so it is", None),
            (Get, "instances/x", "open /proc/4711/stat: no such file or directory", None),
        ] {
            let path = format!("/1.0/{path}");
            let class = judge(Place::Request { method, path: &path }, text).map(|class| class.to_string());
            assert_eq!(class.as_deref(), expected, "{method} {path}: {text}");
        }
        for (description, text) in
            [("Restoring snapshot", "so it is"), ("Starting instance", "Shutting down"), ("x", "not found")]
        {
            assert_eq!(judge(Place::Operation(description), text), None, "{description}: {text}");
        }
    }
}
