//! The built-in readiness checks: looked at again and again until they pass or their deadline ends, all at once.

mod identity;
mod network;
mod sshd;
mod system_running;

use std::time::Duration;

use firstlight_shared::check::{CheckResult, Severity, Verdict};

use crate::bus::Bus;
use crate::config::Settings;
use crate::golden::Golden;
use crate::identity::Outcome;
use crate::sys::{Machine, Stopwatch};

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
}

impl Look {
    fn pass(reason: impl Into<String>) -> Self {
        Self::Final(Verdict::Pass, reason.into())
    }

    fn not_yet(reason: impl Into<String>) -> Self {
        Self::NotYet(Verdict::Fail, reason.into())
    }
}

/// Runs all checks side by side; the results stand in a fixed order.
pub(crate) async fn run(context: &Context<'_>) -> Vec<CheckResult> {
    let (system, sshd, network, hostname, machine_id) = tokio::join!(
        check("system-running", context, async || system_running::look(context).await),
        check("sshd", context, async || sshd::look(context).await),
        check("network", context, async || network::look(context)),
        check("hostname", context, async || identity::look_at_hostname(context)),
        check("machine-id", context, async || identity::look_at_machine_id(context)),
    );
    vec![system, sshd, network, hostname, machine_id]
}

async fn check(id: &str, context: &Context<'_>, mut look: impl AsyncFnMut() -> Look) -> CheckResult {
    let watch = Stopwatch::start();
    let result = |verdict, reason| CheckResult {
        id: id.to_owned(),
        severity: Severity::Required,
        verdict,
        reason,
        elapsed_ms: watch.elapsed_ms(),
    };
    if context.settings.skipped_checks.iter().any(|skipped| skipped == id) {
        return result(Verdict::Skip, "skipped by guest.toml".to_owned());
    }
    // Where the identity phase failed, nothing that waits for it will come: one look, and tell the host at once.
    let failed = context.outcome.is_none_or(|outcome| outcome.failure.is_some());
    let deadline = if failed { Duration::ZERO } else { context.settings.check_deadline };
    let mut pause = Duration::from_millis(20).min(context.settings.check_interval);
    loop {
        match look().await {
            Look::Final(verdict, reason) => return result(verdict, reason),
            Look::NotYet(verdict, reason) if watch.elapsed() >= deadline => {
                let after = if failed { String::new() } else { format!(" after {} s", deadline.as_secs()) };
                return result(verdict, format!("{reason}{after}"));
            }
            Look::NotYet(..) => tokio::time::sleep(pause).await,
        }
        // Quick at first, since most of what is waited for comes within moments of the boot.
        pause = (pause * 2).min(context.settings.check_interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_check(deadline: Duration, mut looks: Vec<Look>) -> CheckResult {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::open(folder.path()).unwrap();
        let interval = Duration::from_millis(1);
        let settings = Settings { check_deadline: deadline, check_interval: interval, ..Settings::default() };
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
        runtime.block_on(check("x", &context, async || looks.pop().unwrap_or_else(|| last.clone())))
    }

    #[test]
    fn a_check_is_looked_at_until_it_passes() {
        let looks = vec![Look::not_yet("a"), Look::not_yet("b"), Look::pass("c")];
        let result = run_check(Duration::from_secs(60), looks);
        assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Pass, "c"));
    }

    #[test]
    fn the_verdict_at_the_deadline_is_the_last_looks() {
        let unknown = Look::NotYet(Verdict::Unknown, "no bus".into());
        let result = run_check(Duration::from_millis(5), vec![unknown]);
        assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Unknown, "no bus after 0 s"));
    }
}
