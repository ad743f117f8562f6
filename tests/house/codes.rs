//! docs/errors.md: every code of an error or a refusal in the sources has its row, and every row has a code that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use firstlight_tests::paths;

/// What a code is the first argument of, or the value of.
const OPENINGS: [&str; 9] = [
    "Fault::new(",
    "Refusal::new(",
    "problem(",
    "fault(",
    "refuse(source,",
    "refusal(source,",
    "answer(",
    "code:",
    "Problem::new(",
];

/// Looks like a code where it stands, and is none.
const NONE: &[(&str, &str)] = &[
    ("await-report", "a step"),
    ("deliver-secrets", "a step"),
    ("firstlight-companion", "a name in signatures"),
    ("firstlight-guest", "a program"),
    ("golden-record", "what a seal changes"),
    ("machine-id", "a kind of identity"),
    ("ssh-host-key", "a kind of identity"),
    ("ssh-host-keys", "an item of the identity table"),
    ("taken", "how a report fared, in the metrics"),
];

/// `is-it-a-word`, as codes are written.
fn is_word(text: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.split('-').all(part)
}

/// Every source file that users run, without its tests.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if matches!(name.as_str(), "tests" | "tests.rs" | "testing.rs" | "testing") {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(without_tests(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Without remarks and the tests at the end; white space is one space, so that a call over several lines reads as one.
fn without_tests(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines.collect::<Vec<_>>().join(" ")
}

/// Words in double quotes, each with what stands before and behind it.
fn quoted(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.match_indices('"').filter_map(move |(start, _)| {
        let rest = &text[start + 1..];
        let (word, behind) = rest.split_once('"')?;
        is_word(word).then(|| (text[..start].trim_end(), word, behind))
    })
}

/// The bodies of what gives codes alone: `fn code`, a chosen `code`, and the tables of the hypervisors' answers.
fn tables(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (opening, end) in [
        ("fn code(&self) -> &'static str {", " fn "),
        ("fn code(self) -> &'static str {", " fn "),
        ("let code = match", ";"),
        ("impl Code { pub fn as_str(self) -> &'static str {", " fn "),
        ("impl Reason {", "impl Key"),
    ] {
        for rest in text.split(opening).skip(1) {
            found.push(rest.split(end).next().unwrap_or_default());
        }
    }
    found
}

/// Whether words for people come next, as behind the code of a pair.
fn words_follow(behind: &str) -> bool {
    let Some(next) = behind.strip_prefix(',').map(str::trim_start) else { return false };
    let text = next.strip_prefix('"').and_then(|rest| rest.split('"').next());
    next.starts_with("format!(") || next.starts_with("message") || text.is_some_and(|text| text.contains(' '))
}

fn codes_of(sources: &[String]) -> BTreeSet<String> {
    let all = sources.join(" ");
    let mut codes = BTreeSet::new();
    for source in sources {
        for (before, word, behind) in quoted(source) {
            let is_first = OPENINGS.iter().any(|opening| before.ends_with(opening));
            if is_first || (word.contains('-') && words_follow(behind)) {
                codes.insert(word.to_owned());
            }
        }
        for table in tables(source) {
            let arms = quoted(table)
                .filter(|(before, ..)| before.is_empty() || before.ends_with("=>") || before.ends_with('{'));
            codes.extend(arms.map(|(_, word, _)| word.to_owned()));
        }
        for (before, word, _) in quoted(source).filter(|(_, word, _)| word.contains('-')) {
            let Some(name) = before.strip_suffix(": &str =").and_then(|line| line.split(' ').next_back())
            else {
                continue;
            };
            let used =
                [format!("({name},"), format!("( {name},"), format!("::{name},"), format!("code: {name}")];
            if before.contains("const ") && used.iter().any(|used| all.contains(used)) {
                codes.insert(word.to_owned());
            }
        }
    }
    codes.retain(|code| NONE.iter().all(|(none, _)| none != code));
    codes
}

/// The codes of the rows, each with how many cells its row has.
fn rows(page: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        for code in cells.first().copied().unwrap_or_default().split('`').skip(1).step_by(2) {
            assert!(found.insert(code.to_owned(), cells.len()).is_none(), "{code} has two rows");
        }
    }
    found
}

#[test]
fn every_code_has_its_row_in_the_docs_and_every_row_a_code() {
    let mut found = Vec::new();
    for folder in ["host-agent/src", "guest-agent/src", "shared/src"] {
        sources(&paths::root().join(folder), &mut found);
    }
    let codes = codes_of(&found);
    assert!(codes.len() > 250, "only {} codes were found", codes.len());
    let rows = rows(&fs::read_to_string(paths::root().join("docs/errors.md")).unwrap());
    let missing: Vec<_> = codes.iter().filter(|code| !rows.contains_key(*code)).collect();
    assert!(
        missing.is_empty(),
        "docs/errors.md has no row for {missing:?}: say there what they mean and what to do (tests/house/codes.rs has a list of \
         words that are no codes)"
    );
    let gone: Vec<_> =
        rows.keys().filter(|code| !found.iter().any(|text| text.contains(&format!("\"{code}\"")))).collect();
    assert!(gone.is_empty(), "docs/errors.md has rows of codes that are nowhere: {gone:?}");
    for (code, cells) in rows {
        assert_eq!(cells, 3, "the row of {code}: code, meaning, what to do");
    }
}

#[test]
fn codes_are_found_where_they_are_made_and_nowhere_else() {
    let source = without_tests(
        r#"
        // Fault::new("of-a-remark", "x")
        const TOO_LATE: &str = "too-late";
        const UNUSED: &str = "never-a-code";
        fn a() { Fault::new(
            "over-lines", format!("x")) }
        fn b() { Fault::new(TOO_LATE, "it came too late") }
        fn c() { call("content-type", "text/plain"); one("single", "words for people") }
        fn d() { ("of-a-pair", "words for people") }
        impl Code for E { fn code(&self) -> &'static str { match self { Self::A => "of-a-table", } } }
        "#,
    );
    let expected = ["of-a-pair", "of-a-table", "over-lines", "too-late"];
    assert_eq!(codes_of(&[source]).into_iter().collect::<Vec<_>>(), expected);
}
