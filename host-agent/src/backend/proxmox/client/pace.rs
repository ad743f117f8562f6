//! When a task is asked about: at the moment when it should end, as the last ones of its kind did. Where tasks of one kind
//! queue (restores do, on their storage's lock), one ends a while after the one before it, and that while is learnt as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::upid::Upid;

const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(2);
const AROUND: Duration = Duration::from_millis(100);
/// Nobody waits longer without a question.
const LONG: Duration = Duration::from_secs(60);

/// What is known of all tasks that this client follows. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    lines: Arc<Mutex<HashMap<Kind, Line>>>,
}

/// Node and kind of task.
type Kind = (String, String);

#[derive(Debug)]
struct Line {
    learnt: Learnt,
    /// In the order of their beginning.
    running: Vec<(u64, Instant)>,
    next: u64,
    last_end: Option<Instant>,
    /// Somebody's end changes what is expected of those behind.
    ended: watch::Sender<()>,
}

/// Of one kind of task on one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Learnt {
    /// From the beginning to the end of one that waits for nobody.
    alone: Option<Duration>,
    /// From one's end to the next one's, where several run at once.
    apart: Duration,
}

/// A task's place in the line of its kind; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pace: Pace,
    kind: Kind,
    number: u64,
    began: Instant,
    ended: watch::Receiver<()>,
}

impl Pace {
    /// The task begins now, as far as is known.
    pub(super) fn enter(&self, upid: &Upid) -> Place {
        let (kind, began) = ((upid.node.clone(), upid.kind.clone()), Instant::now());
        let mut lines = self.lock();
        let line = lines.entry(kind.clone()).or_insert_with(|| Line {
            learnt: Learnt::default(),
            running: Vec::new(),
            next: 0,
            last_end: None,
            ended: watch::channel(()).0,
        });
        line.next += 1;
        let number = line.next;
        line.running.push((number, began));
        let ended = line.ended.subscribe();
        drop(lines);
        Place { pace: self.clone(), kind, number, began, ended }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Sleeps until the next question makes sense, or `deadline`.
    pub(super) async fn pause(&mut self, deadline: Instant) {
        let asked = Instant::now();
        // Whoever is ahead may hang, and hold up nobody.
        let deadline = (self.next(asked) + LATER).min(deadline);
        loop {
            let at = self.next(asked).min(deadline);
            tokio::select! {
                () = tokio::time::sleep_until(at) => {
                    // Those ahead may be late: then so is this one.
                    if Instant::now() >= self.next(asked).min(deadline) {
                        return;
                    }
                }
                Ok(()) = self.ended.changed() => {}
            }
        }
    }

    /// When the next question after one at `asked` is due.
    fn next(&self, asked: Instant) -> Instant {
        let lines = self.pace.lock();
        let Some(line) = lines.get(&self.kind) else { return asked + SOON };
        let end = expected(line.learnt, line.last_end, &line.running, self.number, Instant::now());
        let usual = end.map(|end| end.saturating_duration_since(self.began));
        asked + pause(usual, line.learnt.alone, asked.saturating_duration_since(self.began))
    }

    /// It has ended, just now.
    pub(super) fn ended(self) {
        let now = Instant::now();
        let mut lines = self.pace.lock();
        if let Some(line) = lines.get_mut(&self.kind) {
            // The one before it in the line, if that ended while this one ran.
            let before = line.last_end.filter(|end| *end > self.began).map(|end| now - end);
            line.learnt = line.learnt.and(now - self.began, before);
            line.last_end = Some(now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.pace.lock();
        if let Some(line) = lines.get_mut(&self.kind) {
            line.running.retain(|(number, _)| *number != self.number);
            line.ended.send_replace(());
        }
    }
}

impl Learnt {
    /// `before`: how long ago the one ahead ended, if there was one when this task began. Each counts for a third.
    fn and(self, took: Duration, before: Option<Duration>) -> Self {
        let mix = |known: Duration, new: Duration| (known * 2 + new) / 3;
        match (before, self.alone) {
            // It took longer than alone: it waited for the one ahead.
            (Some(apart), Some(alone)) if took > alone + alone / 10 => {
                let apart = if self.apart.is_zero() { apart } else { mix(self.apart, apart) };
                Self { apart, ..self }
            }
            (before, alone) => Self {
                alone: Some(alone.map_or(took, |alone| mix(alone, took))),
                apart: match before {
                    Some(before) if before < self.apart => mix(self.apart, before),
                    _ => self.apart,
                },
            },
        }
    }
}

/// When the task of this number should end. None: nothing is known.
fn expected(
    learnt: Learnt,
    last_end: Option<Instant>,
    running: &[(u64, Instant)],
    number: u64,
    now: Instant,
) -> Option<Instant> {
    let alone = learnt.alone?;
    let mut ahead = last_end;
    for (of, began) in running {
        let own = *began + alone;
        let end = match ahead {
            // Nobody was at work any more when it began.
            Some(ahead) if ahead > *began => own.max(ahead + learnt.apart),
            _ => own,
        };
        if *of == number {
            return Some(end);
        }
        ahead = Some(end.max(now));
    }
    None
}

/// Until the next question. About a task of which it is known when it should end (`usual` after its beginning): shortly
/// before that time, and often around it. About any other, and one that takes longer: after a tenth of what it has taken,
/// so that little is waited beyond its end, and long ones are rarely asked about.
fn pause(usual: Option<Duration>, alone: Option<Duration>, running: Duration) -> Duration {
    let unknown = (running / 10).clamp(SOON, LATER);
    let (Some(usual), Some(alone)) = (usual.map(|usual| usual.min(LONG)), alone.map(|alone| alone.min(LONG)))
    else {
        return unknown;
    };
    let soonest = usual.saturating_sub(alone / 50);
    if running < soonest {
        (soonest - running).max(AROUND)
    } else if running < usual + alone / 4 {
        (alone / 20).clamp(AROUND, LATER)
    } else {
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn short_tasks_are_asked_often_and_long_ones_rarely() {
        for (usual, running, wait) in [
            (None, millis(0), millis(200)),
            (None, 4 * S, millis(400)),
            (None, 600 * S, 2 * S),
            (Some(2 * S), millis(0), millis(1960)),
            (Some(2 * S), millis(1970), millis(100)),
            (Some(2 * S), millis(2400), millis(100)),
            (Some(2 * S), millis(2500), millis(250)),
            (Some(24 * S), millis(23_600), millis(1200)),
            (Some(millis(20)), millis(0), millis(100)),
            (Some(1000 * S), Duration::ZERO, millis(58_800)),
        ] {
            assert_eq!(pause(usual, usual, running), wait, "{usual:?}, {running:?}");
        }
        // One that waits for others is as punctual as one alone.
        assert_eq!(pause(Some(5 * S), Some(2 * S), Duration::ZERO), millis(4960));
        assert_eq!(pause(Some(5 * S), Some(2 * S), millis(4970)), millis(100));
    }

    #[test]
    fn what_tasks_take_is_learnt_and_unlearnt() {
        let known = Learnt { alone: Some(9 * S), apart: 3 * S };
        for (before, learnt, (took, ahead), after) in [
            (
                "nothing",
                Learnt::default(),
                (9 * S, None),
                Learnt { alone: Some(9 * S), apart: Duration::ZERO },
            ),
            ("faster", known, (3 * S, None), Learnt { alone: Some(7 * S), ..known }),
            ("it waited", known, (12 * S, Some(6 * S)), Learnt { apart: 4 * S, ..known }),
            ("it waited for nobody", known, (9 * S, Some(Duration::ZERO)), Learnt { apart: 2 * S, ..known }),
            ("long after", known, (9 * S, Some(8 * S)), known),
            ("slow, nobody ahead", known, (12 * S, None), Learnt { alone: Some(10 * S), ..known }),
            (
                "the first that waits",
                Learnt { alone: Some(2 * S), apart: Duration::ZERO },
                (3 * S, Some(S)),
                Learnt { alone: Some(2 * S), apart: S },
            ),
        ] {
            assert_eq!(learnt.and(took, ahead), after, "{before}");
        }
    }

    #[test]
    fn tasks_in_a_queue_end_one_after_another() {
        let start = Instant::now() + 100 * S;
        let learnt = Learnt { alone: Some(2 * S), apart: S };
        let line = [(1, start), (2, start), (3, start), (4, start + 3 * S)];
        let end = |number, last_end, now| {
            expected(learnt, last_end, &line, number, now).map(|end| end.saturating_duration_since(start))
        };
        let ends: Vec<_> = (1..=4).map(|number| end(number, None, start)).collect();
        assert_eq!(ends, [2 * S, 3 * S, 4 * S, 5 * S].map(Some));
        // The first is late, so the others will be.
        assert_eq!(end(2, None, start + 10 * S), Some(11 * S));
        // One ended before the first began: nobody is ahead. One that ended since says when the first may.
        assert_eq!(end(1, Some(start - S), start), Some(2 * S));
        assert_eq!(end(1, Some(start + 2 * S), start), Some(3 * S));
        assert_eq!(end(9, None, start), None);
        assert_eq!(expected(Learnt::default(), None, &line, 1, start), None);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_behind_one_that_ended_early_is_not_late() {
        let pace = Pace::default();
        let upid: Upid = "UPID:pve1:00000598:0004D2FD:6B02516E:vzrestore:104:root@pam:".parse().unwrap();
        let mut first = pace.enter(&upid);
        let far = Instant::now() + 1000 * S;
        for _ in 0..20 {
            first.pause(far).await;
        }
        first.ended();
        let (mut first, mut second) = (pace.enter(&upid), pace.enter(&upid));
        let began = Instant::now();
        let learnt = || {
            let learnt = Learnt { alone: Some(10 * S), apart: 5 * S };
            pace.lock().values_mut().for_each(|line| line.learnt = learnt);
        };
        learnt();
        first.pause(far).await;
        assert_eq!(began.elapsed(), millis(9800));
        let waits = tokio::spawn(async move {
            second.pause(far).await;
            began.elapsed()
        });
        tokio::task::yield_now().await;
        first.ended();
        learnt();
        assert_eq!(waits.await.unwrap(), millis(14_600));
        let (_hangs, mut behind) = (pace.enter(&upid), pace.enter(&upid));
        let began = Instant::now();
        behind.pause(far).await;
        assert_eq!(began.elapsed(), millis(16_800));
    }
}
