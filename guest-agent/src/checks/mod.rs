//! The readiness checks: looked at again and again until they pass or their deadline ends, all at once.
//!
//! Each kind has a file: its keys as data, one look at the machine, and a pure judgement of what was seen. A look that
//! could not see is unknown, never a pass; one that hangs is cut off.

mod clock;
mod command;
mod dns;
mod docker;
mod file;
mod http;
mod identity;
mod load;
mod mount;
mod network;
mod owner;
mod password;
mod spec;
mod sshd;
mod symlink;
mod system_running;
mod tcp;
mod tls;
mod tls_leaf;
mod units;
mod value;

#[cfg(feature = "fuzzing")]
pub(crate) use dns::fuzz_dns;
#[cfg(feature = "fuzzing")]
pub(crate) use load::fuzz_file;
pub(crate) use load::{Check, load};

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use firstlight_shared::check::{CheckResult, Verdict};
use firstlight_shared::text::escape;

use crate::bus::Bus;
use crate::config::Settings;
use crate::golden::Golden;
use crate::identity::Outcome;
use crate::sys::{Machine, Stopwatch};

/// Characters of a reason in the report.
const MAX_REASON: usize = 400;

/// What every check may look at.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub machine: &'a Machine,
    pub settings: &'a Settings,
    pub golden: Option<&'a Golden>,
    pub outcome: Option<&'a Outcome>,
    pub bus: &'a Bus,
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    Final(Verdict, String),
    /// May still change; the verdict counts if the deadline ends first.
    NotYet(Verdict, String),
    /// One of these, and what was seen as another report can be compared by it.
    Of(Box<Look>, String),
}

impl Look {
    fn pass(reason: impl Into<String>) -> Self {
        Self::Final(Verdict::Pass, reason.into())
    }

    fn not_yet(reason: impl Into<String>) -> Self {
        Self::NotYet(Verdict::Fail, reason.into())
    }

    /// Could not look; perhaps the next time.
    fn cannot_tell(reason: impl Into<String>) -> Self {
        Self::NotYet(Verdict::Unknown, reason.into())
    }

    /// With what was seen.
    fn seen(self, seen: impl Into<String>) -> Self {
        Self::Of(Box::new(self), seen.into())
    }

    fn no_thread() -> Self {
        Self::cannot_tell("no thread could be started to look")
    }
}

/// Runs all checks side by side; the results stand in the order of the checks.
pub(crate) async fn run(context: &Context<'_>, checks: &[Check]) -> Vec<CheckResult> {
    all(checks.iter().map(|check| Box::pin(one(check, context))).collect()).await
}

async fn one(check: &Check, context: &Context<'_>) -> CheckResult {
    match &check.kind {
        Ok(kind) => repeat(check, context, kind.look_limit(), async || kind.look(context).await).await,
        Err(problem) => result(check, Verdict::Unknown, problem.clone(), 0, None),
    }
}

fn result(
    check: &Check,
    verdict: Verdict,
    reason: String,
    elapsed_ms: u64,
    seen: Option<String>,
) -> CheckResult {
    // Cut again afterwards: an escape is longer than what it stands for.
    let short = |text: String| escape(&text, MAX_REASON).chars().take(MAX_REASON).collect();
    let (reason, seen) = (short(reason), seen.map(short));
    CheckResult { id: check.id.clone(), severity: check.severity, verdict, reason, elapsed_ms, seen }
}

/// No check waits longer than this for what is not there yet.
pub(crate) fn hasten(checks: &mut [Check], within: Duration) {
    checks.iter_mut().for_each(|check| check.deadline = check.deadline.min(within));
}

async fn repeat(
    check: &Check,
    context: &Context<'_>,
    look_limit: Duration,
    mut look: impl AsyncFnMut() -> Look,
) -> CheckResult {
    let watch = Stopwatch::start();
    if context.settings.skipped_checks.contains(&check.id) {
        return result(check, Verdict::Skip, "skipped by guest.toml".to_owned(), 0, None);
    }
    // Where the identity phase failed, nothing that waits for it will come: one look, and tell the host at once.
    let failed = context.outcome.is_none_or(|outcome| outcome.failure.is_some());
    let deadline = if failed { Duration::ZERO } else { check.deadline };
    let mut pause = Duration::from_millis(20).min(check.interval);
    loop {
        let lap = Stopwatch::start();
        let looked = tokio::time::timeout(look_limit, look()).await.unwrap_or_else(|_| {
            Look::cannot_tell(format!("nothing was seen within {} s", look_limit.as_secs()))
        });
        let (looked, seen) = match looked {
            Look::Of(look, seen) => (*look, Some(seen)),
            look => (look, None),
        };
        match looked {
            Look::Final(verdict, reason) => return result(check, verdict, reason, watch.elapsed_ms(), seen),
            Look::NotYet(verdict, reason) if watch.elapsed() >= deadline => {
                let after = if failed { String::new() } else { format!(" after {} s", deadline.as_secs()) };
                return result(check, verdict, format!("{reason}{after}"), watch.elapsed_ms(), seen);
            }
            // A look that takes long (a hash, a program) shall not fill the whole time. The last one is at the deadline.
            Look::NotYet(..) | Look::Of(..) => {
                let left = deadline.saturating_sub(watch.elapsed());
                tokio::time::sleep(pause.max(2 * lap.elapsed()).min(left)).await;
            }
        }
        // Quick at first, since most of what is waited for comes within moments of the boot.
        pause = (pause * 2).min(check.interval);
    }
}

/// Waits for all, whichever ends first. Each wake polls those that are left: there are few of them.
async fn all<F: Future>(mut futures: Vec<Pin<Box<F>>>) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(done) = future.as_mut().poll(context)
            {
                *output = Some(done);
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_check(deadline: Duration, mut looks: Vec<Look>) -> CheckResult {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::open(folder.path()).unwrap();
        let settings = Settings::default();
        let outcome = crate::identity::run(&machine);
        let bus = Bus::default();
        let context = Context {
            machine: &machine,
            settings: &settings,
            golden: None,
            outcome: Some(&outcome),
            bus: &bus,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let last = looks.pop().unwrap();
        looks.reverse();
        let check = Check {
            id: "x".into(),
            severity: firstlight_shared::check::Severity::Required,
            deadline,
            interval: Duration::from_millis(1),
            kind: Err("not looked at".into()),
        };
        let look = async || looks.pop().unwrap_or_else(|| last.clone());
        runtime.block_on(repeat(&check, &context, Duration::from_secs(60), look))
    }

    #[test]
    fn a_check_is_looked_at_until_it_passes() {
        let looks = vec![Look::not_yet("a"), Look::not_yet("b"), Look::pass("c")];
        let result = run_check(Duration::from_secs(60), looks);
        assert_eq!((result.verdict, result.reason.as_str(), result.seen), (Verdict::Pass, "c", None));
    }

    #[test]
    fn what_was_seen_last_is_told() {
        let looks = vec![Look::not_yet("a").seen("old"), Look::pass("b").seen("new")];
        let result = run_check(Duration::from_secs(60), looks);
        assert_eq!((result.reason.as_str(), result.seen.as_deref()), ("b", Some("new")));
    }

    #[test]
    fn the_verdict_at_the_deadline_is_the_last_looks() {
        let unknown = Look::NotYet(Verdict::Unknown, "no bus".into());
        let result = run_check(Duration::from_millis(5), vec![unknown]);
        assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Unknown, "no bus after 0 s"));
    }

    #[test]
    fn checks_wait_side_by_side_and_keep_their_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Nobody passes before all have come: one after the other, they would wait for ever.
        let gate = tokio::sync::Barrier::new(3);
        let waits = [30, 1, 20];
        let wait = async |ms: u64| {
            gate.wait().await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            ms
        };
        let done = runtime.block_on(async {
            let together = all(waits.iter().map(|ms| Box::pin(wait(*ms))).collect());
            tokio::time::timeout(Duration::from_secs(60), together).await
        });
        assert_eq!(done.unwrap(), waits);
    }
}
