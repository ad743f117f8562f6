//! Rooms of one floor do not know each other in a circle: each can be read with those below it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use firstlight_tests::paths;

/// Floors, with what stands before a room's name from anywhere in the crate.
const FLOORS: [(&str, &str); 4] = [
    ("shared/src", "crate::"),
    ("host-agent/src", "crate::"),
    ("host-agent/src/job", "crate::job::"),
    ("host-agent/src/bringup", "crate::bringup::"),
];

/// By room, those that it names.
type Plan = BTreeMap<String, BTreeSet<String>>;

/// What follows `prefix` in code, at every place; of a list in braces, each.
fn named<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let word =
        |text: &'a str| text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
    let after = code.match_indices(prefix).filter(|(at, _)| !code[..*at].ends_with("::"));
    let after = after.map(|(at, _)| &code[at + prefix.len()..]);
    after
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => {
                list.split('}').next().unwrap_or_default().split(',').map(|one| word(one.trim())).collect()
            }
            None => vec![word(rest)],
        })
        .collect()
}

/// Without comments, and without the tests at its end.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let own = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    own.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// What the files of a room name; `is_door`: there, `super` is the floor.
fn read(path: &Path, prefix: &str, is_door: bool) -> BTreeSet<String> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().flatten();
        let own = entries.filter(|entry| entry.file_name() != "tests" && entry.file_name() != "tests.rs");
        return own
            .flat_map(|entry| read(&entry.path(), prefix, is_door && entry.file_name() == "mod.rs"))
            .collect();
    }
    let code = code_of(path);
    let mut found = named(&code, prefix);
    if is_door {
        found.extend(named(&code, "super::"));
    }
    found.into_iter().map(str::to_owned).collect()
}

fn plan(folder: &str, prefix: &str) -> Plan {
    let mut plan = Plan::new();
    for entry in fs::read_dir(paths::root().join(folder)).unwrap().flatten() {
        let name = entry.file_name().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if !["mod", "lib", "main", "tests"].contains(&name.as_str()) {
            plan.insert(name, read(&entry.path(), prefix, true));
        }
    }
    let all: BTreeSet<String> = plan.keys().cloned().collect();
    for (name, rooms) in &mut plan {
        rooms.retain(|room| room != name && all.contains(room));
    }
    plan
}

/// What is left when whoever knows nobody that is left has gone, again and again: the circles, and who knows them.
fn circle(mut plan: Plan) -> Plan {
    loop {
        let left: BTreeSet<String> = plan.keys().cloned().collect();
        let before = left.len();
        plan.retain(|_, rooms| rooms.iter().any(|room| left.contains(room)));
        if plan.len() == before {
            return plan;
        }
    }
}

#[test]
fn rooms_of_a_floor_do_not_know_each_other_in_a_circle() {
    for (folder, prefix) in FLOORS {
        let plan = plan(folder, prefix);
        assert!(
            plan.len() > 4 && plan.values().any(|rooms| !rooms.is_empty()),
            "{folder} was not read: {plan:?}"
        );
        assert_eq!(circle(plan), Plan::new(), "in {folder}");
    }
}

#[test]
fn a_circle_is_seen_and_a_line_is_none() {
    let plan = |pairs: &[(&str, &str)]| -> Plan {
        let mut plan = Plan::new();
        for (from, to) in pairs {
            plan.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            plan.entry((*to).to_owned()).or_default();
        }
        plan
    };
    assert_eq!(circle(plan(&[("a", "b"), ("b", "c"), ("a", "c")])), Plan::new());
    let found = circle(plan(&[("a", "b"), ("b", "c"), ("c", "b"), ("b", "d")]));
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["a", "b", "c"], "who knows a circle is told with it");
    let code = "use crate::x::{one, two::Three};\nfn f() { crate::x::four(); other::crate::x::five() }";
    assert_eq!(named(code, "crate::x::"), ["one", "two", "four"]);
}
