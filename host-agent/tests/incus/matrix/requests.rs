//! Every request, broken in every way, and `kill -9` of the companion at each.

use std::time::Duration;

use firstlight_tests::paths;
use firstlight_tests::rig::incus::{Fate, Spot};

use super::cases::{all, tell};
use super::{Case, Ground, Work};

/// Cases at once: most of the time all of them wait.
const AT_ONCE: usize = 10;

/// Longer than the answer may take.
fn too_late(spot: &Spot) -> Fate {
    Fate::Late(Duration::from_secs(if spot.changes() { 62 } else { 17 }))
}

fn fates(spot: &Spot) -> Vec<Fate> {
    let mut fates = vec![
        Fate::Refused(500, "something went wrong"),
        Fate::LostRequest,
        Fate::Away(Duration::from_secs(1)),
        Fate::HeldBefore,
        too_late(spot),
    ];
    if spot.changes() {
        fates.extend([
            Fate::Refused(403, "not authorized"),
            Fate::Refused(503, "Daemon is starting up"),
            Fate::LostAnswer,
            Fate::Late(Duration::from_secs(2)),
            Fate::HeldAfter,
        ]);
    }
    fates
}

/// After its job is there: what `up` itself asks is asked again by whoever called it.
fn of_the_job(spots: Vec<Spot>) -> Vec<Spot> {
    let submitted = spots.iter().position(|spot| spot.path == "/1.0/instances/*" && spot.nth == 2);
    spots.into_iter().skip(submitted.expect("a bring-up looks at its instance")).collect()
}

/// Short runs leave those out that mostly wait, and of questions all but the first of a kind.
fn is_wanted(case: &Case) -> bool {
    let waits = case.fate == too_late(&case.spot);
    paths::full() || (!waits && (case.spot.changes() || case.spot.nth == 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_broken_in_every_way() {
    let [up, down] = Ground::new().spots().await;
    let mut cases = Vec::new();
    for (work, spots) in [(Work::BringUp, of_the_job(up)), (Work::Removal, down)] {
        for spot in spots {
            let of_spot = fates(&spot).into_iter().map(|fate| Case { work, spot: spot.clone(), fate });
            cases.extend(of_spot.filter(is_wanted));
        }
    }
    let ends = all(cases, AT_ONCE, Case::play).await;
    tell("incus faults, in memory", &ends, 50);
}
