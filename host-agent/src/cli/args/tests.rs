use super::*;
use clap::CommandFactory;

/// The commands that a text shows: lines that begin with the program's name.
fn shown(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("firstlight "));
    lines.map(|line| words(line.split([';', '&', '>', '|', '#']).next().unwrap_or_default())).collect()
}

/// Splits as a shell does, as far as our texts need it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn assert_parses(place: &str, words: &[String]) {
    if let Err(error) = Arguments::try_parse_from(words) {
        panic!("{place} says `{}`, but: {error}", words.join(" "));
    }
}

#[test]
fn the_commands_that_readme_shows_exist() {
    let commands = shown(include_str!("../../../../README.md"));
    for command in &commands {
        assert_parses("README", command);
    }
    assert!(commands.len() >= 8, "README shows only {} commands", commands.len());
}

#[test]
fn the_commands_that_the_page_of_proxmox_shows_exist() {
    let commands = shown(include_str!("../../../../docs/proxmox.md"));
    for command in &commands {
        assert_parses("docs/proxmox.md", command);
    }
    assert!(commands.len() >= 7, "docs/proxmox.md shows only {} commands", commands.len());
}

#[test]
fn the_commands_that_the_page_of_lives_shows_exist() {
    let commands = shown(include_str!("../../../../docs/lifecycle.md"));
    for command in &commands {
        assert_parses("docs/lifecycle.md", command);
    }
    assert!(commands.len() >= 9, "docs/lifecycle.md shows only {} commands", commands.len());
}

/// README and `--help` show one table.
#[test]
fn readme_has_the_exit_codes_of_help() {
    let readme = include_str!("../../../../README.md");
    for (exit, meaning) in super::super::failure::EXITS {
        let row = format!("| {exit} | {meaning} |");
        assert!(readme.contains(&row), "README lacks `{row}`");
    }
}

#[test]
fn every_command_has_an_example_that_parses() {
    fn visit(command: &clap::Command, path: &str) {
        for child in command.get_subcommands() {
            let path = format!("{path} {}", child.get_name());
            if child.has_subcommands() {
                visit(child, &path);
                continue;
            }
            let help = child.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = shown(&help);
            assert!(!examples.is_empty(), "`{path}` has no example");
            for example in &examples {
                assert!(example.join(" ").starts_with(&path), "`{path}` shows `{}`", example.join(" "));
                assert_parses(&path, example);
            }
        }
    }
    visit(&Arguments::command(), "firstlight");
}

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn what_contradicts_itself_is_wrong_usage() {
    for line in [
        "firstlight destroy",
        "firstlight wait --vmid 101",
        "firstlight wait --backend proxmox",
        "firstlight wait --backend proxmox --vmid 101 web-01",
        "firstlight wait --backend proxmox --vmid web-01",
        "firstlight wait --backend proxmox web-01 --timeout 0s",
        "firstlight wait --backend proxmox web-01 --timeout 25h",
        "firstlight destroy --all web-01",
        "firstlight cancel",
        "firstlight jobs --in ready",
        "firstlight jobs --limit 0",
        "firstlight show web-01 --events --json",
    ] {
        assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}
