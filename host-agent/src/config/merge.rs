//! Files, fragments, variables and flags, one over the other: a flat map from key to value and origin.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{self, NAMED};
use super::origin::{Origin, Problem};
use super::value::Value;

/// A key as words, names that the operator chose among them.
pub(super) type KeyPath = Vec<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub value: Value,
    pub origin: Origin,
}

/// What all sources say; later ones win, key by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub values: BTreeMap<KeyPath, Located>,
    pub problems: Vec<Problem>,
}

impl Merged {
    /// `""` takes back what was there: the default counts again.
    pub(super) fn set(&mut self, path: KeyPath, value: Value, origin: Origin) {
        if value.is_empty() {
            self.values.remove(&path);
        } else {
            self.values.insert(path, Located { value, origin });
        }
    }

    /// One complaint for a place: a value that cannot be read is not judged too.
    pub(super) fn problem(&mut self, origin: Origin, message: impl Into<String>) {
        let known = self.problems.iter().any(|problem| problem.origin == origin);
        if !known || origin == Origin::Default {
            self.problems.push(Problem { origin, message: message.into() });
        }
    }

    /// Adds one file's text.
    pub(super) fn add_toml(&mut self, path: &Path, text: &str) {
        let document = Document { path, text };
        // What stands beside a mistake counts for those whom the mistake does not touch: see `config::socket`.
        let (table, errors) = DeTable::parse_recoverable(text);
        if let Some(error) = errors.first() {
            let origin = document.at(error.span().map_or(0, |span| span.start));
            self.problem(origin, error.message());
        }
        if errors.is_empty() {
            return document.flatten(table.get_ref(), &mut Vec::new(), self);
        }
        // What else may seem wrong there can be the same mistake.
        let said = self.problems.len();
        document.flatten(table.get_ref(), &mut Vec::new(), self);
        self.problems.truncate(said);
    }
}

/// A file that is being read.
struct Document<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Document<'_> {
    fn at(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Origin::File { path: PathBuf::from(self.path), line }
    }

    fn flatten(&self, table: &DeTable<'_>, prefix: &mut KeyPath, merged: &mut Merged) {
        for (name, value) in table {
            prefix.push(name.get_ref().to_string());
            let origin = self.at(name.span().start);
            match value.get_ref() {
                DeValue::Array(list) if NAMED.contains(&prefix.join(".").as_str()) => {
                    let tables: Vec<_> =
                        list.iter().map(|entry| (entry.span().start, entry.get_ref().as_table())).collect();
                    self.flatten_named(&tables, prefix, merged);
                }
                DeValue::Table(inner)
                    if keys::is_table(prefix) && !NAMED.contains(&prefix.join(".").as_str()) =>
                {
                    self.flatten(inner, prefix, merged);
                }
                _ if NAMED.contains(&prefix.join(".").as_str()) => {
                    merged.problem(
                        origin,
                        format!("`{0}` is a list: [[{0}]] with a name is wanted", shown(prefix)),
                    );
                }
                value => match (keys::find(prefix), leaf(value)) {
                    (Some(_), Some(value)) => merged.set(prefix.clone(), value, origin),
                    (Some(_), None) => {
                        let kind = value.type_str();
                        merged.problem(origin, format!("`{}` cannot be a {kind}", shown(prefix)));
                    }
                    (None, _) if keys::is_table(prefix) => {
                        merged.problem(origin, format!("`{0}` is a table: [{0}] is wanted", shown(prefix)));
                    }
                    (None, _) => merged.problem(origin, unknown(prefix)),
                },
            }
            prefix.pop();
        }
    }

    /// `[[table]]`s are told apart by their `name`; the same name in a later file is the same entry.
    fn flatten_named(
        &self,
        entries: &[(usize, Option<&DeTable<'_>>)],
        prefix: &mut KeyPath,
        merged: &mut Merged,
    ) {
        let mut seen = Vec::new();
        for (start, table) in entries {
            let origin = self.at(*start);
            let name = table.and_then(|table| table.get("name")).and_then(|name| name.get_ref().as_str());
            let (Some(table), Some(name)) = (table, name.filter(|name| !name.is_empty())) else {
                merged.problem(origin, format!("every [[{}]] needs a `name`", shown(prefix)));
                continue;
            };
            if seen.contains(&name) {
                merged.problem(origin, format!("two [[{}]] of this file are called {name:?}", shown(prefix)));
                continue;
            }
            seen.push(name);
            prefix.push(name.to_owned());
            self.flatten(table, prefix, merged);
            prefix.pop();
        }
    }
}

fn unknown(path: &KeyPath) -> String {
    format!("there is no key `{}`; the nearest is `{}`", shown(path), keys::nearest(path))
}

/// None: a kind of value that no key takes.
fn leaf(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Boolean(yes) => Some(Value::Boolean(*yes)),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Integer)
        }
        DeValue::Array(values) => {
            values.iter().map(|value| leaf(value.get_ref())).collect::<Option<_>>().map(Value::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// As it would be written: `limits."node:pve1"`.
pub(super) fn shown(path: &[String]) -> String {
    let bare = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let words = path
        .iter()
        .map(|word| if bare(word) { Cow::Borrowed(word.as_str()) } else { format!("{word:?}").into() });
    words.collect::<Vec<_>>().join(".")
}
