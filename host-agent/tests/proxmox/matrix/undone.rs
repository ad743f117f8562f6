//! A bring-up that fails at its last step and is undone, with trouble on the way back.

use std::time::Duration;

use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::wait::until_so;

use super::cases::{End, all, tell};
use super::{AT_ONCE, KINDS, ending};
use crate::field::{Cluster, spec};

/// How the guest is taken away.
#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    fault: Fault,
    times: u32,
    killed: bool,
}

impl Case {
    async fn play(self) -> (String, Result<End, String>) {
        let name =
            format!("{:?} undone, {:?} x {}, killed: {}", self.kind, self.fault, self.times, self.killed);
        let cluster = Cluster::start();
        let path = format!("/nodes/*/{}/*", self.kind.as_str());
        let rule = Rule::once(Method::Delete, &path, self.fault.clone());
        cluster.sim.fault(Rule { times: self.times, ..rule });
        let mut companion = cluster.companion().await;
        let mut wanted = spec(self.kind);
        wanted["require"] = serde_json::json!(["no-such-check"]);
        let job = companion.up(&wanted).await;
        if self.killed {
            until_so("the removal", Duration::from_secs(40), async || {
                cluster.sim.with_faults(|faults| faults.are_used_up())
            })
            .await;
            companion.kill();
            companion = cluster.companion().await;
        }
        let end = ending(&cluster, &companion, &job).await;
        if self.times == 1 && !cluster.sim.with_faults(|faults| faults.are_used_up()) {
            return (name, Err("the fault was not met".to_owned()));
        }
        let wanted = if self.times == u32::MAX { End::NeedsOperator } else { End::Clean };
        let end = end.and_then(|end| match end == wanted {
            true => Ok(end),
            false => Err(format!("{end:?}, not {wanted:?}\n{}", companion.log())),
        });
        (name, end)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_removal() {
    let mut cases = Vec::new();
    for kind in KINDS {
        let once = [
            Fault::Fails("something went wrong".to_owned()),
            Fault::Fails("can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout".to_owned()),
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::Unreachable,
            Fault::TimedOut { applied: false },
            Fault::TimedOut { applied: true },
            Fault::Late(Duration::from_millis(700)),
            Fault::TaskFails("it broke".to_owned()),
            Fault::TaskLost,
        ];
        cases.extend(once.map(|fault| Case { kind, fault, times: 1, killed: false }));
        let always = Fault::Fails("something went wrong".to_owned());
        cases.push(Case { kind, fault: always, times: u32::MAX, killed: false });
        let held = Fault::Delay(Duration::from_millis(400));
        cases.push(Case { kind, fault: held, times: 1, killed: true });
    }
    let ends = all(cases, AT_ONCE, Case::play).await;
    tell("proxmox faults: removals", &ends, 24);
}
