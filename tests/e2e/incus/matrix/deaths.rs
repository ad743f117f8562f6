//! The server dies in every step of a bring-up and in the removal, and comes back; in long runs at each request.

use std::collections::BTreeMap;
use std::io::Write as _;

use firstlight_tests::paths;
use firstlight_tests::rig::incus::{Fate, IncusServer, Spot};

use super::{Case, Ground, Kind, Place, Trouble, Work, all};

/// Where the server answers, and dies before the next request: steps that need none are done while it is dead.
const MOMENTS: [Fate; 2] = [Fate::HeldBefore, Fate::HeldAfter];

/// The steps that ask a server for something, and where in them it dies in short runs.
const STEPS: [(&str, Kind, Fate); 6] = [
    ("restore", Kind::Change, Fate::HeldAfter),
    ("deliver-secrets", Kind::Change, Fate::HeldBefore),
    ("start", Kind::Change, Fate::HeldAfter),
    // While the guest boots: it asks for its claim until the server is back.
    ("await-report", Kind::Any, Fate::HeldBefore),
    ("verify", Kind::Any, Fate::HeldBefore),
    ("finish", Kind::Change, Fate::HeldBefore),
];

fn in_each_step() -> Vec<Case> {
    let in_step = |(step, kind, moment)| Case {
        work: Work::BringUp,
        place: Place::Step(step, kind),
        trouble: Trouble::ServerDies(moment),
    };
    STEPS.into_iter().map(in_step).collect()
}

/// Each request that changes something, now before and now after it is done; in long runs each request, at both moments.
fn at_requests(work: Work, spots: &[Spot]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (place, spot) in spots.iter().enumerate() {
        let is_wanted = |moment| paths::full() || (spot.changes() && MOMENTS[place % 2] == moment);
        for moment in MOMENTS.into_iter().filter(|moment| is_wanted(*moment)) {
            cases.push(Case { work, place: Place::At(spot.clone()), trouble: Trouble::ServerDies(moment) });
        }
    }
    cases
}

#[test]
fn a_server_that_is_killed_in_any_step_costs_no_guest() {
    let server = IncusServer::for_tests();
    let mut ground = Ground::on(&server);
    let [up, down] = ground.spots();
    ground.site.end();
    let mut cases = in_each_step();
    cases.extend(at_requests(Work::Removal, &down));
    if paths::full() {
        cases.extend(at_requests(Work::BringUp, &up));
    }
    let played = all(&server, cases, 1);
    let mut steps = BTreeMap::<&str, usize>::new();
    for (_, _, step) in &played {
        *steps.entry(step).or_default() += 1;
    }
    let _ = writeln!(std::io::stderr(), "incus faults: the server died in {steps:?}");
    for (step, _, _) in STEPS {
        assert!(steps.contains_key(step), "it never died in {step}: {steps:?}");
    }
}
