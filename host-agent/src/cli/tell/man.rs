//! The manual, made from the definition of the command line.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::super::args::Arguments;
use super::super::failure::{Exit, Failure};
use super::super::print;
use super::file;

/// Stands where manual pages have a date: the page is the same whenever it is made.
const VERSION: &str = concat!("firstlight ", env!("CARGO_PKG_VERSION"));

/// Prints firstlight(1), or writes the pages of all commands.
pub(in crate::cli) fn man(folder: Option<&Path>) -> Result<Exit, Failure> {
    let pages = pages();
    let Some(folder) = folder else {
        let whole = pages.into_iter().find(|(name, _)| name == "firstlight.1");
        return print(&whole.map(|(_, page)| page).unwrap_or_default());
    };
    let failed = |path: &Path, error: &std::io::Error| {
        let failure = Failure::new(Exit::Environment, format!("{}: {error}", path.display()));
        failure.hint("name a folder that you may write to")
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for (name, page) in pages {
        let path = folder.join(name);
        file::write(&path, page.as_bytes()).map_err(|error| failed(&path, &error))?;
    }
    Ok(Exit::Ok)
}

/// File names and pages, the program's own first.
fn pages() -> Vec<(String, String)> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages);
    pages
}

fn add(command: &clap::Command, pages: &mut Vec<(String, String)>) {
    let man = Man::new(command.clone()).date(VERSION).source("Firstlight").manual("Firstlight Manual");
    let mut page = Vec::new();
    // Writing into memory does not fail.
    if man.render(&mut page).is_ok() {
        pages.push((man.get_filename(), String::from_utf8_lossy(&page).into_owned()));
    }
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        add(child, pages);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn there_is_a_page_for_each_command_and_groff_has_nothing_to_say() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for wanted in ["firstlight.1", "firstlight-up.1", "firstlight-store-backup.1", "firstlight-man.1"] {
            assert!(names.contains(&wanted), "{names:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        man(Some(&folder.path().join("man1"))).unwrap();
        for (name, page) in &pages {
            let path = folder.path().join("man1").join(name);
            assert_eq!(fs::read_to_string(&path).unwrap(), *page);
            let drawn = Command::new("groff")
                .args(["-ww", "-man", "-Tutf8", "-rLL=80n", "-dAD=l"])
                .arg(&path)
                .output()
                .expect("groff is there: `apt-get install groff-base`");
            let said = String::from_utf8_lossy(&drawn.stderr);
            assert!(drawn.status.success() && said.is_empty(), "{name}: {said}");
            let lines = drawn.stdout.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines > 15, "{name} has {lines} lines");
            for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXTRA"] {
                // What only holds other commands shows no example of its own.
                let holds = section == ".SH EXTRA" && page.contains(".SH SUBCOMMANDS");
                assert!(page.contains(section) || holds, "{name} lacks {section}");
            }
        }
    }
}
