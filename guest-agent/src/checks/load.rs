//! Which checks there are: the built-in ones, and those of `checks.d`. Nothing that stands there is dropped silently:
//! what cannot be read becomes a problem and a check that is unknown.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use firstlight_shared::check::Severity;
use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::network::Network;
use super::spec::{self, Kind};
use crate::config::Settings;
use crate::paths;
use crate::sys::{Root, SysError};

/// So many checks a report holds.
const MAX_CHECKS: usize = 128;
const MAX_PROBLEM: usize = 300;

/// One check to be made.
#[derive(Debug)]
pub(crate) struct Check {
    pub(super) id: String,
    pub(super) severity: Severity,
    pub(super) deadline: Duration,
    pub(super) interval: Duration,
    /// What to look at, or why that cannot be known.
    pub(super) kind: Result<Kind, String>,
}

/// The kinds that are looked at without any file, each under its own name.
fn built_in() -> [(&'static str, Kind); 5] {
    [
        ("system-running", Kind::SystemRunning),
        ("sshd", Kind::Sshd),
        ("network", Kind::Network(Network::default())),
        ("hostname", Kind::Hostname),
        ("machine-id", Kind::MachineId),
    ]
}

/// All checks in the order of the report: the built-in ones, then those of the files by file name.
pub(crate) fn load(root: &Root, settings: &Settings, problems: &mut Vec<String>) -> Vec<Check> {
    let mut loader = Loader { settings, problems, found: Vec::new(), places: BTreeMap::new() };
    for (id, kind) in built_in() {
        loader.places.insert(id.to_owned(), Place::BuiltIn(id));
        loader.add(id, Severity::Required, Ok(kind));
    }
    match files(root) {
        Err(error) => loader.broken("checks-d", Chain(&error).to_string()),
        Ok(files) => {
            for (name, path) in files {
                match root.read_text(&path) {
                    // It was in the folder a moment ago, or is a symlink into nothing.
                    Ok(None) => loader.broken(&id_of(&name), format!("/{path} leads to no file")),
                    Ok(Some(text)) => loader.file(&path, &id_of(&name), &text),
                    Err(error) => loader.broken(&id_of(&name), Chain(&error).to_string()),
                }
            }
        }
    }
    loader.finish()
}

/// One file of any content.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_file(text: &str) {
    let (settings, problems) = (&Settings::default(), &mut Vec::new());
    let mut loader = Loader { settings, problems, found: Vec::new(), places: BTreeMap::new() };
    loader.file("etc/x.toml", "checks-d-x", text);
    let found = loader.finish();
    // What is wrong becomes a check that is unknown, and is said.
    assert!(found.iter().all(|check| check.kind.is_ok()) || !problems.is_empty());
}

/// Paths by file name; a name in /etc masks the same one in /usr/lib.
fn files(root: &Root) -> Result<BTreeMap<String, String>, SysError> {
    let mut files = BTreeMap::new();
    for folder in paths::CHECKS {
        for name in root.list(folder)?.into_iter().filter(|name| name.ends_with(".toml")) {
            let path = format!("{folder}/{name}");
            files.insert(name, path);
        }
    }
    Ok(files)
}

/// The name under which a file that cannot be read is reported.
fn id_of(file: &str) -> String {
    let stem = file.strip_suffix(".toml").unwrap_or(file).to_ascii_lowercase();
    let words = stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id: String = ["checks-d"].into_iter().chain(words).collect::<Vec<_>>().join("-");
    id.chars().take(60).collect::<String>().trim_end_matches('-').to_owned()
}

#[derive(Debug, Clone)]
enum Place {
    BuiltIn(&'static str),
    /// `FILE line N`.
    File(String),
}

#[derive(Debug)]
struct Loader<'a> {
    settings: &'a Settings,
    problems: &'a mut Vec<String>,
    found: Vec<Check>,
    places: BTreeMap<String, Place>,
}

impl Loader<'_> {
    fn add(&mut self, id: &str, severity: Severity, kind: Result<Kind, String>) -> &mut Check {
        let at = self.found.iter().position(|check| check.id == id);
        let check = Check {
            id: id.to_owned(),
            severity,
            deadline: self.settings.check_deadline,
            interval: self.settings.check_interval,
            kind,
        };
        let at = at.unwrap_or(self.found.len());
        match self.found.get_mut(at) {
            Some(old) => *old = check,
            None => self.found.push(check),
        }
        &mut self.found[at]
    }

    /// A problem for the report, and a check that is unknown because of it.
    fn broken(&mut self, id: &str, problem: String) {
        self.broken_as(id, Severity::Required, problem);
    }

    fn broken_as(&mut self, id: &str, severity: Severity, problem: String) {
        let problem = escape(&problem, MAX_PROBLEM);
        self.add(id, severity, Err(problem.clone()));
        self.problems.push(problem);
    }

    fn file(&mut self, path: &str, id: &str, text: &str) {
        let at = |span: Option<Range<usize>>| format!("/{path} line {}", line_of(text, span));
        let mut table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => return self.broken(id, format!("{}: {}", at(error.span()), error.message())),
        };
        let checks = table.remove("check");
        if let Some((key, _)) = table.into_iter().next() {
            let problem = format!("unknown key `{}`: only [[check]] tables are wanted", key.get_ref());
            self.broken(id, format!("{}: {problem}", at(Some(key.span()))));
        }
        let Some(checks) = checks else { return };
        let span = checks.span();
        let DeValue::Array(checks) = checks.into_inner() else {
            return self.broken(id, format!("{}: `check` is no list: write [[check]]", at(Some(span))));
        };
        for (number, check) in checks.into_iter().enumerate() {
            let span = check.span();
            let place = at(Some(span.clone()));
            let DeValue::Table(check) = check.into_inner() else {
                self.broken(&format!("{id}-{}", number + 1), format!("{place}: a check is a table"));
                continue;
            };
            let common = spec::parse(Spanned::new(span.clone(), check));
            let id = common.id.clone().unwrap_or_else(|| format!("{id}-{}", number + 1));
            match common.kind {
                Ok((word, kind)) => {
                    let check = (common.severity, common.deadline, common.interval);
                    self.one(&id, place, &word, kind, check);
                }
                Err(error) => {
                    // What a whole table lacks has the table's place.
                    let place = at(error.span.or(Some(span)));
                    self.broken_as(&id, common.severity, format!("{place}: {}", error.message));
                    self.places.insert(id, Place::File(place));
                }
            }
        }
    }

    fn one(
        &mut self,
        id: &str,
        place: String,
        word: &str,
        kind: Kind,
        (severity, deadline, interval): (Severity, Option<Duration>, Option<Duration>),
    ) {
        match self.places.insert(id.to_owned(), Place::File(place.clone())) {
            Some(Place::BuiltIn(own)) if own != word => {
                return self.broken(
                    id,
                    format!("{place}: the built-in check `{id}` is of kind `{own}`, not `{word}`"),
                );
            }
            None | Some(Place::BuiltIn(_)) => {}
            Some(Place::File(first)) => {
                return self.broken(id, format!("{place}: `{id}` is the id of another check: {first}"));
            }
        }
        let check = self.add(id, severity, Ok(kind));
        check.deadline = deadline.unwrap_or(check.deadline);
        check.interval = interval.unwrap_or(check.interval);
    }

    fn finish(mut self) -> Vec<Check> {
        for skipped in &self.settings.skipped_checks {
            if !self.found.iter().any(|check| check.id == *skipped) {
                let skipped = escape(skipped, 80);
                self.problems
                    .push(format!("/{}: `{skipped}` is skipped, but no check has that id", paths::CONFIG));
            }
        }
        if self.found.len() > MAX_CHECKS {
            let surplus = self.found.split_off(MAX_CHECKS - 1);
            let names: Vec<String> = surplus.into_iter().map(|check| check.id).collect();
            let problem = format!("at most {MAX_CHECKS} checks: not looked at {}", names.join(", "));
            self.broken("checks-d", problem);
        }
        self.found
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    before.bytes().filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
