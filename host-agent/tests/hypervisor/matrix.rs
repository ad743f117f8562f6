//! Many cases at once, and how they ended.

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// How a job may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Complete,
    Clean,
    NeedsOperator,
}

/// Carries all cases out, so many at once; how each ended.
pub(crate) async fn all<C, F>(cases: Vec<C>, at_once: usize, play: impl Fn(C) -> F) -> Vec<(String, End)>
where
    C: std::fmt::Debug,
    F: Future<Output = (String, Result<End, String>)> + 'static,
{
    let room = Arc::new(Semaphore::new(at_once));
    let (local, mut playing) = (LocalSet::new(), JoinSet::new());
    for case in cases {
        let (room, name) = (Arc::clone(&room), format!("{case:?}"));
        let case = play(case);
        let limited = async move {
            let _place = room.acquire_owned().await.unwrap();
            match tokio::task::spawn_local(case).await {
                Ok(played) => played,
                Err(panic) => (name, Err(panic.to_string())),
            }
        };
        playing.spawn_local_on(limited, &local);
    }
    let (mut ends, mut wrong) = (Vec::new(), Vec::new());
    let gather = async {
        while let Some(played) = playing.join_next().await {
            match played.unwrap() {
                (case, Ok(end)) => ends.push((case, end)),
                (case, Err(why)) => wrong.push(format!("{case}: {why}")),
            }
        }
    };
    local.run_until(gather).await;
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        wrong.len() + ends.len(),
        wrong.join("\n\n")
    );
    ends
}

/// Says how many cases a test tried and how they ended, even in a quiet run.
pub(crate) fn tell(what: &str, ends: &[(String, End)], at_least: usize) {
    let count = |wanted: End| ends.iter().filter(|(_, end)| *end == wanted).count();
    let [complete, clean, operator] = [End::Complete, End::Clean, End::NeedsOperator].map(count);
    let _ = writeln!(
        std::io::stderr(),
        "{what}: {} cases: {complete} complete, {clean} clean, {operator} for an operator",
        ends.len()
    );
    for (case, _) in ends.iter().filter(|(_, end)| *end == End::NeedsOperator) {
        let _ = writeln!(std::io::stderr(), "{what}: for an operator: {case}");
    }
    assert!(ends.len() >= at_least, "{what}: only {} cases of {at_least}", ends.len());
}
