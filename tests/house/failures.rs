//! The tables of failures in docs/guest-agent.md and of copies in docs/lifecycle.md: every row names a test, and the test is there.

use std::fs;

use firstlight_tests::paths;

/// Cells of the rows of the table that has this as its first head.
fn rows(text: &str, head: &str) -> Vec<Vec<String>> {
    let head = format!("| {head} |");
    let lines = text.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// File and name of the test in a cell.
fn test_of(cell: &str) -> Option<(&str, &str)> {
    let mut quoted = cell.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.next()?))
}

/// Whether a file has the test, and it is not left out.
fn has_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("\nfn {name}()")) else { return false };
    let attributes = before.rsplit("\n\n").next().unwrap_or_default();
    attributes.contains("#[test]") && !attributes.contains("#[ignore")
}

#[test]
fn every_failure_in_the_docs_has_its_test() {
    let text = fs::read_to_string(paths::root().join("docs/guest-agent.md")).unwrap();
    let rows = rows(&text, "failure");
    assert!(rows.len() >= 20, "only {} rows were found", rows.len());
    for row in rows {
        let [failure, sshd, test] = row.as_slice() else { panic!("a row of {} cells: {row:?}", row.len()) };
        assert!(
            ["stopped", "runs", "this boot"].iter().any(|word| sshd.starts_with(word)),
            "{failure}: {sshd}"
        );
        assert_has_test(failure, test);
    }
}

fn assert_has_test(what: &str, cell: &str) {
    let (file, name) = test_of(cell).unwrap_or_else(|| panic!("{what}: no test is named"));
    let source = fs::read_to_string(paths::root().join(file)).unwrap_or_default();
    assert!(has_test(&source, name), "{what}: {file} has no test {name}");
}

#[test]
fn every_copy_of_a_guest_in_the_docs_has_its_test() {
    let text = fs::read_to_string(paths::root().join("docs/lifecycle.md")).unwrap();
    let rows = rows(&text, "what was done");
    assert!(rows.len() >= 7, "only {} rows were found", rows.len());
    for row in rows {
        let [what, .., test] = row.as_slice() else { panic!("a row of {} cells: {row:?}", row.len()) };
        assert_eq!(row.len(), 5, "{what}");
        assert_has_test(what, test);
    }
}

#[test]
fn a_test_that_is_left_out_or_only_mentioned_is_none() {
    let source = "use x;\n\n#[test]\nfn runs() {}\n\n#[test]\n#[ignore = \"y\"]\nfn rests() {}\n\nfn helps() { runs() }\n";
    assert!(has_test(source, "runs"));
    for name in ["rests", "helps", "absent"] {
        assert!(!has_test(source, name), "{name}");
    }
}
