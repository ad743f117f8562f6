//! The whole fleet on a terminal: counts on top, then who needs an operator, then what is at work. Pure.

use std::collections::BTreeMap;

use console::{measure_text_width, truncate_str};

use super::display::{NAME_WIDTH, Row, Size, in_words};
use crate::job::Phase;

/// How many jobs are in which state, by its name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Never more lines than fit. What needs an operator comes first, whatever else is cut.
pub(crate) fn fleet(rows: &[Row], counts: &Counts, now_ms: u64, size: Size) -> Vec<String> {
    // The cursor's own line stays free, or the terminal scrolls.
    let room = size.height.saturating_sub(1).max(1);
    let name_width = rows.iter().map(|row| measure_text_width(&row.guest)).max().unwrap_or(0).min(NAME_WIDTH);
    let mut lines = vec![summary(counts)];
    let parts: [(&str, &[Phase]); 4] = [
        ("An operator is needed:", &[Phase::NeedsOperator]),
        ("At work:", &[Phase::Running, Phase::Waiting, Phase::Unwinding]),
        ("Waiting for a turn:", &[Phase::Queued]),
        ("Ended since:", &[Phase::Done, Phase::RolledBack, Phase::Abandoned]),
    ];
    for (heading, phases) in parts {
        let shown: Vec<&Row> = rows.iter().filter(|row| phases.contains(&row.phase)).collect();
        // An empty line, the heading, and one row at least.
        let free = room.saturating_sub(lines.len() + 2);
        if shown.is_empty() || free == 0 {
            continue;
        }
        lines.extend([String::new(), heading.to_owned()]);
        let fit = if shown.len() <= free { shown.len() } else { free - 1 };
        lines.extend(shown[..fit].iter().map(|row| format!("  {}", row.line(name_width, now_ms))));
        if fit < shown.len() {
            lines.push(format!("  and {} more", shown.len() - fit));
        }
    }
    lines.truncate(room);
    lines.iter().map(|line| truncate_str(line, size.width.max(1), "…").into_owned()).collect()
}

/// `41 ready, 2 at work, 1 in need of an operator`.
fn summary(counts: &Counts) -> String {
    let words: [(&str, &[Phase]); 4] = [
        ("in need of an operator", &[Phase::NeedsOperator]),
        ("ready", &[Phase::Done]),
        ("at work", &[Phase::Running, Phase::Waiting, Phase::Unwinding]),
        ("queued", &[Phase::Queued]),
    ];
    let of = |phases: &[Phase]| -> u64 {
        phases.iter().map(|phase| counts.get(phase.as_str()).copied().unwrap_or(0)).sum()
    };
    Some(in_words(&words, of)).filter(|words| !words.is_empty()).unwrap_or_else(|| "no guests".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(guest: &str, phase: Phase) -> Row {
        Row {
            guest: guest.to_owned(),
            phase,
            step: Some("restore".to_owned()),
            step_since_ms: None,
            created_ms: 1_000,
            total_ms: phase.is_final().then_some(2_891),
            retries: 0,
            why: (phase == Phase::NeedsOperator).then(|| "no \u{1b}space".to_owned()),
            trouble: None,
        }
    }

    fn counts() -> Counts {
        [("done", 40), ("running", 1), ("waiting", 1), ("needs-operator", 1), ("rolled-back", 9)]
            .map(|(phase, count)| (phase.to_owned(), count))
            .into()
    }

    #[test]
    fn what_needs_an_operator_is_on_top() {
        let rows = [row("a", Phase::Running), row("b", Phase::NeedsOperator), row("c", Phase::Queued)];
        assert_eq!(
            fleet(&rows, &counts(), 4_000, Size { width: 80, height: 24 }),
            [
                "1 in need of an operator, 40 ready, 2 at work",
                "",
                "An operator is needed:",
                "  b               2.8 s  needs an operator: no \\u{1b}space",
                "",
                "At work:",
                "  a               3.0 s  running restore",
                "",
                "Waiting for a turn:",
                "  c               3.0 s  queued",
            ]
        );
        assert_eq!(fleet(&[], &Counts::new(), 0, Size { width: 80, height: 24 }), ["no guests"]);
    }

    #[test]
    fn it_fits_every_terminal_and_says_what_is_hidden() {
        let mut rows: Vec<Row> = (0..30).map(|n| row(&format!("名前-{n:02}"), Phase::Running)).collect();
        rows.push(row("stuck", Phase::NeedsOperator));
        for height in 0..50 {
            for width in [0, 1, 10, 40, 200] {
                let lines = fleet(&rows, &counts(), 10_000, Size { width, height });
                assert!(lines.len() <= height.saturating_sub(1).max(1), "{height}: {}", lines.len());
                for line in &lines {
                    assert!(measure_text_width(line) <= width.max(1), "{width}: {line}");
                }
            }
        }
        let short = fleet(&rows, &counts(), 10_000, Size { width: 80, height: 10 });
        assert!(short[3].contains("stuck") && short.last().unwrap() == "  and 28 more", "{short:#?}");
    }
}
