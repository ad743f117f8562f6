//! `cargo xtask fuzz`: libFuzzer on the parsers of both programs, on the stable toolchain and without cargo-fuzz.
//!
//! What is found is left in .firstlight/fuzz; a finding becomes a seed in tests/fuzz/corpus, which the unit tests run as
//! well.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::{build, paths, run};

/// As cargo-fuzz gives them with `--sanitizer none`.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
/// Folders of corpora, too.
const PROGRAMS: &[&str] = &["guest", "host"];
/// The environment variable that tells the fuzzer its target.
const TARGET_VARIABLE: &str = "FIRSTLIGHT_FUZZ";

/// Runs one target (`sshd-config`, or `guest/config` where both have one), all of a program, or every one, each for so long.
///
/// # Errors
/// It cannot be built, or a target failed on some input; the message names the file that holds it.
pub fn fuzz(only: Option<&str>, seconds: u64) -> Result<()> {
    let crate_folder = paths::root().join("tests/fuzz");
    let output = paths::target().join("fuzz");
    let triple = paths::host_triple()?;
    eprintln!("building the fuzzer");
    let mut cargo = build::cargo();
    // A target of its own and by name, so that build scripts are not instrumented.
    cargo.args(["build", "--release", "--locked", "--target", &triple, "--target-dir"]).arg(&output);
    cargo.current_dir(&crate_folder).env("RUSTFLAGS", FLAGS.join(" "));
    run::must(&mut cargo)?;
    let mut ran = 0;
    for program in PROGRAMS {
        let corpora = crate_folder.join("corpus").join(program);
        let fuzzer = output.join(&triple).join("release").join(program);
        for name in names(&corpora)? {
            let full = format!("{program}/{name}");
            if only.is_none_or(|only| only == name || only == full || only == *program) {
                run_target(&fuzzer, &corpora.join(&name), &full, &name, seconds)?;
                ran += 1;
            }
        }
    }
    ensure!(ran > 0, "there is no target `{}`: tests/fuzz/corpus has them all", only.unwrap_or_default());
    Ok(())
}

fn names(corpora: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpora).with_context(|| format!("there is no corpus {}", corpora.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn run_target(program: &Path, corpus: &Path, full: &str, name: &str, seconds: u64) -> Result<()> {
    let found = paths::scratch().join("fuzz").join(full);
    fs::create_dir_all(&found).with_context(|| format!("{} cannot be made", found.display()))?;
    let mut fuzzer = std::process::Command::new(program);
    fuzzer.env(TARGET_VARIABLE, name);
    // What is new goes to the first folder; the seeds are only read.
    fuzzer.arg(&found).arg(corpus);
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", found.display()));
    fuzzer.args(["-timeout=5", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1"]);
    let ran = run::run(&mut fuzzer)?;
    if !ran.ok() {
        bail!("{full} failed; the input is in {}:\n{}", found.display(), run::tail(&ran.stderr, 40));
    }
    let executed = ran.stderr.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("{full:<22} ok, {} inputs", executed.unwrap_or("?").trim());
    Ok(())
}
