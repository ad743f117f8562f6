//! Several companions, one after the other and side by side.

use super::super::api::Applied;
use super::paper::macs;
use super::rig::{Rig, specs};
use crate::backend::Stage;
use crate::intake::testing::key;
use crate::job::Phase;

const ONE: &str = "name = \"web-01\"";

#[tokio::test]
async fn a_job_goes_on_where_it_was_and_its_guest_is_made_once() {
    let mut rig = Rig::new().await;
    let waiting = rig.up_one(ONE).await;
    rig.until(&waiting, Phase::Waiting).await;
    rig.paper.hold.send_replace(Some(Stage::Mounts));
    let held = rig.up_one("name = \"web-02\"").await;
    while rig.state(&held).await.current_step().is_none_or(|step| step.name != "mounts") {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    rig.halt().await;
    // The report comes while nobody drives anything.
    let report = rig.report(&waiting, &key()).await;
    rig.send(&report).await.unwrap();
    rig.paper.hold.send_replace(None);
    rig.work();
    rig.until(&waiting, Phase::Done).await;
    rig.ready(&held).await;
    let made: Vec<u32> = rig.paper.world().made.values().copied().collect();
    assert_eq!(made, [1, 1]);
    rig.send(&report).await.unwrap();
}

#[tokio::test]
async fn companions_that_choose_at_once_never_choose_the_same() {
    let mut rig = Rig::new().await;
    rig.work();
    rig.work();
    let jobs = rig.up("name = \"web-{n}\"\ncount = 24").await;
    for submitted in &jobs {
        rig.until(&submitted.job, Phase::Waiting).await;
    }
    assert_eq!(macs(&rig.paper.world()).len(), 24);
    assert_eq!(rig.store.reserved(&["address@paper"]).await.unwrap().len(), 24);
    assert!(rig.paper.world().made.values().all(|made| *made == 1));
    for submitted in &jobs {
        rig.ready(&submitted.job).await;
    }
}

#[tokio::test]
async fn two_that_apply_the_same_spec_at_once_make_its_guests_once() {
    let mut rig = Rig::new().await;
    let first = std::sync::Arc::clone(&rig.service);
    rig.work();
    let wanted = specs("name = \"web-{n}\"\ncount = 5");
    let (one, other) = tokio::join!(first.submit(&wanted, "a"), rig.service.submit(&wanted, "b"));
    let (one, other) = (one.unwrap(), other.unwrap());
    let jobs = |all: &[super::super::Submitted]| all.iter().map(|one| one.job.clone()).collect::<Vec<_>>();
    assert_eq!(jobs(&one), jobs(&other));
    let created = one.iter().chain(&other).filter(|one| one.action == Applied::Created).count();
    assert_eq!(created, 5);
}

#[tokio::test]
async fn what_guests_share_goes_with_the_last_of_any_companion() {
    let mut rig = Rig::new().await;
    let jobs = [rig.up_one(ONE).await, rig.up_one("name = \"web-02\"").await];
    for job in &jobs {
        rig.until(job, Phase::Waiting).await;
    }
    let before = rig.paper.world().released;
    rig.service.destroy("web-01", "me", "").await.unwrap();
    rig.until(&jobs[0], Phase::RolledBack).await;
    rig.halt().await;
    assert_eq!(rig.paper.world().released, before, "another guest is there");
    rig.work();
    rig.service.destroy("web-02", "me", "").await.unwrap();
    rig.until(&jobs[1], Phase::RolledBack).await;
    rig.halt().await;
    assert!(rig.paper.world().released > before);
}
