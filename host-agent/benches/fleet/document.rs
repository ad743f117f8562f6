//! What is printed for programs: one JSON document of all runs.

use serde_json::{Value, json};

use crate::simulation::{Outcome, Run, Tenth};

/// Units are in the names: milliseconds, seconds, MB of a million bytes.
pub(crate) fn of(seed: u64, runs: &[(Run, Outcome)]) -> Value {
    json!({ "seed": seed, "runs": runs.iter().map(|(run, outcome)| one(run, outcome)).collect::<Vec<_>>() })
}

fn one(run: &Run, outcome: &Outcome) -> Value {
    let seconds = outcome.whole.as_secs_f64();
    json!({
        "store": run.store.name(),
        "companions": run.store.companions(),
        "guests": run.guests,
        "faults": run.faults,
        "seconds": seconds,
        "guests_per_second": run.guests as f64 / seconds,
        "ready_p50_ms": outcome.ready,
        "answer_p50_ms": outcome.first_try.0,
        "answer_p99_ms": outcome.first_try.1,
        "answer_longest_s": outcome.longest,
        "answers": outcome.answered,
        "retried": outcome.again,
        "refused": outcome.refused,
        "memory_mb": outcome.memory,
        "store_mb": outcome.store_bytes as f64 / 1e6,
        "states": outcome.states,
        "tenths": outcome.tenths.iter().map(tenth).collect::<Vec<_>>(),
        "not_accounted_for": outcome.findings,
    })
}

/// A tenth without an answer has no latency, one in which no companion ran no memory: null.
fn tenth(tenth: &Tenth) -> Value {
    json!({
        "answers": tenth.reports,
        "answer_p50_ms": tenth.median,
        "answer_p99_ms": tenth.late,
        "memory_mb": tenth.memory,
    })
}
