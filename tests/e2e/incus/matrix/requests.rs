//! Every request, broken in every way, and `kill -9` of the companion at each.

use std::time::Duration;

use firstlight_tests::paths;
use firstlight_tests::rig::incus::{Fate, IncusServer, Spot};

use super::{Case, Ground, Place, Trouble, Work, all};

/// Longer than an answer to a question may take.
const TOO_LATE: Duration = Duration::from_secs(17);
/// Short runs take every so many.
const EVERY: usize = 13;

fn troubles(spot: &Spot) -> Vec<Trouble> {
    let mut fates = vec![
        Fate::Refused(500, "something went wrong"),
        Fate::LostRequest,
        Fate::Away(Duration::from_secs(1)),
        if spot.changes() { Fate::Late(Duration::from_secs(2)) } else { Fate::Late(TOO_LATE) },
    ];
    if spot.changes() {
        fates.extend([
            Fate::Refused(403, "not authorized"),
            Fate::Refused(503, "Daemon is starting up"),
            Fate::LostAnswer,
        ]);
    }
    let mut troubles: Vec<Trouble> = fates.into_iter().map(Trouble::Harm).collect();
    troubles.push(Trouble::CompanionDies(Fate::HeldBefore));
    if spot.changes() {
        troubles.push(Trouble::CompanionDies(Fate::HeldAfter));
    }
    troubles
}

/// All of them, of a bring-up and of a removal.
fn cases(server: &'static IncusServer) -> Vec<Case> {
    let mut ground = Ground::on(server);
    let spots = ground.spots();
    ground.site.end();
    let mut cases = Vec::new();
    for (work, spots) in [Work::BringUp, Work::Removal].into_iter().zip(spots) {
        for spot in spots {
            cases.extend(troubles(&spot).into_iter().map(|trouble| Case {
                work,
                place: Place::At(spot.clone()),
                trouble,
            }));
        }
    }
    cases
}

/// Short runs leave those out that only wait.
fn sample(cases: Vec<Case>) -> Vec<Case> {
    let quick = |case: &Case| case.trouble != Trouble::Harm(Fate::Late(TOO_LATE));
    let quick: Vec<Case> = cases.into_iter().filter(quick).collect();
    quick.into_iter().skip(3).step_by(EVERY).collect()
}

#[test]
fn every_request_broken_in_every_way() {
    let server = IncusServer::shared();
    let all_of_them = cases(server);
    let wanted = if paths::full() { all_of_them } else { sample(all_of_them) };
    let played = all(server, wanted, if paths::full() { 4 } else { 2 });
    assert!(played.len() >= 15, "only {} cases", played.len());
}
