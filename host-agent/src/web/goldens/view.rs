//! Bring-ups, golden by golden: counts, the median, and its trend as a picture with words. Pure.

use std::collections::BTreeMap;

use firstlight_shared::text::escape;

use super::super::words::{Moment, encoded, moment, span};
use super::lint::{Lint, lint};
use crate::job::Phase;
use crate::store::{GoldenRun, GoldenVerdict};

/// Bring-ups of a trend.
const TREND: usize = 30;
/// Of the picture, in its own units.
const WIDTH: u64 = 180;
const HEIGHT: u64 = 36;
const EDGE: u64 = 3;

/// One golden image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Golden {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) whole: String,
    pub(super) backend: String,
    pub(super) made: usize,
    /// Guests that are there and ready.
    pub(super) ready: usize,
    pub(super) failed: usize,
    /// Not ended so far.
    pub(super) open: usize,
    /// Empty: no guest of it was ever ready.
    pub(super) median: String,
    pub(super) trend: Option<Trend>,
    pub(super) last: Moment,
    pub(super) lint: Lint,
    /// Its guests in the fleet.
    pub(super) href: String,
}

/// How long the last bring-ups took, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trend {
    /// `x,y` of each, with blanks between.
    pub(super) points: String,
    /// The same in words.
    pub(super) words: String,
}

pub(super) fn goldens(runs: &[GoldenRun], verdicts: &[GoldenVerdict], now_ms: u64) -> Vec<Golden> {
    let mut by_golden: BTreeMap<(&str, &str), Vec<&GoldenRun>> = BTreeMap::new();
    for run in runs {
        by_golden.entry((&run.golden, &run.backend)).or_default().push(run);
    }
    let mut found: Vec<Golden> = by_golden
        .into_iter()
        .enumerate()
        .map(|(number, ((name, backend), runs))| {
            let verdict =
                verdicts.iter().find(|verdict| verdict.golden == name && verdict.backend == backend);
            let mark = runs.first().and_then(|run| run.mark.as_deref());
            let lint = lint(verdict, backend, name, mark, now_ms);
            golden(number, name, backend, &runs, lint, now_ms)
        })
        .collect();
    found.sort_by_key(|golden| std::cmp::Reverse(golden.last.ms));
    found
}

/// `runs`: newest first.
fn golden(number: usize, name: &str, backend: &str, runs: &[&GoldenRun], lint: Lint, now_ms: u64) -> Golden {
    let took = |run: &&GoldenRun| run.ready_ms.map(|ready| ready.saturating_sub(run.created_ms));
    let mut times: Vec<u64> = runs.iter().filter_map(took).take(TREND).collect();
    times.reverse();
    let count = |fits: fn(&GoldenRun) -> bool| runs.iter().filter(|run| fits(run)).count();
    Golden {
        id: format!("golden-{number}"),
        name: escape(name.rsplit(['/', ':']).next().unwrap_or(name), 80),
        whole: escape(name, 200),
        backend: escape(backend, 40),
        made: runs.len(),
        ready: count(|run| run.phase == Phase::Done),
        failed: count(|run| run.failed && run.ready_ms.is_none() && run.phase.is_final()),
        open: count(|run| !run.phase.is_final()),
        median: median(&times).map(span).unwrap_or_default(),
        trend: trend(&times),
        last: moment(runs.first().map_or(0, |run| run.created_ms), now_ms),
        lint,
        href: format!("/ui/?golden={}&backend={}", encoded(name), encoded(backend)),
    }
}

fn median(times: &[u64]) -> Option<u64> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => sorted.get(middle).copied(),
        _ => Some(sorted.get(middle - 1)?.midpoint(*sorted.get(middle)?)),
    }
}

/// None: one bring-up is no trend. The picture begins at 0, so that what looks like twice is twice.
fn trend(times: &[u64]) -> Option<Trend> {
    let (first, last) = times.split_at_checked(times.len() / 2)?;
    let (before, now) = (median(first)?, median(last)?);
    let highest = times.iter().copied().max()?.max(1);
    let steps = u64::try_from(times.len()).ok()?.saturating_sub(1).max(1);
    let point = |(number, time): (usize, &u64)| {
        let x = EDGE + (WIDTH - 2 * EDGE) * u64::try_from(number).unwrap_or(0) / steps;
        let height = u128::from(*time) * u128::from(HEIGHT - 2 * EDGE) / u128::from(highest);
        let y = HEIGHT - EDGE - u64::try_from(height).unwrap_or(0);
        format!("{x},{y}")
    };
    let points: Vec<String> = times.iter().enumerate().map(point).collect();
    let change = if now > before.saturating_add(before / 10) {
        "slower"
    } else if now < before.saturating_sub(before / 10) {
        "faster"
    } else {
        "steady"
    };
    let words = format!("{change}: {} before, {} of late (last {})", span(before), span(now), times.len());
    Some(Trend { points: points.join(" "), words })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(golden: &str, phase: Phase, created_ms: u64, took: Option<u64>) -> GoldenRun {
        GoldenRun {
            job: "j".into(),
            golden: golden.into(),
            mark: None,
            backend: "local".into(),
            phase,
            created_ms,
            ready_ms: took.map(|took| created_ms + took),
            failed: took.is_none(),
        }
    }

    #[test]
    fn goldens_are_counted_with_guests_that_are_gone() {
        let runs = [
            run("/g/b.tar", Phase::Running, 900, None),
            run("/g/a.tar", Phase::RolledBack, 500, Some(3000)),
            run("/g/a.tar", Phase::Done, 400, Some(2000)),
            run("/g/a.tar", Phase::RolledBack, 300, None),
            run("/g/a.tar", Phase::NeedsOperator, 200, None),
            run("/g/a.tar", Phase::Done, 100, Some(1000)),
        ];
        let shown = goldens(&runs, &[], 1000);
        let [b, a] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!((&*b.name, b.made, b.open, b.failed, &*b.median), ("b.tar", 1, 1, 0, ""));
        assert_eq!((a.made, a.ready, a.failed, a.open, &*a.median), (5, 2, 2, 0, "2.0 s"));
        assert_eq!(a.href, "/ui/?golden=%2Fg%2Fa.tar&backend=local");
        assert_eq!(a.trend.as_ref().unwrap().words, "slower: 1.0 s before, 2.5 s of late (last 3)");
    }

    #[test]
    fn a_trend_is_drawn_from_zero_within_its_picture() {
        assert_eq!(trend(&[]), None);
        assert_eq!(trend(&[5]), None);
        assert_eq!(trend(&[0, 0]).unwrap().points, "3,33 177,33");
        assert_eq!(trend(&[100, 50, 100]).unwrap().points, "3,3 90,18 177,3");
        assert_eq!(trend(&[u64::MAX, u64::MAX]).unwrap().points, "3,3 177,3");
        assert!(trend(&[10, 10, 9, 9]).unwrap().words.starts_with("steady"));
        assert!(trend(&[10, 10, 5, 5]).unwrap().words.starts_with("faster"));
        assert_eq!(median(&[4, 1, 3, 2]), Some(2));
    }

    #[test]
    fn a_hostile_name_is_only_a_name() {
        let shown = goldens(&[run("\u{1b}]0;x\u{7}/\"><script>", Phase::Done, 1, Some(1))], &[], 2);
        assert_eq!((&*shown[0].id, &*shown[0].name), ("golden-0", "\"><script>"));
        assert!(shown[0].whole.starts_with("\\u{1b}") && !shown[0].href.contains('<'));
    }
}
