//! What people are told to run in a guest can be run there.

use std::fs;
use std::path::PathBuf;

use firstlight_tests::paths;

/// The guest's commands, as its own help lists them.
fn commands() -> Vec<String> {
    let text = fs::read_to_string(paths::root().join("guest-agent/src/cli.rs")).unwrap();
    let listed =
        text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let of_line = |line: &str| {
        let word = line.strip_prefix("  ")?.split(' ').next()?;
        (!word.is_empty()).then(|| word.to_owned())
    };
    listed.filter_map(of_line).collect()
}

fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![paths::root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|known| known == end) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn every_command_of_the_guest_that_is_named_exists() {
    let commands = commands();
    assert!(commands.len() >= 6 && commands.contains(&"status".to_owned()), "{commands:?}");
    let sources = ["host-agent/src", "guest-agent/src", "shared/src"].map(|folder| files(folder, "rs"));
    let mut named = 0;
    for path in
        sources.into_iter().flatten().chain(files("docs", "md")).chain([paths::root().join("README.md")])
    {
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("`firstlight-guest ").skip(1) {
            let word = rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap_or_default();
            named += 1;
            assert!(
                word.is_empty() || word.starts_with('-') || commands.iter().any(|command| command == word),
                "{} names `firstlight-guest {word}`, and there are {commands:?}",
                path.display()
            );
        }
    }
    assert!(named >= 4, "only {named} were found");
}

/// Options behind a command of the guest's, up to where its line or its quotation ends.
fn options<'a>(text: &'a str, commands: &[String]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for rest in text.split("firstlight-guest ").skip(1) {
        let line = rest.split(['`', '\n', '#', '"', ')', '&', '|']).next().unwrap_or_default();
        let first = line.split(' ').next().unwrap_or_default();
        if first == "--root" || commands.iter().any(|command| command == first) {
            found.extend(line.split(' ').filter(|word| word.starts_with("--")));
        }
    }
    found
}

#[test]
fn every_option_of_the_guest_that_is_named_exists() {
    let commands = commands();
    let cli = fs::read_to_string(paths::root().join("guest-agent/src/cli.rs")).unwrap();
    let usage = cli.split("\";").next().unwrap();
    let mut named = 0;
    for path in files("docs", "md")
        .into_iter()
        .chain(files("packaging", "md"))
        .chain([paths::root().join("README.md")])
    {
        let text = fs::read_to_string(&path).unwrap();
        for option in options(&text, &commands) {
            named += 1;
            let known = usage.split(|c: char| !c.is_ascii_lowercase() && c != '-').any(|word| word == option);
            assert!(
                known,
                "{} names `{option}`, which is not in the usage of firstlight-guest",
                path.display()
            );
        }
    }
    assert!(named >= 12, "only {named} were found");
    let text = "`firstlight-guest --root R seal --live` --no; push firstlight-guest /usr/bin/firstlight-guest --mode 1";
    assert_eq!(options(text, &commands), ["--root", "--live"]);
}
