//! The server dies at each request, and comes back: in every step, and in the removal.

use std::collections::BTreeMap;
use std::io::Write as _;

use firstlight_tests::paths;
use firstlight_tests::rig::incus::{Fate, IncusServer, Spot};

use super::{Case, Ground, Trouble, Work, all};

/// Where the server answers, and dies before the next request: steps that need none are done while it is dead.
const MOMENTS: [Fate; 2] = [Fate::HeldBefore, Fate::HeldAfter];

/// Short runs have each change, now before and now after it is done, and of questions the pull of the report, for which
/// the job waits, and the last looks, which are of the proof.
fn is_wanted(place: usize, spot: &Spot, spots: &[Spot], moment: Fate) -> bool {
    let is_last =
        !spots.iter().any(|one| one.path == spot.path && one.method == spot.method && one.nth > spot.nth);
    let is_asked_late = ["/1.0/instances/*/files", "/1.0/instances/*/state", "/1.0/instances/*"]
        .contains(&spot.path.as_str());
    match spot.changes() {
        _ if paths::full() => true,
        true => MOMENTS[place % 2] == moment,
        false => is_last && is_asked_late && moment == Fate::HeldBefore,
    }
}

#[test]
fn a_server_that_is_killed_in_any_step_costs_no_guest() {
    let server = IncusServer::for_tests();
    let mut ground = Ground::on(&server);
    let spots = ground.spots();
    ground.site.end();
    let mut cases = Vec::new();
    for (work, spots) in [Work::BringUp, Work::Removal].into_iter().zip(&spots) {
        for (place, spot) in spots.iter().enumerate() {
            for moment in MOMENTS.into_iter().filter(|moment| is_wanted(place, spot, spots, *moment)) {
                cases.push(Case { work, spot: spot.clone(), trouble: Trouble::ServerDies(moment) });
            }
        }
    }
    let played = all(&server, cases, 1);
    let mut steps = BTreeMap::<&str, usize>::new();
    for (_, _, step) in &played {
        *steps.entry(step).or_default() += 1;
    }
    let _ = writeln!(std::io::stderr(), "incus faults: the server died in {steps:?}");
    for step in ["restore", "deliver-secrets", "start", "await-report", "verify", "finish"] {
        assert!(steps.contains_key(step), "it never died in {step}: {steps:?}");
    }
}
