//! Every request, broken in every way.

use std::time::Duration;

use firstlight_tests::paths;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;

use super::cases::{End, all, tell};
use super::{AT_ONCE, KINDS, Spot, ending, spots};
use crate::field::{Cluster, spec};

/// Nothing is done, and that is said.
fn refused(text: &str) -> Fault {
    Fault::Fails(text.to_owned())
}

/// What may happen to a request that changes something.
fn of_change(spot: &Spot) -> Vec<Fault> {
    let mut faults = vec![
        refused("something went wrong"),
        refused("can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout"),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Unreachable,
        Fault::TimedOut { applied: false },
        Fault::TimedOut { applied: true },
        Fault::Unauthorized,
        Fault::Late(Duration::from_millis(700)),
        Fault::Delay(Duration::from_millis(300)),
    ];
    if spot.method == Method::Post {
        faults.extend([Fault::TaskFails("it broke".to_owned()), Fault::TaskLost]);
    }
    if is_restore(spot) {
        faults.push(Fault::LosesRace);
    }
    faults
}

fn of_read() -> Vec<Fault> {
    vec![refused("something went wrong"), Fault::CutAfter, Fault::Unreachable]
}

fn is_restore(spot: &Spot) -> bool {
    spot.method == Method::Post && (spot.path.ends_with("/lxc") || spot.path.ends_with("/qemu"))
}

#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    spot: Spot,
    fault: Fault,
    times: u32,
}

impl Case {
    fn name(&self) -> String {
        format!("{:?}, {}, {:?} x {}", self.kind, self.spot, self.fault, self.times)
    }

    async fn play(mut self) -> (String, Result<End, String>) {
        let name = self.name();
        loop {
            let (end, met) = self.play_once().await;
            if self.times > 1 || met {
                return (name, end.and_then(|end| self.expect(end)));
            }
            // How often it looks depends on how long ago it looked: a quicker bring-up has fewer reads than the one whose
            // requests were counted. Then the last of them is an earlier one.
            if self.spot.method != Method::Get || self.spot.nth == 0 || end != Ok(End::Complete) {
                return (name, Err(format!("the fault was not met, and it ended with {end:?}")));
            }
            self.spot.nth -= 1;
        }
    }

    /// How it ended, and whether the fault was met.
    async fn play_once(&self) -> (Result<End, String>, bool) {
        let cluster = Cluster::start();
        let rule = Rule {
            method: Some(self.spot.method),
            path: self.spot.path.clone(),
            skip: self.spot.nth,
            times: self.times,
            fault: self.fault.clone(),
        };
        cluster.sim.fault(rule);
        let companion = cluster.companion().await;
        let job = companion.up(&spec(self.kind)).await;
        let end = ending(&cluster, &companion, &job).await;
        let met = cluster.sim.with_faults(|faults| faults.are_used_up());
        (end, met)
    }

    /// Where it is clear what must follow.
    fn expect(&self, end: End) -> Result<End, String> {
        let is_change = self.spot.method != Method::Get;
        let wanted: &[End] = match &self.fault {
            // Such a refusal is no reason to give up.
            Fault::Fails(text) if text.contains("can't lock") => &[End::Complete],
            Fault::Fails(_) if self.times == u32::MAX => &[End::Clean],
            Fault::Fails(_) => &[End::Complete, End::Clean],
            Fault::TaskFails(_) => &[End::Clean],
            Fault::TaskLost => &[End::Complete, End::Clean, End::NeedsOperator],
            Fault::Unauthorized if is_change => &[End::Complete, End::Clean],
            // What can be seen to have been done, or not, costs nothing but time.
            _ => &[End::Complete],
        };
        if wanted.contains(&end) { Ok(end) } else { Err(format!("{end:?}, not {wanted:?}")) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_broken_in_every_way() {
    let mut cases = Vec::new();
    for kind in KINDS {
        for spot in spots(kind).await.into_iter().filter(|spot| spot.method != Method::Get) {
            for fault in of_change(&spot) {
                cases.push(Case { kind, spot: spot.clone(), fault, times: 1 });
            }
            // What is not refused is tried for minutes, until the step's deadline.
            if !spot.path.ends_with("/config") {
                let fault = refused("something went wrong");
                cases.push(Case { kind, spot, fault, times: u32::MAX });
            }
        }
    }
    let ends = all(cases, AT_ONCE, Case::play).await;
    tell("proxmox faults: changes", &ends, 90);
}

/// Of reads of one path, the first and the last; all of them with `--full`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_broken() {
    let mut cases = Vec::new();
    for kind in KINDS {
        let spots = spots(kind).await;
        for spot in spots.iter().filter(|spot| spot.method == Method::Get) {
            let is_last = |other: &&Spot| other.path == spot.path && other.nth > spot.nth;
            if spot.nth > 0 && spots.iter().find(is_last).is_some() && !paths::full() {
                continue;
            }
            for fault in of_read() {
                cases.push(Case { kind, spot: spot.clone(), fault, times: 1 });
            }
        }
    }
    let ends = all(cases, AT_ONCE, Case::play).await;
    tell("proxmox faults: reads", &ends, 90);
}
