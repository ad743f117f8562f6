use super::*;
use clap::CommandFactory;

/// The commands that a text shows: lines that begin with the program's name, with what continues them.
fn shown(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim).map(|line| line.strip_prefix("sudo ").unwrap_or(line));
    let lines = lines.filter(|line| line.starts_with("firstlight "));
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

/// README and every page of docs/.
fn pages() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths: Vec<_> =
        std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "md"));
    paths.push(root.join("README.md"));
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

#[test]
fn the_commands_that_readme_and_the_docs_show_exist() {
    let pages = pages();
    for (page, text) in &pages {
        for command in shown(text) {
            assert_parses(page, &command);
        }
    }
    for (page, least) in [
        ("README.md", 8),
        ("companion.md", 2),
        ("incus.md", 7),
        ("lifecycle.md", 9),
        ("proxmox.md", 9),
        ("upgrade.md", 5),
    ] {
        let (_, text) = pages.iter().find(|(name, _)| name == page).expect(page);
        let count = shown(text).len();
        assert!(count >= least, "{page} shows only {count} commands");
    }
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

/// What stands between backquotes and begins with the program's name, in all that the programs and the pages say.
fn named() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> =
        ["src", "../guest-agent/src", "../shared/src"].iter().map(|folder| own.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("tests") || path.ends_with("tests.rs") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(quoted(&path.display().to_string(), &text));
            }
        }
    }
    found.extend(pages().iter().flat_map(|(page, text)| quoted(page, text)));
    found
}

/// The words of each, with the place.
fn quoted(place: &str, text: &str) -> Vec<(String, Vec<String>)> {
    let lines = text.split("`firstlight ").skip(1).filter_map(|rest| rest.split('`').next());
    lines.map(|line| (place.to_owned(), line.split_whitespace().map(str::to_owned).collect())).collect()
}

/// The command and the options of every hint are there; what comes from a format is not looked at.
#[test]
fn every_command_that_a_hint_names_exists() {
    let named = named();
    assert!(named.len() > 150, "only {} were found", named.len());
    for (place, words) in named {
        let mut command = Arguments::command();
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(next) = words.peek().and_then(|word| command.find_subcommand(word).cloned()) {
            words.next();
            command = next;
        }
        let rest: Vec<&str> = words.collect();
        let is_option = |word: &&&str| word.starts_with("--");
        assert!(
            !command.has_subcommands() || rest.first().is_none_or(|word| is_option(&word)),
            "{place} names `firstlight {} {rest:?}`",
            command.get_name()
        );
        for option in rest.iter().filter(is_option) {
            let name = option.trim_start_matches('-');
            let known = ["help", "version"].contains(&name)
                || Arguments::command()
                    .get_arguments()
                    .chain(command.get_arguments())
                    .any(|one| one.get_long() == Some(name));
            assert!(known, "{place} names `{option}` of `firstlight {}`", command.get_name());
        }
    }
}

#[test]
fn the_commands_that_the_page_of_reports_shows_exist() {
    let commands = shown(include_str!("../../../../docs/report.md"));
    for command in &commands {
        assert_parses("docs/report.md", command);
    }
    assert!(commands.len() >= 6, "docs/report.md shows only {} commands", commands.len());
}
