//! The pages in docs/: their links lead somewhere, and their quick starts are as long as they say.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::ValueEnum as _;
use firstlight_tests::args::BenchSubject;
use firstlight_tests::paths;

fn pages() -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(paths::root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "md"));
    found.push(paths::root().join("README.md"));
    found
}

/// The names by which the headings of a page are linked.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let kept = |c: char| (c.is_alphanumeric() || matches!(c, '-' | '_' | ' ')).then_some(c);
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|line| line.chars().filter_map(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) =
                target.split_once('#').map_or((target, None), |(path, name)| (path, Some(name)));
            let linked = if path.is_empty() { page.clone() } else { page.with_file_name(path) };
            assert!(linked.exists(), "{} links {target}, which is not there", page.display());
            if let Some(anchor) = anchor {
                let there = anchors(&fs::read_to_string(&linked).unwrap());
                assert!(
                    there.contains(anchor),
                    "{} links {target}, and there is only {there:?}",
                    page.display()
                );
            }
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} links were found");
}

/// The commands of a page's quick start: of all blocks of shell in it.
fn quick_start(page: &str) -> Vec<&str> {
    let (_, start) = page.split_once("## Ten commands\n").expect("a quick start");
    let start = start.split("\n## ").next().unwrap_or_default();
    let blocks = start.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).collect()
}

#[test]
fn a_quick_start_has_ten_commands_and_what_it_takes_from_here_is_there() {
    for name in ["proxmox.md", "incus.md"] {
        let text = fs::read_to_string(paths::root().join("docs").join(name)).unwrap();
        let commands = quick_start(&text);
        assert_eq!(commands.len(), 10, "{name}: {commands:#?}");
        let seals =
            commands.iter().filter(|line| line.contains("firstlight-guest") && line.contains(" seal"));
        assert_eq!(seals.count(), 1, "{name} says how the agent comes into the golden");
        for word in
            commands.iter().flat_map(|line| line.split(' ')).filter(|word| word.contains("packaging/"))
        {
            assert!(paths::root().join(word).is_file(), "{name} runs {word}");
        }
        let last = commands.iter().rfind(|line| line.starts_with("firstlight up")).expect("a bring-up");
        assert!(
            text.contains(&format!("# {}", last.trim_start_matches("firstlight up "))),
            "{name} shows the spec"
        );
    }
}

#[test]
fn the_page_of_benchmarks_has_every_subject_and_none_that_failed() {
    let page = fs::read_to_string(paths::root().join("docs/BENCHMARKS.md")).unwrap();
    let missed = fs::read_to_string(paths::root().join("tests/src/figures/missed.md")).unwrap();
    assert!(page.ends_with(&missed), "what is known of missed aims has changed: write the page anew");
    for subject in BenchSubject::value_variants() {
        let subject = subject.to_possible_value().unwrap().get_name().to_owned();
        let (_, part) = page.split_once(&format!("\n## {subject}\n")).unwrap_or_else(|| panic!("{subject}"));
        let part = part.split("\n## ").next().unwrap_or_default();
        let rows = part.lines().filter(|line| line.starts_with("| ")).count();
        assert!(rows > 1 && !part.contains("It failed here"), "{subject}: {part}");
    }
}
