//! Two companions with stores of their own and one token, in one range of VMIDs: each guest is one job's, and no job takes
//! another's work for its own.

use std::collections::BTreeSet;
use std::time::Duration;

use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::profile::Profile;

use crate::field::{Cluster, Companion, Place, spec};

const EACH: usize = 8;
const LIMIT: Duration = Duration::from_secs(240);
const LEVEL: &str = "warn,firstlight=debug";

/// All of one companion, containers and machines.
async fn submit(companion: &Companion, prefix: &str) -> Vec<(String, String)> {
    let mut jobs = Vec::new();
    for number in 0..EACH {
        let kind = if number % 2 == 0 { Kind::Lxc } else { Kind::Qemu };
        let name = format!("{prefix}-{number}");
        let mut wanted = spec(kind);
        wanted["plan"]["name"] = name.clone().into();
        wanted["timeout_ms"] = 180_000.into();
        wanted["deadline_ms"] = 200_000.into();
        jobs.push((name, companion.up(&wanted).await));
    }
    jobs
}

async fn every_guest_once(faults: Vec<Rule>) {
    let cluster = Cluster::with(Profile::measured().scaled(0.1), LEVEL);
    for fault in faults {
        cluster.sim.fault(fault);
    }
    let other = Place::at(&cluster.sim, LEVEL);
    let (one, two) = (cluster.companion().await, Companion::start(&other).await);
    let (first, second) = tokio::join!(submit(&one, "web"), submit(&two, "db"));
    let mut names = BTreeSet::new();
    for (companion, jobs) in [(&one, first), (&two, second)] {
        for (name, job) in jobs {
            let ended = companion.ended(&job, LIMIT).await;
            assert_eq!(ended.state(), "done", "{name}: {:#}\n{}", ended.0, companion.log());
            names.insert(name);
        }
    }
    cluster.sim.settle();
    let mut found: Vec<String> = cluster.sim.with_world(|world| {
        let named = |id: &u32| {
            let guest = &world.guests[id];
            assert!(guest.is_running(), "{:?}", guest.config);
            guest.get("hostname").or_else(|| guest.get("name")).unwrap().to_owned()
        };
        let ours = world.guests.keys().filter(|id| **id != crate::field::NEIGHBOUR);
        ours.map(named).collect()
    });
    found.sort_unstable();
    assert_eq!(found, Vec::from_iter(names), "every guest exactly once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_companions_that_choose_the_same_vmids_make_every_guest_once() {
    every_guest_once(Vec::new()).await;
}

/// Whose answer is lost cannot tell its own task from the other's by a list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_make_no_companion_take_the_others_guest() {
    let mut faults = Vec::new();
    for path in ["/nodes/*/lxc", "/nodes/*/qemu"] {
        for fault in [
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::Late(Duration::from_millis(300)),
            Fault::TimedOut { applied: false },
            Fault::CutBefore,
            Fault::TimedOut { applied: true },
        ] {
            faults.push(Rule::once(Method::Post, path, fault));
        }
    }
    every_guest_once(faults).await;
}
