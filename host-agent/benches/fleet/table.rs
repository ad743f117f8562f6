//! What is printed for people: what did not add up, each run in tenths of its time, and all runs in one table.

use comfy_table::presets;

use crate::simulation::{Outcome, Run};

/// So many findings are told.
const TOLD: usize = 30;

/// One run, on stderr: it may be long until the table.
pub(crate) fn tell(outcome: &Outcome) {
    let states: Vec<String> =
        outcome.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    eprintln!("  {} in {:.1} s", states.join(", "), outcome.whole.as_secs_f64());
    for finding in outcome.findings.iter().take(TOLD) {
        eprintln!("  WRONG: {finding}");
    }
    if outcome.findings.len() > TOLD {
        eprintln!("  and {} more", outcome.findings.len() - TOLD);
    }
}

pub(crate) fn print_tenths(run: &Run, outcome: &Outcome) {
    println!("{} guests, {}: tenths of the run", run.guests, run.store.name());
    let mut table = started(&["tenth", "answers", "p50 ms", "p99 ms", "memory MB"]);
    for (number, tenth) in outcome.tenths.iter().enumerate() {
        table.add_row([
            (number + 1).to_string(),
            tenth.reports.to_string(),
            or_dash(tenth.median, 1),
            or_dash(tenth.late, 1),
            or_dash(tenth.memory, 0),
        ]);
    }
    println!("{table}");
}

pub(crate) fn print(runs: &[(Run, Outcome)]) {
    let mut table = started(&[
        "store",
        "guests",
        "faults",
        "seconds",
        "guests/s",
        "ready p50",
        "answer p50",
        "p99",
        "longest",
        "answers",
        "retried",
        "refused",
        "MB",
        "store MB",
        "not accounted for",
    ]);
    for (run, outcome) in runs {
        let seconds = outcome.whole.as_secs_f64();
        table.add_row([
            format!("{} x {}", run.store.companions(), run.store.name()),
            run.guests.to_string(),
            run.faults.to_string(),
            format!("{seconds:.0}"),
            format!("{:.0}", run.guests as f64 / seconds),
            format!("{:.0} ms", outcome.ready),
            format!("{:.1} ms", outcome.first_try.0),
            format!("{:.1} ms", outcome.first_try.1),
            format!("{:.1} s", outcome.longest),
            outcome.answered.to_string(),
            outcome.again.to_string(),
            outcome.refused.to_string(),
            format!("{:.0}", outcome.memory),
            format!("{:.0}", outcome.store_bytes as f64 / 1e6),
            outcome.findings.len().to_string(),
        ]);
    }
    println!("{table}");
    println!("every run again: --seed {}", runs.first().map_or(0, |(run, _)| run.seed));
}

fn or_dash(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn started(heads: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(heads);
    table
}
