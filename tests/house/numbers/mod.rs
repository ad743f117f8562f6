//! Numbers in the docs. Each one that stands outside of code is in a row of the tables beside this file, and the row says what
//! holds it; so a limit that is changed in one place alone is noticed, and so is a number that nobody proved.
//!
//! A table has a page in brackets (`[*]`: all of them), and rows below it, whose columns are parted by ` | `:
//!
//! | row | the words stand on the page, and |
//! |---|---|
//! | `= WORDS` `FILE` `CODE` | the file has the code, and each number of the words is in it, by its unit |
//! | `: WORDS` `FILE` `CODE` | the file has the code: a test, or a limit that is written another way |
//! | `~ WORDS` `MARK` | no test repeats it, and the page says so: the mark stands there |
//! | `# HEADING` `MARK` | likewise of all below this heading |
//!
//! Not looked at: what others write (docs/identity-items.md, docs/BENCHMARKS.md), and tables of exit codes, of which a test here sees that there are such codes.

mod amount;
mod prose;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use firstlight_tests::paths;

use self::amount::{amounts, values};
use self::prose::{one_line, prose, without};
use self::table::{EVERY_PAGE, Held, Row, rows};

/// Written by programs.
const WRITTEN: [&str; 2] = ["identity-items.md", "BENCHMARKS.md"];
/// A mark has one of these.
const NOT: [&str; 5] = ["not repeated", "not tried", "not tested", "not booted", "not built"];

fn files(folder: PathBuf) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path())
}

/// By their names in the repository.
fn pages() -> BTreeMap<String, String> {
    let root = paths::root();
    let docs = files(root.join("docs")).filter(|path| path.extension().is_some_and(|end| end == "md"));
    let packaging = files(root.join("packaging")).filter(|path| path.is_dir());
    let packaging = packaging.map(|folder| folder.join("README.md")).filter(|path| path.is_file());
    let pages = docs
        .chain(packaging)
        .chain([root.join("README.md")])
        .filter(|path| !WRITTEN.iter().any(|name| path.ends_with(name)));
    let named = pages.map(|path| {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    named.collect()
}

/// What is wrong with a row of this page, if anything is.
fn fault(row: &Row, page: &str) -> Option<String> {
    let told = prose(page);
    let is_told = |words: &str| told.contains(&one_line(words));
    let is_mark = |mark: &str| is_told(mark) && NOT.iter().any(|not| mark.to_lowercase().contains(not));
    if !row.held.is_part() && !is_told(&row.words) {
        return Some("the page does not say that".to_owned());
    }
    match &row.held {
        Held::Part { mark } | Held::Marked { mark } if !is_mark(mark) => {
            Some(format!("`{mark}` is no mark of that page"))
        }
        Held::Part { .. } if !page.lines().any(|line| line.trim_start_matches('#').trim() == row.words) => {
            Some("the page has no such heading".to_owned())
        }
        Held::Part { .. } | Held::Marked { .. } => None,
        Held::Told { file, code } => without_code(file, code),
        Held::Same { file, code } => {
            let (told, held) = (amounts(&one_line(&row.words)), values(code));
            let other = told.iter().find(|amount| !held.iter().any(|value| amount.is(*value)));
            let other = other.map(|amount| format!("`{}` is not in `{code}`", amount.text));
            let none = told.is_empty().then(|| "there is no number in the words".to_owned());
            without_code(file, code).or(other).or(none)
        }
    }
}

/// However it is formatted.
fn squeezed(code: &str) -> String {
    code.split_whitespace().collect()
}

fn without_code(file: &str, code: &str) -> Option<String> {
    let Ok(source) = fs::read_to_string(paths::root().join(file)) else {
        return Some(format!("there is no {file}"));
    };
    (!squeezed(&source).contains(&squeezed(code))).then(|| format!("{file} does not have `{code}`"))
}

#[test]
fn what_the_docs_say_in_numbers_is_what_the_code_has() {
    let pages = pages();
    let rows = rows();
    assert!(rows.len() > 200, "only {} rows were found", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let fault = if row.page == EVERY_PAGE {
            let faults: Vec<_> = pages.values().map(|page| fault(row, page)).collect();
            if faults.iter().any(Option::is_none) { None } else { faults.into_iter().next().flatten() }
        } else {
            pages
                .get(&row.page)
                .map_or_else(|| Some("there is no such page".to_owned()), |page| fault(row, page))
        };
        wrong.extend(fault.map(|fault| format!("{}: {}: {fault}", row.page, row.words)));
    }
    assert!(wrong.is_empty(), "mend the page, or the row in tests/house/numbers:\n{}", wrong.join("\n"));
}

#[test]
fn each_number_in_the_docs_is_held_by_something_or_marked() {
    let rows = rows();
    let mut bare = Vec::new();
    let mut count = 0;
    for (name, page) in pages() {
        let of_page: Vec<&Row> =
            rows.iter().filter(|row| row.page == name || row.page == EVERY_PAGE).collect();
        let parts: Vec<&str> =
            of_page.iter().filter(|row| row.held.is_part()).map(|row| row.words.as_str()).collect();
        let told = without(&page, &parts);
        let held: Vec<_> = of_page
            .iter()
            .filter(|row| !row.held.is_part())
            .flat_map(|row| {
                told.match_indices(&one_line(&row.words))
                    .map(|(at, found)| at..at + found.len())
                    .collect::<Vec<_>>()
            })
            .collect();
        for number in prose::numbers(&told) {
            count += 1;
            if !held.iter().any(|held| held.start <= number.start && number.end <= held.end) {
                bare.push(format!("{name}: {}", prose::around(&told, &number)));
            }
        }
    }
    assert!(count > 300, "only {count} numbers were found");
    assert!(
        bare.is_empty(),
        "no row of tests/house/numbers says what holds these; where nothing does, the page has to say `not repeated` and why:\n{}",
        bare.join("\n")
    );
}

/// Numbers that a source gives the variants of an enumeration: `Name = 3,`.
fn variants(file: &str) -> Vec<u8> {
    let source = fs::read_to_string(paths::root().join(file)).unwrap();
    let numbers =
        source.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse().ok());
    numbers.collect()
}

#[test]
fn tables_of_exit_codes_have_only_codes_with_which_a_program_ends() {
    let ends = [variants("host-agent/src/cli/failure.rs"), variants("guest-agent/src/cli.rs")].concat();
    assert!([0, 1, 2, 3, 4, 5, 6, 7, 130].iter().all(|code| ends.contains(code)), "{ends:?}");
    let mut seen = 0;
    for (name, page) in pages() {
        for table in page.split("\n| exit code |").skip(1) {
            for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
                let code = row.trim_matches('|').split('|').next().and_then(|cell| cell.trim().parse().ok());
                assert!(code.is_some_and(|code| ends.contains(&code)), "{name} tells of {row}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 15, "only {seen} codes were found");
}
