//! The store as a whole: its secrets, its check, what is forgotten, what is exported.

use std::time::Duration;

use firstlight::job::JobStore;
use firstlight::store::{Heard, StoreError, StoredEvidence};
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::Signed;
use serde_json::Value;

use crate::reports::{claimed, report};
use crate::rig::{Driven, Rig, claimant, create};

pub(crate) async fn all_companions_get_the_same_listener_key(rig: &Rig) {
    let make = |byte: u8| move || Ok::<_, StoreError>(Secret::new(vec![byte; 16]));
    let (one, two) = tokio::join!(rig.store.listener_key(make(1)), rig.other.listener_key(make(2)));
    let one = one.unwrap();
    assert_eq!(one, two.unwrap());
    let never = || -> Result<Secret, StoreError> { panic!("there is one") };
    assert_eq!(rig.store.listener_key(never).await.unwrap(), one);
    rig.store.ping().await.unwrap();
    rig.other.ping().await.unwrap();
}

fn signed(text: &str) -> Signed {
    Signed { version: 1, text: text.into(), signature: "sig".into(), signing_key: "key".into() }
}

fn evidence(job: &str, at_ms: u64) -> StoredEvidence {
    let file = signed(&format!("a file of {job}"));
    let sha256 = format!("{job} {at_ms}");
    StoredEvidence { sha256, job: job.into(), guest: job.into(), at_ms, holds: true, by: "me".into(), file }
}

fn heard(job: &str) -> Heard {
    let evidence = signed(&format!("words of {job}"));
    let (sha256, source) = ("0".into(), "192.0.2.1".into());
    Heard { job: job.into(), sha256, guest: job.into(), at_ms: 6_000, source, evidence }
}

/// How many files are kept of a job, and whether its guest's own words are.
async fn kept(rig: &Rig, job: &str) -> (usize, bool) {
    let files = rig.store.list_evidence(None, Some(&job.to_owned()), 0).await.unwrap();
    (files.len(), rig.store.heard(job).await.unwrap().is_some())
}

/// Jobs `done`, `gone`, `held` (gone, but at work again), `open`, each with a claim, a report and evidence.
async fn furnish(rig: &Rig) {
    for (number, name) in ["done", "gone", "held", "open"].into_iter().enumerate() {
        create(&rig.store, name).await;
        claimed(&rig.store, name, name).await;
        let report = report(name, name, &number.to_string());
        rig.store.take_report(&report, &[("ssh-host-key", format!("key of {name}"))]).await.unwrap();
        rig.store.keep_evidence(&evidence(name, 6_000)).await.unwrap();
        assert!(rig.store.hear(&heard(name)).await.unwrap());
    }
    for claimed in JobStore::claim(&rig.store, &claimant("here", 10)).await.unwrap() {
        let mut job = Driven::of(&claimed);
        match job.lease.job.as_str() {
            "done" => job.finish(&rig.store).await,
            "gone" | "held" => job.roll_back(&rig.store).await,
            _ => job.step(&rig.store, "make").await,
        }
        if job.lease.job != "held" {
            rig.store.release(&[job.lease]).await.unwrap();
        }
    }
}

pub(crate) async fn pruning_keeps_whatever_still_is(rig: &Rig) {
    furnish(rig).await;
    let year = Duration::from_secs(400 * 24 * 3600);
    let age = Duration::from_millis(firstlight::clock::now_ms()) - year;
    let nothing = rig.store.prune(age + year * 2, age + year * 2).await.unwrap();
    assert_eq!(nothing, firstlight::store::Pruned::default(), "nothing is that old");

    let pruned = rig.store.prune(year, age + year * 2).await.unwrap();
    assert_eq!((pruned.jobs, pruned.claims, pruned.reports), (1, 1, 1), "{pruned:?}");
    assert_eq!(pruned.evidence, 2, "{pruned:?}");
    assert_eq!((kept(rig, "gone").await, kept(rig, "held").await), ((0, false), (1, true)));
    assert!(pruned.events >= 2);
    assert!(rig.store.job("gone").await.unwrap().is_none());
    assert!(rig.store.report_of_job("gone").await.unwrap().is_none());
    assert!(JobStore::events(&rig.store, "gone").await.unwrap().is_empty());
    for kept in ["done", "held", "open"] {
        assert!(rig.store.report_of_job(kept).await.unwrap().is_some(), "{kept}");
        assert!(!JobStore::events(&rig.store, kept).await.unwrap().is_empty(), "{kept}");
    }
    let holder = rig.store.holder_of_key("key of gone", "new", "new").await.unwrap();
    assert_eq!(holder.as_deref(), Some("gone"), "a copy of it would still be found");

    let pruned = rig.store.prune(age + year * 2, year).await.unwrap();
    assert_eq!((pruned.jobs, pruned.reports), (0, 1), "the report of the guest that is gone");
    assert_eq!((pruned.evidence, kept(rig, "held").await), (2, (0, false)), "and what it said later");
    assert_eq!((kept(rig, "done").await, kept(rig, "open").await), ((1, true), (1, true)));
    assert!(rig.store.report_of_job("done").await.unwrap().is_some());
}

pub(crate) async fn an_export_can_be_read_again(rig: &Rig) {
    furnish(rig).await;
    rig.store.keep_evidence(&evidence("done", 7_000)).await.unwrap();
    let mut file = Vec::new();
    assert_eq!(rig.store.export(&mut file).await.unwrap(), 3);
    let text = String::from_utf8(file).unwrap();
    assert!(!text.contains(&"07".repeat(16)), "a claim's secret");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let jobs: Vec<&str> = lines.iter().map(|line| line["job"].as_str().unwrap()).collect();
    assert_eq!(jobs, ["held", "gone", "done"], "newest first, and finished ones only");
    let done = &lines[2];
    assert_eq!((&done["version"], &done["state"]), (&Value::from(1), &Value::from("done")));
    let events: Vec<firstlight::job::Recorded> = serde_json::from_value(done["events"].clone()).unwrap();
    assert_eq!(events, JobStore::events(&rig.store, "done").await.unwrap());
    assert_eq!(done["report"]["envelope"]["report"], "{\"signed\": \"bytes\"}");
    let files = done["evidence"].as_array().unwrap();
    let times: Vec<_> = files.iter().map(|one| one["at_ms"].as_u64().unwrap()).collect();
    assert_eq!(times, [7_000, 6_000], "newest first");
    // Each as it was given out.
    assert_eq!(serde_json::from_value::<Signed>(files[1]["file"].clone()).unwrap(), signed("a file of done"));
    assert_eq!((&files[1]["holds"], &files[1]["by"]), (&Value::from(true), &Value::from("me")));
    assert_eq!(done["heard"]["evidence"]["text"], "words of done");
}

pub(crate) async fn a_sound_store_has_no_problems_and_a_false_state_is_found(rig: &Rig) {
    furnish(rig).await;
    assert_eq!(rig.store.check().await.unwrap(), Vec::<String>::new());
    // An outline that lies, by way of the contract itself.
    create(&rig.store, "lie").await;
    let claimed = JobStore::claim(&rig.store, &claimant("here", 10)).await.unwrap();
    let claimed = claimed.iter().find(|claimed| claimed.lease.job == "lie").unwrap();
    let job = Driven::of(claimed);
    let started = firstlight::job::Recorded {
        seq: 1,
        at_ms: 1,
        event: firstlight::job::Event::StepStarted { step: "make".into() },
    };
    JobStore::append(&rig.store, &job.lease, &started, &job.state.outline()).await.unwrap();
    let problems = rig.store.check().await.unwrap();
    assert!(problems.len() == 1 && problems[0].contains("lie"), "{problems:?}");
}

pub(crate) async fn what_is_asked_while_pruning_goes_on_is_not_lost(rig: &Rig) {
    const JOBS: usize = 100;
    let names: Vec<String> = (0..JOBS).map(|number| format!("j{number:03}")).collect();
    for name in &names {
        create(&rig.store, name).await;
    }
    for claimed in JobStore::claim(&rig.store, &claimant("here", JOBS)).await.unwrap() {
        let mut job = Driven::of(&claimed);
        job.roll_back(&rig.store).await;
        rig.store.release(&[job.lease]).await.unwrap();
    }
    let rest = JobStore::claim(&rig.store, &claimant("here", JOBS)).await.unwrap();
    for claimed in rest {
        let mut job = Driven::of(&claimed);
        job.roll_back(&rig.store).await;
        rig.store.release(&[job.lease]).await.unwrap();
    }
    let sweep = firstlight::job::Request {
        kind: firstlight::job::RequestKind::Sweep,
        by: "sweeper".into(),
        reason: String::new(),
    };
    let asking = async {
        let mut asked = Vec::new();
        for name in names.iter().rev() {
            if JobStore::ask(&rig.other, name, &sweep).await.is_ok() {
                asked.push(name);
            }
        }
        asked
    };
    let (pruned, asked) = tokio::join!(rig.store.prune(Duration::ZERO, Duration::from_secs(9)), asking);
    let pruned = pruned.unwrap();
    for name in &asked {
        assert!(
            !JobStore::events(&rig.store, name).await.unwrap().is_empty(),
            "{name} was asked for something"
        );
    }
    assert_eq!(usize::try_from(pruned.jobs).unwrap() + asked.len(), JOBS);
}
