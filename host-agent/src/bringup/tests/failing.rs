//! Bring-ups that fail, are cancelled, kept, tried again, begun anew, abandoned.

use super::super::watch::Verdict;
use super::paper::Object;
use super::rig::Rig;
use crate::backend::{Backend, Stage};
use crate::intake::IntakeError;
use crate::intake::testing::key;
use crate::job::{Event, Phase};

const ONE: &str = "name = \"web-01\"";
const STAGES: [Stage; 6] =
    [Stage::Restore, Stage::Mac, Stage::Hostname, Stage::Size, Stage::Mounts, Stage::Start];

#[tokio::test]
async fn whatever_stage_is_refused_nothing_stays() {
    let rig = Rig::new().await;
    for stage in STAGES {
        rig.paper.world().refuse = Some(stage);
        let job = rig.up_one(ONE).await;
        let state = rig.until(&job, Phase::RolledBack).await;
        assert_eq!(state.failure.map(|fault| fault.code), Some("paper-refused".to_owned()), "{stage:?}");
        rig.assert_clean().await;
    }
}

#[tokio::test]
async fn a_job_can_be_cancelled_at_every_stage() {
    let rig = Rig::new().await;
    for stage in STAGES {
        rig.paper.hold.send_replace(Some(stage));
        let job = rig.up_one(ONE).await;
        let name = format!("{stage:?}").to_lowercase();
        let begun = |event: &Event| matches!(event, Event::StepStarted { step } if *step == name);
        while !rig.has_event(&job, begun).await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        rig.service.cancel(&job, "me", "not this one").await.unwrap();
        let fault = rig.refused(ONE).await;
        assert_eq!(fault.code, "guest-unwinding", "{stage:?}: asked, and not yet taken up");
        rig.paper.hold.send_replace(None);
        rig.until(&job, Phase::RolledBack).await;
        rig.assert_clean().await;
    }
    let job = rig.up_one(ONE).await;
    rig.until(&job, Phase::Waiting).await;
    rig.service.cancel("web-01", "me", "enough waited").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn what_was_kept_is_tried_again_from_the_failed_step() {
    let rig = Rig::new().await;
    rig.paper.world().refuse = Some(Stage::Start);
    let job = rig.up_one("name = \"web-01\"\non_failure = \"keep\"").await;
    let kept = rig.until(&job, Phase::NeedsOperator).await;
    assert_eq!(kept.console, ["last\\u{1b}[31m words"], "a guest's words are escaped");
    assert!(kept.leftovers.contains(&format!("paper remove {job}")), "{:?}", kept.leftovers);
    assert_eq!(rig.refused("name = \"web-01\"\non_failure = \"keep\"").await.code, "guest-needs-operator");
    rig.paper.world().refuse = None;
    assert_eq!(rig.service.retry(&job, false, "me").await.unwrap(), job);
    rig.ready(&job).await;
    assert_eq!(rig.paper.world().made.get(&job), Some(&1), "it was not made twice");
    assert_eq!(rig.service.retry(&job, false, "me").await.unwrap_err().code, "job-ended");
}

#[tokio::test]
async fn anew_undoes_everything_and_makes_another_job_of_the_same_spec() {
    let rig = Rig::new().await;
    rig.paper.world().refuse = Some(Stage::Start);
    let job = rig.up_one("name = \"web-01\"\non_failure = \"keep\"").await;
    rig.until(&job, Phase::NeedsOperator).await;
    rig.paper.world().refuse = None;
    let next = rig.service.retry(&job, true, "me").await.unwrap();
    assert_ne!(next, job);
    rig.until(&job, Phase::RolledBack).await;
    let state = rig.until(&next, Phase::Waiting).await;
    assert_eq!(state.spec.retry_of.as_deref(), Some(job.as_str()));
    let view = rig.service.view(&job).await.unwrap().unwrap();
    assert_eq!(view.successor.as_deref(), Some(next.as_str()));
    assert_eq!(rig.service.retry(&next, true, "me").await.unwrap_err().code, "job-in-progress");
    rig.service.destroy("web-01", "me", "").await.unwrap();
    rig.until(&next, Phase::RolledBack).await;
    rig.assert_clean().await;

    let last = rig.service.retry(&job, true, "me").await.unwrap();
    rig.until(&last, Phase::Waiting).await;
    assert_eq!(rig.service.retry(&job, true, "me").await.unwrap_err().code, "guest-exists");
}

#[tokio::test]
async fn what_cannot_be_undone_needs_an_operator_who_may_abandon_it() {
    let rig = Rig::new().await;
    (rig.paper.world().refuse, rig.paper.world().undo_fails) = (None, None);
    {
        let mut world = rig.paper.world();
        (world.refuse, world.undo_fails) = (Some(Stage::Start), Some(Stage::Restore));
    }
    let job = rig.up_one(ONE).await;
    let stuck = rig.until(&job, Phase::NeedsOperator).await;
    assert!(stuck.leftovers.iter().any(|command| command.contains(&job)), "{:?}", stuck.leftovers);
    assert_eq!(rig.service.retry(&job, false, "me").await.unwrap_err().code, "cannot-retry");
    let late = rig.report(&job, &key()).await;
    rig.service.abandon(&job, "me", "I shall see to it").await.unwrap();
    rig.until(&job, Phase::Abandoned).await;
    match rig.send(&late).await {
        Err(IntakeError::Refused(refused)) => assert_eq!(refused.code, "claim-expired"),
        other => panic!("{other:?}"),
    }
    assert!(rig.paper.world().objects.contains_key(&job), "everything stays as it is");
    assert_eq!(rig.service.abandon(&job, "me", "").await.unwrap(), job, "twice is once");
}

#[tokio::test]
async fn an_abandoned_jobs_commands_end_where_they_would_hit_another_guest() {
    let rig = Rig::new().await;
    rig.paper.world().refuse = Some(Stage::Start);
    let job = rig.up_one("name = \"web-01\"\non_failure = \"keep\"").await;
    rig.until(&job, Phase::NeedsOperator).await;
    let told = async || {
        let view = rig.service.view(&job).await.unwrap().unwrap();
        (view.leftovers, view.name_belongs_to)
    };
    let by_hand = format!("paper remove {job}");
    assert_eq!(told().await, (vec!["firstlight destroy web-01".to_owned(), by_hand.clone()], None));
    rig.service.abandon(&job, "me", "").await.unwrap();
    rig.until(&job, Phase::Abandoned).await;
    assert_eq!(told().await, (vec![by_hand.clone()], None), "the name is free: there is nothing to destroy");

    rig.paper.world().objects.clear();
    rig.paper.world().refuse = None;
    let next = rig.up_one(ONE).await;
    assert_eq!(told().await, (vec![], Some(next.clone())));
    rig.service.destroy("web-01", "me", "").await.unwrap();
    rig.until(&next, Phase::RolledBack).await;
    assert_eq!(told().await, (vec![by_hand], None), "the other left nothing");
}

#[tokio::test]
async fn who_asks_at_once_gets_one_answer_and_overwrites_nobody() {
    let mut rig = Rig::new().await;
    rig.paper.world().refuse = Some(Stage::Start);
    let job = rig.up_one("name = \"web-01\"\non_failure = \"keep\"").await;
    rig.until(&job, Phase::NeedsOperator).await;
    rig.halt().await;
    rig.paper.world().refuse = None;
    let (one, two) = tokio::join!(rig.service.retry(&job, true, "me"), rig.service.retry(&job, true, "you"));
    let next = one.unwrap();
    assert_eq!(two.unwrap(), next);
    let fault = rig.service.abandon(&job, "you", "").await.unwrap_err();
    assert_eq!(fault.code, "request-pending");
    assert!(fault.message.contains("`anew`"), "{fault}");
    // Taken back, nothing else may be asked before that is answered.
    rig.service.destroy("web-01", "me", "").await.unwrap();
    assert_eq!(rig.service.abandon(&job, "you", "").await.unwrap_err().code, "request-pending");
    assert_eq!(rig.service.retry(&job, true, "you").await.unwrap_err().code, "request-pending");
    rig.work();
    rig.until(&job, Phase::RolledBack).await;
    assert!(rig.store.events(&next).await.unwrap().is_empty(), "it was taken back");
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_guest_that_stops_or_has_anothers_key_need_not_be_waited_for() {
    let rig = Rig::new().await;
    let (first, second) = (rig.up_one(ONE).await, rig.up_one("name = \"web-02\"").await);
    let key = key();
    rig.until(&first, Phase::Waiting).await;
    rig.until(&second, Phase::Waiting).await;
    rig.send(&rig.report(&first, &key).await).await.unwrap();
    rig.send(&rig.report(&second, &key).await).await.unwrap_err();
    let state = rig.until(&second, Phase::RolledBack).await;
    assert_eq!(state.failure.map(|fault| fault.code), Some("shared-host-key".to_owned()));
    rig.until(&first, Phase::Done).await;

    let third = rig.up_one("name = \"web-03\"").await;
    rig.until(&third, Phase::Waiting).await;
    if let Some(object) = rig.paper.world().objects.get_mut(&third) {
        object.running = false;
    }
    let state = rig.until(&third, Phase::RolledBack).await;
    assert_eq!(state.failure.map(|fault| fault.code), Some("guest-stopped".to_owned()));
}

#[tokio::test]
async fn what_came_late_is_swept_and_what_is_unknown_is_left() {
    let rig = Rig::new().await;
    let job = rig.up_one(ONE).await;
    rig.until(&job, Phase::Waiting).await;
    rig.service.cancel(&job, "me", "").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
    for owner in [job.as_str(), "nobody-we-know"] {
        let late = Object { guest: "web-01".into(), mac: None, running: true, ..Default::default() };
        rig.paper.world().objects.insert(owner.to_owned(), late);
    }
    let found = rig.paper.survey().await.unwrap();
    let suspects = rig.service.suspects(&found).await.unwrap();
    let known: Vec<bool> = suspects.values().map(Option::is_some).collect();
    assert_eq!((known.len(), known.iter().filter(|known| **known).count()), (2, 1));
    rig.service.act_on(&*rig.paper, Verdict { sweep: vec![job.clone()], strangers: vec![] }).await;
    while !rig.has_event(&job, |event| matches!(event, Event::Swept { .. })).await {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let left: Vec<String> = rig.paper.world().objects.keys().cloned().collect();
    assert_eq!(left, ["nobody-we-know"]);
}
