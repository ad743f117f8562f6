//! Evidence as a page: who says what of whom, and every comparison.

use firstlight_shared::wire::Evidence;

use super::super::live::seconds;
use super::{safe, table};
use crate::clock::utc;
use crate::evidence::{Compared, Over, Statement};

/// `signed_by`: by what names an operator knows the keys of guest and companion.
pub(in crate::cli) fn statement(
    statement: &Statement,
    evidence: Option<&Evidence>,
    comparison: &[Compared],
    signed_by: Option<&[String; 2]>,
) -> String {
    let holds = statement.holds && comparison.iter().all(|one| one.holds);
    let mut facts = vec![
        ("guest", safe(&statement.guest)),
        ("holds", if holds { "yes".to_owned() } else { "no".to_owned() }),
        ("asked by", format!("{} at {}", safe(&statement.asked.by), utc(statement.asked.at_ms))),
        ("answered", answered(statement)),
    ];
    if let Some(evidence) = evidence {
        facts.push(("guest's time", utc(evidence.report.made_at_ms)));
        facts.extend(evidence.uptime_ms.map(|uptime| ("up for", seconds(uptime))));
    }
    facts.push((
        "compared to",
        match &statement.bring_up {
            Some(then) => {
                format!(
                    "job {}, reported {} ({})",
                    safe(&statement.job),
                    utc(then.received_at_ms),
                    then.trust.as_str()
                )
            }
            None => format!("job {}, of which there is no report", safe(&statement.job)),
        },
    ));
    let running = if statement.observed.running { "running" } else { "stopped" };
    facts.push(("hypervisor", format!("{}: {running}", safe(&statement.backend))));
    if let Some([guest, companion]) = signed_by {
        facts.push(("guest's key", safe(guest)));
        facts.push(("companion's", safe(companion)));
    }
    for problem in &statement.problems {
        facts.push(("problem", format!("{} ({})", safe(&problem.message), safe(&problem.code))));
    }
    let mut out: String = facts.iter().map(|(label, value)| format!("{label:12} {value}\n")).collect();
    out.push('\n');
    let row = |one: &Compared| {
        vec![
            safe(&one.what),
            if one.holds { "yes".to_owned() } else { "no".to_owned() },
            one.outcome.as_str().to_owned(),
            safe(one.was.as_deref().unwrap_or_default()),
            safe(one.is.as_deref().unwrap_or_default()),
        ]
    };
    out.push_str(&table(&["WHAT", "HOLDS", "HOW", "WAS", "IS"], comparison.iter().map(row)));
    out
}

fn answered(statement: &Statement) -> String {
    match statement.asked.over {
        Over::Command => {
            let took = statement.answered_at_ms.saturating_sub(statement.asked.at_ms);
            format!("within {}, by a command that the hypervisor ran", seconds(took))
        }
        Over::Timer => format!("{}, by its own timer", utc(statement.answered_at_ms)),
    }
}
