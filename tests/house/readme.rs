//! README is run, not believed.

use std::fs;

use clap::Parser as _;
use firstlight_tests::args::Arguments;
use firstlight_tests::demo::COLUMNS;
use firstlight_tests::paths;

fn readme() -> String {
    fs::read_to_string(paths::root().join("README.md")).expect("README.md is there")
}

/// Every `cargo xtask ...` in code, up to where its words end.
fn commands(text: &str) -> Vec<String> {
    let starts = text.match_indices("cargo xtask ").map(|(start, _)| &text[start..]);
    let ends = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '/'));
    starts
        .map(|rest| {
            rest.split(ends)
                .next()
                .unwrap_or_default()
                .split("  ")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .collect()
}

#[test]
fn every_command_in_readme_exists() {
    let commands = commands(&readme());
    assert!(commands.iter().any(|command| command.starts_with("cargo xtask demo")), "{commands:?}");
    assert!(commands.iter().any(|command| command.starts_with("cargo xtask test")), "{commands:?}");
    for command in commands {
        let words = command.split_whitespace().skip(1); // clap's own name is the first word
        if let Err(error) = Arguments::try_parse_from(words) {
            panic!("README says `{command}`, but: {error}");
        }
    }
}

#[test]
fn the_output_that_readme_shows_has_the_columns_that_the_demo_prints() {
    let readme = readme();
    let heads = readme
        .lines()
        .find(|line| line.trim_start().starts_with("NAME "))
        .expect("README shows the demo's table");
    for column in COLUMNS {
        assert!(heads.contains(column), "README's table lacks {column}: {heads}");
    }
    let rows: Vec<&str> = readme.lines().filter(|line| line.trim_start().starts_with("web-0")).collect();
    assert!(rows.iter().any(|row| row.contains("SHA256:")), "README shows no clone");
}

#[test]
fn every_file_that_readme_links_is_there() {
    let readme = readme();
    for target in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let path = target.split('#').next().unwrap_or_default();
        let outside = path.is_empty() || path.contains("://");
        assert!(outside || paths::root().join(path).exists(), "README links {target}, which is not there");
    }
}

#[test]
fn commands_are_found_in_prose_and_in_blocks() {
    let text = "Run `cargo xtask demo --count 5`, then:\n```\ncargo xtask test --fast   # quick\n```\n";
    assert_eq!(commands(text), ["cargo xtask demo --count 5", "cargo xtask test --fast"]);
}
