//! How long a guest lives once it is ready: when it is due, when that is told beforehand, and what overrides it. Pure.
//!
//! | `destroy_after` | last `keep` | due |
//! |---|---|---|
//! | none | none, or for ever | never |
//! | a time | none | so long after it was ready |
//! | any | until a time | then |
//! | any | for ever | never |

use super::event::JobSpec;

/// How long before its end a guest's end is told, in milliseconds: a tenth of its time, and at most this.
const NOTICE: u64 = 10 * 60 * 1000;

/// What the journal says of a guest's time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// Since when the guest is ready.
    pub(super) ready_ms: Option<u64>,
    /// What an operator said last.
    pub(super) kept: Option<Kept>,
    /// It was ephemeral, and is kept when it stops.
    pub(super) promoted: bool,
    /// The end that was told beforehand.
    pub(super) told_ms: Option<u64>,
}

/// An operator's word on how long a guest shall live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) said_ms: u64,
    /// None: for ever.
    pub(super) until_ms: Option<u64>,
}

/// What is to be done about a guest's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attend {
    Nothing,
    /// Its end is near, and that was not told yet.
    Tell {
        due_ms: u64,
    },
    /// It is due.
    End {
        due_ms: u64,
    },
}

impl Life {
    /// When the guest is due, and since when that is so.
    fn span(&self, spec: &JobSpec) -> Option<(u64, u64)> {
        match self.kept {
            Some(kept) => Some((kept.said_ms, kept.until_ms?)),
            None => {
                let ready = self.ready_ms?;
                Some((ready, ready.saturating_add(spec.destroy_after_ms?)))
            }
        }
    }

    pub(super) fn due_ms(&self, spec: &JobSpec) -> Option<u64> {
        self.span(spec).map(|(_, due)| due)
    }

    /// When somebody must attend to the guest next.
    pub(super) fn attend_ms(&self, spec: &JobSpec) -> Option<u64> {
        let (since, due) = self.span(spec)?;
        let notice = (due.saturating_sub(since) / 10).min(NOTICE);
        Some(if self.told_ms == Some(due) { due } else { due.saturating_sub(notice) })
    }

    pub(super) fn attend(&self, spec: &JobSpec, now_ms: u64) -> Attend {
        match (self.due_ms(spec), self.attend_ms(spec)) {
            (Some(due_ms), _) if due_ms <= now_ms => Attend::End { due_ms },
            (Some(due_ms), Some(at)) if at <= now_ms => Attend::Tell { due_ms },
            _ => Attend::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(destroy_after_ms: Option<u64>) -> JobSpec {
        serde_json::from_value(serde_json::json!({ "guest": "g", "backend": "b", "spec": {}, "steps": [],
            "keep_on_failure": false, "destroy_after_ms": destroy_after_ms }))
        .unwrap()
    }

    #[test]
    fn a_guest_is_due_as_its_spec_or_the_last_word_says() {
        let kept = |said_ms, until_ms| Some(Kept { said_ms, until_ms });
        // destroy_after, ready since, the last word; due, and attended to at
        let table = [
            (None, Some(100), None, None, None),
            (Some(1000), None, None, None, None),
            (Some(1000), Some(100), None, Some(1100), Some(1000)),
            (Some(100_000_000), Some(0), None, Some(100_000_000), Some(99_400_000)),
            (Some(1000), Some(100), kept(200, None), None, None),
            (Some(1000), Some(100), kept(200, Some(2200)), Some(2200), Some(2000)),
            (None, Some(100), kept(200, Some(300)), Some(300), Some(290)),
        ];
        for (after, ready_ms, kept, due, at) in table {
            let (life, spec) = (Life { ready_ms, kept, ..Life::default() }, spec(after));
            assert_eq!((life.due_ms(&spec), life.attend_ms(&spec)), (due, at), "{after:?} {kept:?}");
        }
    }

    #[test]
    fn an_end_is_told_once_and_again_when_it_was_moved() {
        let spec = spec(Some(1000));
        let mut life = Life { ready_ms: Some(100), ..Life::default() };
        assert_eq!(life.attend(&spec, 999), Attend::Nothing);
        assert_eq!(life.attend(&spec, 1000), Attend::Tell { due_ms: 1100 });
        life.told_ms = Some(1100);
        assert_eq!(life.attend(&spec, 1099), Attend::Nothing);
        assert_eq!(life.attend(&spec, 1100), Attend::End { due_ms: 1100 });
        life.kept = Some(Kept { said_ms: 1050, until_ms: Some(2050) });
        assert_eq!(life.attend(&spec, 1950), Attend::Tell { due_ms: 2050 });
        // Nobody was there to tell it in time: it is due all the same.
        assert_eq!(life.attend(&spec, 9999), Attend::End { due_ms: 2050 });
    }
}
