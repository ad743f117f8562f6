//! How long things may take, as arithmetic. Within a life, deadlines are monotonic; across lives the journal's wall clock
//! counts, and a clock that jumped gives at worst a deadline that is full again or nearly over.

use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::backoff::Backoff;
use tokio::time::Instant;

use super::event::StepInfo;
use super::fold::JOB_DEADLINE;
use crate::outcome::Fault;

/// How long an unknown outcome is probed before an operator is asked, where the step has no deadline. Undoing, the same
/// for a remote task that is in the way.
pub const UNKNOWN_DEADLINE: Duration = Duration::from_secs(300);
/// How often an undo is tried before an operator is asked.
pub const UNDO_ATTEMPTS: u32 = 8;
/// How long the guest's last words may take.
pub(super) const EVIDENCE_DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks at an unknown outcome, two undos, two tries to write.
pub(super) const RETRY: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(10) };
/// What is left at least of a deadline that went on while nobody drove the job: enough to see how things stand.
const LEAST: Duration = Duration::from_secs(10);

/// Milliseconds since the Unix epoch, for what is recorded.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The end of a deadline that begins now. None: there is none.
pub(super) fn fresh(deadline_ms: Option<u64>) -> Option<Instant> {
    Instant::now().checked_add(Duration::from_millis(deadline_ms?))
}

/// The end of a deadline that began in an earlier life, at `from_ms` by the wall clock that now shows `now_ms`.
pub(super) fn resumed(deadline_ms: Option<u64>, from_ms: u64, now_ms: u64) -> Option<Instant> {
    Instant::now().checked_add(remaining(deadline_ms?, from_ms, now_ms))
}

fn remaining(deadline_ms: u64, from_ms: u64, now_ms: u64) -> Duration {
    let gone = now_ms.saturating_sub(from_ms);
    Duration::from_millis(deadline_ms.saturating_sub(gone)).max(LEAST.min(Duration::from_millis(deadline_ms)))
}

/// The earlier one; none is never.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Ends then; never, if there is no deadline.
pub(super) async fn over(ends: Option<Instant>) {
    match ends {
        Some(ends) => tokio::time::sleep_until(ends).await,
        None => std::future::pending().await,
    }
}

pub(super) fn of_job(deadline_ms: Option<u64>) -> Fault {
    let seconds = deadline_ms.unwrap_or_default().div_ceil(1000);
    Fault::new(JOB_DEADLINE, format!("the job did not end within {seconds} s"))
}

pub(super) fn of_step(step: &StepInfo, doubt: Option<&Fault>) -> Fault {
    let seconds = step.deadline_ms.unwrap_or_default().div_ceil(1000);
    let why = doubt.map(|doubt| format!(": {doubt}")).unwrap_or_default();
    Fault::new("step-deadline", format!("step {} did not end within {seconds} s{why}", step.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_deadline_survives_any_clock() {
        let minute = 60_000;
        for (name, from, now, left) in [
            ("just begun", 1_000, 1_000, 60),
            ("half over", 1_000, 31_000, 30),
            ("over: a last look", 1_000, 100_000, 10),
            ("the clock went back: full again", 1_000_000, 5, 60),
            ("the clock jumped ahead: a last look", 1_000, u64::MAX, 10),
            ("no clock at all", 0, 0, 60),
        ] {
            assert_eq!(remaining(minute, from, now), Duration::from_secs(left), "{name}");
        }
        assert_eq!(remaining(500, 0, u64::MAX), Duration::from_millis(500), "never more than there was");
        assert_eq!(remaining(u64::MAX, 0, 0), Duration::from_millis(u64::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_beyond_time_is_none() {
        assert!(fresh(Some(u64::MAX)).is_none() || fresh(Some(u64::MAX)) > fresh(Some(0)));
        assert_eq!(fresh(None), None);
        assert_eq!(earlier(fresh(Some(2)), None), fresh(Some(2)));
        assert_eq!(earlier(fresh(Some(2)), fresh(Some(1))), fresh(Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_after_its_time_or_after_what_is_left_of_it() {
        let after = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        assert_eq!(fresh(Some(60_000)), after(60));
        assert_eq!(resumed(Some(60_000), 1_000, 31_000), after(30));
        assert_eq!(resumed(None, 1_000, 31_000), None);
        assert_eq!(earlier(after(2), after(1)), after(1));
        assert_eq!(earlier(None, after(1)), after(1));
        assert_eq!(earlier(None, None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn over_is_at_the_end_and_never_without_one() {
        let hour = Duration::from_secs(3600);
        let began = Instant::now();
        over(fresh(Some(5_000))).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        assert!(tokio::time::timeout(hour, over(None)).await.is_err());
    }

    #[test]
    fn an_ended_deadline_says_whose_it_was_and_what_was_in_the_way() {
        let job = of_job(Some(1_500));
        assert_eq!(
            (job.code.as_str(), job.message.as_str()),
            ("job-deadline", "the job did not end within 2 s")
        );
        let step = StepInfo { name: "start".into(), waits: false, deadline_ms: Some(60_000) };
        let doubt = Fault::new("x", "no answer");
        for (doubt, message) in [
            (None, "step start did not end within 60 s".to_owned()),
            (Some(&doubt), format!("step start did not end within 60 s: {doubt}")),
        ] {
            let fault = of_step(&step, doubt);
            assert_eq!((fault.code.as_str(), fault.message), ("step-deadline", message));
        }
    }
}
