//! What a progress display shows: a pure function of the jobs, the time and the terminal's size.

use std::fmt::Display;

use console::{measure_text_width, truncate_str};
use firstlight_shared::text::escape;

use crate::backend::Trouble;
use crate::job::Phase;

/// Of the name's column; longer names are cut.
pub(super) const NAME_WIDTH: usize = 24;

/// One job as a display needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) guest: String,
    pub(crate) phase: Phase,
    pub(crate) step: Option<String>,
    /// Milliseconds since the epoch.
    pub(crate) step_since_ms: Option<u64>,
    pub(crate) created_ms: u64,
    /// How long the whole job took, once it has ended.
    pub(crate) total_ms: Option<u64>,
    /// How often the step's outcome was in doubt.
    pub(crate) retries: u32,
    /// Why a queued job has not begun, or why an ended one failed.
    pub(crate) why: Option<String>,
    /// What keeps a job at work from going on.
    pub(crate) trouble: Option<Trouble>,
}

/// Columns and lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Row {
    /// What the job is about, in words, without times: a plain line is printed when this changes.
    pub(crate) fn describe(&self) -> String {
        let step = self.step.as_deref().unwrap_or("?");
        let why = self.why.as_deref().map(|why| format!(": {}", escape(why, 200))).unwrap_or_default();
        let retries = match self.retries {
            0 => String::new(),
            1 => " (tried once before)".to_owned(),
            n => format!(" (tried {n} times before)"),
        };
        let trouble = match &self.trouble {
            Some(trouble) => format!("; tries again: {}", escape(&trouble.fault.message, 500)),
            None => String::new(),
        };
        match self.phase {
            Phase::Queued => format!("queued{why}"),
            Phase::Running => format!("running {step}{retries}{trouble}"),
            Phase::Waiting => format!("waiting for the guest's report{trouble}"),
            Phase::Unwinding => format!("unwinding{why}{trouble}"),
            Phase::Done => {
                format!("ready{}", self.total_ms.map(|ms| format!(" in {}", seconds(ms))).unwrap_or_default())
            }
            Phase::RolledBack => format!("rolled back{why}"),
            Phase::NeedsOperator => format!("needs an operator{why}"),
            Phase::Abandoned => "abandoned".to_owned(),
        }
    }

    pub(super) fn line(&self, name_width: usize, now_ms: u64) -> String {
        let name = pad(&truncate_str(&escape(&self.guest, NAME_WIDTH), name_width, "…"), name_width);
        let total = seconds(self.total_ms.unwrap_or_else(|| now_ms.saturating_sub(self.created_ms)));
        let in_step = match (self.phase.is_final() || self.phase == Phase::Queued, self.step_since_ms) {
            (false, Some(since)) => seconds(now_ms.saturating_sub(since)),
            _ => String::new(),
        };
        let what = match (self.phase, &self.trouble) {
            // The total says it already.
            (Phase::Done, _) => "ready".to_owned(),
            // The times before the reason: that is what a narrow terminal cuts.
            (_, Some(trouble)) => {
                let so_far = Self { trouble: None, ..self.clone() }.describe();
                let when = standstill(trouble, now_ms);
                format!("{so_far}; {when}: {}", escape(&trouble.fault.message, 500))
            }
            _ => self.describe(),
        };
        format!("{name}  {in_step:>8}  {total:>8}  {what}")
    }

    /// What people must see first: failures, then work, then the rest.
    fn shown_when_short(&self) -> bool {
        !matches!(self.phase, Phase::Done | Phase::Queued | Phase::RolledBack | Phase::Abandoned)
    }
}

/// `stands still for 12.3 s, next try in 2.0 s`
pub(crate) fn standstill(trouble: &Trouble, now_ms: u64) -> String {
    let since = seconds(now_ms.saturating_sub(trouble.since_ms));
    let next = match trouble.next_try_ms.map(|next| next.saturating_sub(now_ms)) {
        Some(0) => "tried again just now".to_owned(),
        Some(left) => format!("next try in {}", seconds(left)),
        None => "tried again every few seconds".to_owned(),
    };
    format!("stands still for {since}, {next}")
}

/// `12.3 s`, `2:05 min`.
pub(crate) fn seconds(milliseconds: u64) -> String {
    match milliseconds / 1000 {
        whole @ 0..120 => format!("{whole}.{} s", milliseconds % 1000 / 100),
        whole @ 120..7200 => format!("{}:{:02} min", whole / 60, whole % 60),
        whole => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}

/// The lines to show, never more than fit: all jobs; or, if these are too many, those at work and stuck ones, and the
/// others as counts.
pub(crate) fn frame(rows: &[Row], now_ms: u64, size: Size) -> Vec<String> {
    // The cursor's own line stays free, or the terminal scrolls.
    let room = size.height.saturating_sub(1).max(1);
    let name_width = rows.iter().map(|row| measure_text_width(&row.guest)).max().unwrap_or(0).min(NAME_WIDTH);
    let line = |row: &Row| truncate_str(&row.line(name_width, now_ms), size.width.max(1), "…").into_owned();
    if rows.len() <= room {
        return rows.iter().map(line).collect();
    }
    let wanted: Vec<&Row> = rows.iter().filter(|row| row.shown_when_short()).collect();
    let shown = wanted.len().min(room - 1);
    let mut lines: Vec<String> = wanted[..shown].iter().map(|row| line(row)).collect();
    let hidden = wanted.len() - shown;
    let more = if hidden > 0 { format!(" ({hidden} of them not shown)") } else { String::new() };
    lines.push(truncate_str(&format!("{}{more}", counts(rows)), size.width.max(1), "…").into_owned());
    lines
}

/// `40 guests: 3 queued, 2 at work, 35 ready`.
pub(crate) fn counts(rows: &[Row]) -> String {
    let words: [(&str, &[Phase]); 6] = [
        ("queued", &[Phase::Queued]),
        ("at work", &[Phase::Running, Phase::Waiting, Phase::Unwinding]),
        ("ready", &[Phase::Done]),
        ("rolled back", &[Phase::RolledBack]),
        ("in need of an operator", &[Phase::NeedsOperator]),
        ("abandoned", &[Phase::Abandoned]),
    ];
    let of = |phases: &[Phase]| rows.iter().filter(|row| phases.contains(&row.phase)).count();
    let guests = if rows.len() == 1 { "1 guest" } else { &format!("{} guests", rows.len()) };
    format!("{guests}: {}", in_words(&words, of))
}

/// `3 queued, 2 at work`; what is not there is not named.
pub(super) fn in_words<N: Display + Default + PartialOrd>(
    words: &[(&str, &[Phase])],
    of: impl Fn(&[Phase]) -> N,
) -> String {
    let counted = words.iter().map(|(word, phases)| (of(phases), word));
    let there = counted.filter(|(count, _)| *count > N::default());
    there.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(measure_text_width(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(guest: &str, phase: Phase) -> Row {
        Row {
            guest: guest.to_owned(),
            phase,
            step: Some("restore".to_owned()),
            step_since_ms: Some(7_000),
            created_ms: 1_000,
            total_ms: phase.is_final().then_some(2_891),
            retries: 0,
            why: None,
            trouble: None,
        }
    }

    const WIDE: Size = Size { width: 80, height: 24 };

    #[test]
    fn each_guest_has_a_line_while_they_fit() {
        let mut stuck = row("b", Phase::NeedsOperator);
        stuck.why = Some("no \u{1b}[31mspace".to_owned());
        let mut again = row("longer-name", Phase::Running);
        again.retries = 2;
        let lines = frame(&[again, stuck, row("c", Phase::Done), row("d", Phase::Waiting)], 10_300, WIDE);
        assert_eq!(
            lines,
            [
                "longer-name     3.3 s     9.3 s  running restore (tried 2 times before)",
                "b                         2.8 s  needs an operator: no \\u{1b}[31mspace",
                "c                         2.8 s  ready",
                "d               3.3 s     9.3 s  waiting for the guest's report",
            ]
        );
    }

    #[test]
    fn what_stands_still_says_since_when_and_why() {
        let fault = crate::outcome::Fault::new("x", "GET /nodes: pve1:8006 does not answer");
        let mut stuck = row("a", Phase::Running);
        stuck.trouble = Some(Trouble { fault, since_ms: 6_000, next_try_ms: Some(12_500) });
        let wide = Size { width: 200, height: 24 };
        assert_eq!(
            frame(&[stuck.clone()], 10_300, wide),
            [
                "a     3.3 s     9.3 s  running restore; stands still for 4.3 s, next try in 2.2 s: GET /nodes: pve1:8006 does not answer"
            ]
        );
        // Plain lines tell what changed, and not each second.
        assert_eq!(stuck.describe(), "running restore; tries again: GET /nodes: pve1:8006 does not answer");
        for (next_try_ms, said) in
            [(Some(1), "tried again just now"), (None, "tried again every few seconds")]
        {
            let trouble = stuck.trouble.clone().map(|trouble| Trouble { next_try_ms, ..trouble });
            assert!(standstill(&trouble.unwrap(), 10_300).ends_with(said));
        }
    }

    #[test]
    fn a_batch_that_does_not_fit_shows_work_and_counts() {
        let mut rows: Vec<Row> = (0..40).map(|n| row(&format!("web-{n:02}"), Phase::Done)).collect();
        rows[7].phase = Phase::Running;
        rows[8].phase = Phase::NeedsOperator;
        rows[9].phase = Phase::Queued;
        let lines = frame(&rows, 10_000, WIDE);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[0].starts_with("web-07") && lines[1].starts_with("web-08"), "{lines:#?}");
        assert_eq!(lines[2], "40 guests: 1 queued, 1 at work, 37 ready, 1 in need of an operator");
    }

    #[test]
    fn nothing_is_ever_wider_or_higher_than_the_terminal() {
        let rows: Vec<Row> = (0..40).map(|n| row(&format!("名前-{n:02}"), Phase::Running)).collect();
        for height in 0..50 {
            for width in [0, 1, 2, 10, 40, 200] {
                let lines = frame(&rows, 10_000, Size { width, height });
                assert!(lines.len() <= height.saturating_sub(1).max(1), "{height}: {}", lines.len());
                for line in &lines {
                    assert!(measure_text_width(line) <= width.max(1), "{width}: {line}");
                }
            }
        }
        let short = frame(&rows, 10_000, Size { width: 80, height: 5 });
        assert_eq!(short[3], "40 guests: 40 at work (37 of them not shown)");
    }

    #[test]
    fn times_are_as_long_as_they_must_be() {
        for (ms, shown) in [(0, "0.0 s"), (119_999, "119.9 s"), (125_000, "2:05 min"), (7_260_000, "2:01 h")]
        {
            assert_eq!(seconds(ms), shown);
        }
    }
}
