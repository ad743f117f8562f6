//! Words, spans and times for people. Pure.

use crate::clock::utc;
use crate::job::Phase;

/// A state as it is shown: its word, and the class that colours it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Badge {
    pub(super) word: &'static str,
    pub(super) class: &'static str,
}

pub(super) fn badge(phase: Phase) -> Badge {
    let (word, class) = match phase {
        Phase::Queued => ("queued", "wait"),
        Phase::Running => ("running", "busy"),
        Phase::Waiting => ("waiting", "busy"),
        Phase::Unwinding => ("unwinding", "busy"),
        Phase::Done => ("ready", "good"),
        Phase::RolledBack => ("rolled back", "gone"),
        Phase::NeedsOperator => ("needs operator", "bad"),
        Phase::Abandoned => ("abandoned", "gone"),
    };
    Badge { word, class }
}

/// `840 ms`, `2.9 s`, `1 min 12 s`, `3 h 5 min`, `12 d`.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => two(seconds, 60, "min", 1, "s"),
        3600..172_800 => two(seconds, 3600, "h", 60, "min"),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn two(seconds: u64, large: u64, name: &str, small: u64, part: &str) -> String {
    match seconds % large / small {
        0 => format!("{} {name}", seconds / large),
        rest => format!("{} {name} {rest} {part}", seconds / large),
    }
}

/// A moment: how long ago it is (in words), and when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) ago: String,
    /// `2026-11-22 03:04:05 UTC`
    pub(super) utc: String,
    /// `2026-11-22T03:04:05Z`
    pub(super) machine: String,
    /// The order of a column.
    pub(super) ms: u64,
}

pub(super) fn moment(ms: u64, now_ms: u64) -> Moment {
    let utc = utc(ms);
    let machine = utc.replacen(' ', "T", 1).replace(" UTC", "Z");
    Moment { ago: coarse(now_ms.saturating_sub(ms)), utc, machine, ms }
}

/// `now`, `12 s`, `3 min`, `5 h`, `2 d`.
pub(super) fn coarse(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..2 => "now".to_owned(),
        2..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// As part of an address.
pub(super) fn encoded(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_parts_at_most() {
        for (ms, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (2891, "2.8 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min"),
            (72_000, "1 min 12 s"),
            (3_600_000, "1 h"),
            (11_100_000, "3 h 5 min"),
            (1_036_800_000, "12 d"),
        ] {
            assert_eq!(span(ms), shown);
        }
    }

    #[test]
    fn moments_are_told_three_ways_and_the_future_is_now() {
        let moment = moment(1_795_316_645_000, 1_795_316_845_000);
        assert_eq!((&*moment.ago, &*moment.machine), ("3 min", "2026-11-22T03:04:05Z"));
        assert_eq!(super::moment(5000, 0).ago, "now");
        for (ms, shown) in [(1500, "now"), (90_000, "90 s"), (7_200_000, "2 h"), (172_800_000, "2 d")] {
            assert_eq!(coarse(ms), shown);
        }
    }

    #[test]
    fn every_state_has_a_word() {
        assert_eq!(badge(Phase::Done), Badge { word: "ready", class: "good" });
        assert_eq!(badge(Phase::NeedsOperator).class, "bad");
    }
}
