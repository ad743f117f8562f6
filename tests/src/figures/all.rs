//! `cargo xtask bench` without a subject: all of them, one after the other, and their table in docs/BENCHMARKS.md.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum as _;

use super::{Row, machine, table};
use crate::args::BenchSubject;
use crate::paths;

const PAGE: &str = "docs/BENCHMARKS.md";
const HEAD: &str = "# Benchmarks\n\n\
    Written by `cargo xtask bench`, which runs every benchmark on one machine, each beside its peers, in turns. Times are medians, with the\n\
    least and the most in brackets where nothing else is said. Ratios travel to other machines; milliseconds do not.\n\n";
/// What is known of aims that are missed.
const MISSED: &str = include_str!("missed.md");

/// What one subject gave.
struct Part {
    subject: String,
    minutes: f64,
    rows: Vec<Row>,
    failed: bool,
}

/// Each subject in a process of its own, as by its own command: none leaves anything to the next. The page is written anew in any case, and
/// says what failed.
///
/// # Errors
/// A benchmark failed, or the page cannot be written.
pub fn all() -> Result<()> {
    let mut parts = Vec::new();
    for subject in BenchSubject::value_variants() {
        let subject = subject.to_possible_value().context("every subject has a name")?.get_name().to_owned();
        eprintln!("bench {subject}");
        parts.push(run(subject)?);
    }
    let path = paths::root().join(PAGE);
    fs::write(&path, page(&machine::facts(), &parts)).with_context(|| path.display().to_string())?;
    println!("{}", path.display());
    let failed: Vec<_> = parts.iter().filter(|part| part.failed).map(|part| part.subject.as_str()).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn run(subject: String) -> Result<Part> {
    let figures = tempfile::NamedTempFile::new()?;
    let start = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    let status = command.args(["bench", &subject]).env(paths::FIGURES_VARIABLE, figures.path()).status()?;
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    let rows = table::read(&fs::read_to_string(figures.path())?);
    Ok(Part { subject, minutes, failed: !status.success() || rows.is_empty(), rows })
}

fn page(facts: &[(&str, String)], parts: &[Part]) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| | |\n|---|---|\n");
    for (word, value) in facts {
        let _ = writeln!(page, "| {word} | {} |", cell(value)); // a String takes everything
    }
    for Part { subject, minutes, rows, failed } in parts {
        let _ = write!(
            page,
            "\n## {subject}\n\n`cargo xtask bench {subject}`, {minutes:.1} minutes with its build."
        );
        page.push_str(if *failed { " **It failed here.**\n" } else { "\n" });
        if rows.is_empty() {
            continue;
        }
        page.push_str("\n| figure | measured | beside | aim | |\n|---|---|---|---|---|\n");
        for Row { figure, ours, beside, aim, met } in rows {
            let met = match met {
                Some(true) => "met",
                Some(false) => "**missed**",
                None => "",
            };
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {met} |",
                cell(figure),
                cell(ours),
                cell(beside),
                cell(aim)
            );
        }
    }
    page.push('\n');
    page.push_str(MISSED);
    page
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_what_failed_and_what_was_missed() {
        let row = |met| Row {
            figure: "lint".to_owned(),
            ours: "0.9 s: 1.2 x".to_owned(),
            beside: "`zstd -dc | tar -t`".to_owned(),
            aim: "<= 1.1".into(),
            met,
        };
        let part =
            |subject: &str, rows, failed| Part { subject: subject.to_owned(), minutes: 1.0, rows, failed };
        let page = page(
            &[("kernel", "Linux 6.1".to_owned())],
            &[part("golden", vec![row(Some(false)), row(None)], false), part("incus", Vec::new(), true)],
        );
        assert!(page.contains("| kernel | Linux 6.1 |"));
        assert!(page.contains("| lint | 0.9 s: 1.2 x | `zstd -dc \\| tar -t` | <= 1.1 | **missed** |"));
        assert!(page.contains("`cargo xtask bench golden`, 1.0 minutes with its build.\n\n| figure"));
        assert!(
            page.contains("`cargo xtask bench incus`, 1.0 minutes with its build. **It failed here.**\n\n##")
        );
        assert!(page.ends_with(MISSED));
    }
}
