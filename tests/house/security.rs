//! docs/SECURITY.md: every test that it names is there, and every promise names one.

use std::fs;

use firstlight_tests::paths;

/// `FILE.rs:TEST` of every code span that is one.
fn named(text: &str) -> Vec<(&str, &str)> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter_map(|span| span.split_once(':')).filter(|(file, _)| file.ends_with(".rs")).collect()
}

/// Whether a source has a test of this name: its attribute stands above.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().collect();
    let head = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.contains(&head)) else { return false };
    let above = lines[..at].iter().rev().map(|line| line.trim());
    above
        .take_while(|line| line.starts_with('#') || line.starts_with("//"))
        .any(|line| line.starts_with("#[") && line.contains("test"))
}

#[test]
fn every_test_that_the_page_of_security_names_is_there() {
    let page = fs::read_to_string(paths::root().join("docs/SECURITY.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 40, "only {} tests are named", named.len());
    for (file, test) in named {
        let source = fs::read_to_string(paths::root().join(file));
        let source = source.unwrap_or_else(|error| panic!("docs/SECURITY.md names {file}: {error}"));
        assert!(has_test(&source, test), "docs/SECURITY.md names {test}, which is no test of {file}");
    }
}

#[test]
fn every_promise_names_a_test() {
    let page = fs::read_to_string(paths::root().join("docs/SECURITY.md")).unwrap();
    let (_, promises) = page.split_once("\n## Promises\n").expect("promises");
    let promises = promises.split("\n## ").next().unwrap_or_default();
    let promises: Vec<&str> = promises.split("\n- ").skip(1).collect();
    assert!(promises.len() > 20, "only {} promises", promises.len());
    for promise in promises {
        // What follows a list is the next heading.
        let promise = promise.split("\n#").next().unwrap_or_default();
        assert!(!named(promise).is_empty(), "no test holds this: {promise}");
    }
}

#[test]
fn tests_are_told_from_other_functions() {
    let source =
        "#[test]\nfn one() {}\n\n#[tokio::test(start_paused = true)]\nasync fn two() {}\n\nfn three() {\n}\n";
    assert!(has_test(source, "one") && has_test(source, "two"));
    assert!(!has_test(source, "three") && !has_test(source, "four"));
    assert_eq!(named("a `b.rs:c` and `https://x` and `d.md`"), [("b.rs", "c")]);
}
