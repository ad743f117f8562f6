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
