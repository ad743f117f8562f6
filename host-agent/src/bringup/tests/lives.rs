//! How long guests live: due, told, kept, stopped; one companion or several, and after a restart.

use std::time::Duration;

use super::rig::Rig;
use crate::job::{Event, Phase, RequestKind};

const SHORT: &str = "name = \"web-01\"\ndestroy_after = \"1s\"";

#[tokio::test]
async fn a_guest_whose_time_is_over_is_told_of_then_destroyed_once_and_nothing_is_left() {
    let mut rig = Rig::new().await;
    rig.work();
    let job = rig.up_one("name = \"web-01\"\ndestroy_after = \"3s\"").await;
    rig.ready(&job).await;
    let line = rig.service.line(&job).await.unwrap().unwrap();
    assert_eq!(line.due_at_ms, rig.state(&job).await.ended_ms.map(|ready| ready + 3000));
    let state = rig.until(&job, Phase::RolledBack).await;
    assert_eq!(state.failure.map(|fault| fault.code), Some("due".to_owned()));
    rig.assert_clean().await;
    let events = rig.store.events(&job).await.unwrap();
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|one| wanted(&one.event)).count();
    assert_eq!(count(|event| matches!(event, Event::DueSoon { .. })), 1);
    assert_eq!(count(|event| matches!(event, Event::UnwindRequested { .. })), 1);
    assert_eq!(rig.service.keep("web-01", None, "me").await.unwrap_err().code, "guest-gone");
}

#[tokio::test]
async fn who_was_away_ends_what_was_due_meanwhile() {
    let mut rig = Rig::new().await;
    let job = rig.up_one(SHORT).await;
    rig.ready(&job).await;
    rig.halt().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(rig.state(&job).await.phase, Phase::Done);
    rig.work();
    rig.until(&job, Phase::RolledBack).await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_guest_that_is_kept_lives_on_and_the_last_word_counts() {
    let rig = Rig::new().await;
    let job = rig.up_one(SHORT).await;
    rig.ready(&job).await;
    rig.service.keep("web-01", None, "me").await.unwrap();
    let kept = |event: &Event| matches!(event, Event::Kept { until_ms: None, .. });
    while !rig.has_event(&job, kept).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Whoever asked before that was too early.
    rig.service.ask_by_itself(&job, RequestKind::Attend, "late").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let state = rig.state(&job).await;
    assert_eq!((state.phase, state.due_ms()), (Phase::Done, None));
    assert_eq!(rig.store.open_request(&job).await.unwrap(), None);
    rig.service.keep("web-01", Some(Duration::from_millis(300)), "me").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_word_that_is_not_taken_up_yet_is_not_overwritten_by_the_clock() {
    let mut rig = Rig::new().await;
    let job = rig.up_one(SHORT).await;
    rig.ready(&job).await;
    rig.halt().await;
    rig.service.keep("web-01", None, "me").await.unwrap();
    rig.service.ask_by_itself(&job, RequestKind::Attend, "it is due").await;
    let open = rig.store.open_request(&job).await.unwrap().unwrap();
    assert_eq!(open.kind, RequestKind::Keep { until_ms: None, promote: false });
    tokio::time::sleep(Duration::from_millis(1100)).await;
    rig.work();
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(rig.state(&job).await.phase, Phase::Done);
    // Destroying goes before everything that companions ask by themselves.
    rig.service.destroy("web-01", "me", "enough").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
}

#[tokio::test]
async fn an_ephemeral_guest_that_stopped_is_closed_as_gone_and_a_kept_one_is_not() {
    let rig = Rig::new().await;
    let job = rig.up_one("name = \"web-01\"\nlifecycle = \"ephemeral\"").await;
    let kept = rig.up_one("name = \"web-02\"").await;
    rig.ready(&job).await;
    let report = rig.report(&kept, &crate::intake::testing::key()).await;
    rig.send(&report).await.unwrap();
    rig.until(&kept, Phase::Done).await;
    for job in [&job, &kept] {
        rig.service.ask_by_itself(job, RequestKind::Stopped, "it stopped").await;
    }
    let state = rig.until(&job, Phase::RolledBack).await;
    assert_eq!(state.failure.map(|fault| fault.code), Some("guest-stopped".to_owned()));
    while rig.store.open_request(&kept).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.state(&kept).await.phase, Phase::Done);
    assert_eq!(rig.store.ephemeral_jobs("paper").await.unwrap(), Vec::<String>::new());
}
