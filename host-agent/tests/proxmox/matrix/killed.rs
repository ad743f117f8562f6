//! `kill -9` of the companion before, during and after every request that changes something, and between others.

use std::time::Duration;

use firstlight_tests::paths;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::wait::until_so;

use super::cases::{End, all, tell};
use super::{AT_ONCE, KINDS, Spot, ending, spots};
use crate::field::{Cluster, spec};

#[derive(Debug, Clone)]
enum Moment {
    /// The request has come, and is carried out when its sender is dead.
    During(Spot),
    /// So many requests have been answered.
    After(usize),
}

#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    moment: Moment,
}

impl Case {
    async fn play(self) -> (String, Result<End, String>) {
        let cluster = Cluster::start();
        let companion = cluster.companion().await;
        if let Moment::During(spot) = &self.moment {
            let rule = Rule::once(spot.method, &spot.path, Fault::Delay(Duration::from_millis(400)));
            cluster.sim.fault(rule.skipping(spot.nth));
        }
        let job = companion.up(&spec(self.kind)).await;
        until_so("the moment", Duration::from_secs(40), async || match &self.moment {
            Moment::During(_) => cluster.sim.with_faults(|faults| faults.are_used_up()),
            Moment::After(count) => cluster.sim.requests().len() >= *count,
        })
        .await;
        companion.kill();
        let companion = cluster.companion().await;
        let end = ending(&cluster, &companion, &job).await;
        let end = end.and_then(|end| match end {
            End::Complete => Ok(end),
            other => Err(format!("{other:?}: a death alone is no failure\n{}", companion.log())),
        });
        (format!("{:?}, killed {:?}", self.kind, self.moment), end)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_companion_that_is_killed_at_any_moment_is_followed_by_one_that_ends_its_work() {
    let mut cases = Vec::new();
    for kind in KINDS {
        let spots = spots(kind).await;
        let submitted = spots.iter().position(|spot| spot.path.ends_with("/time")).unwrap_or(10);
        for (place, spot) in spots.into_iter().enumerate() {
            let changes = spot.method != Method::Get;
            if changes {
                cases.push(Case { kind, moment: Moment::During(spot) });
            }
            if place >= submitted && (changes || place % 3 == 0 || paths::full()) {
                cases.push(Case { kind, moment: Moment::After(place + 1) });
            }
        }
    }
    let ends = all(cases, AT_ONCE, Case::play).await;
    tell("proxmox faults: kill -9", &ends, 25);
}
