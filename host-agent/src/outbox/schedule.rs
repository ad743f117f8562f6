//! What follows from an answer: taken, again later, or given up. Pure.

use std::time::Duration;

use super::post::Answered;
use crate::store::Settled;

/// Between attempts, the last one again and again. As the Standard Webhooks specification proposes.
const PAUSES: [u64; 8] = [5, 30, 120, 300, 900, 3600, 4 * 3600, 8 * 3600];
/// After so long nobody waits for it any more.
pub(super) const LONGEST: Duration = Duration::from_secs(3 * 24 * 3600);
/// The longest that an answer may ask us to wait.
const ASKED: Duration = Duration::from_secs(3600);

/// `tries`: with the one that was answered; `age`: of the message; `spread`: from 0 to 1, so that many do not come at once.
pub(super) fn settle(answered: Answered, tries: u64, age: Duration, spread: f64) -> Settled {
    let (error, asked) = match answered {
        Answered::Taken => return Settled::Sent,
        Answered::Gone => return Settled::GivenUp { error: "it says 410: it wants no more".to_owned() },
        Answered::Refused { error, after } => (error, after),
    };
    if age >= LONGEST {
        return Settled::GivenUp { error };
    }
    let step = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    let pause = Duration::from_secs(PAUSES.get(step).copied().unwrap_or_default());
    let pause = pause.max(asked.unwrap_or_default().min(ASKED));
    // The last attempt comes when the time is over.
    let after = pause.mul_f64(1.0 + 0.2 * spread.clamp(0.0, 1.0)).min(LONGEST.saturating_sub(age));
    Settled::Again { after, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(after: Option<u64>) -> Answered {
        Answered::Refused { error: "no".into(), after: after.map(Duration::from_secs) }
    }

    #[test]
    fn pauses_grow_and_end_after_three_days() {
        for (tries, age, asked, wanted) in [
            (1, 0, None, Some(5)),
            (2, 5, None, Some(30)),
            (8, 9999, None, Some(8 * 3600)),
            (500, 9999, None, Some(8 * 3600)),
            (1, 0, Some(60), Some(60)),
            (1, 0, Some(u64::MAX), Some(3600)),
            (3, 0, Some(1), Some(120)),
            (9, 3 * 24 * 3600 - 7, None, Some(7)),
            (9, 3 * 24 * 3600, None, None),
        ] {
            let settled = settle(refused(asked), tries, Duration::from_secs(age), 0.0);
            let wanted = match wanted {
                Some(after) => Settled::Again { after: Duration::from_secs(after), error: "no".into() },
                None => Settled::GivenUp { error: "no".into() },
            };
            assert_eq!(settled, wanted, "{tries} {age} {asked:?}");
        }
        assert_eq!(settle(Answered::Taken, 7, LONGEST, 0.5), Settled::Sent);
        assert!(matches!(settle(Answered::Gone, 1, Duration::ZERO, 0.5), Settled::GivenUp { .. }));
        let spread = settle(refused(None), 1, Duration::ZERO, 1.0);
        assert_eq!(spread, Settled::Again { after: Duration::from_secs(6), error: "no".into() });
    }
}
