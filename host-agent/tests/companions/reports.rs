//! Any companion takes any report.

use serde_json::Value;

use crate::hypervisor::post::post;
use crate::hypervisor::report::Guest;
use crate::rig::{Rig, await_state, names, until, up};

/// From a report's commit by one companion until the other's job has moved on, in milliseconds. A wake-up takes a few;
/// looking around every so often takes seconds.
const AT_ONCE: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_taken_by_one_companion_and_wakes_the_job_of_the_other() {
    let rig = Rig::new();
    let one = rig.companion("one").await;
    rig.hypervisor.change(|manner| manner.silent = true);
    let guests = names(6);
    let jobs = up(&one, &guests).await;
    await_state(&one, &jobs, "waiting", 60).await;
    let two = rig.companion("two").await;
    rig.report_to(&[&two]);
    // One after the other: how fast a job moves on is measured, not how many fit in.
    until("every guest to have a report", 30, async || {
        rig.hypervisor.machines().iter().all(|machine| machine.report.is_some())
    })
    .await;
    for machine in rig.hypervisor.machines() {
        let guest = Guest { name: machine.guest.clone(), mac: machine.mac, address: machine.addresses[0] };
        let report = machine.report.unwrap();
        let first = post(two.reports, guest.source(), report.clone()).await.unwrap();
        assert_eq!(first.0, 200, "{first:?}");
        let mut took = None;
        until("the job to move on", 20, async || {
            took = moved_on(&one.get(&format!("/v1/jobs/{}", machine.job)).await, &first.1);
            took.is_some()
        })
        .await;
        assert!(took.unwrap() < AT_ONCE, "{} moved on after {took:?} ms", machine.guest);

        // Whoever is asked again, and by then the job may be final.
        await_state(&one, &[(machine.guest.clone(), machine.job.clone())].into(), "done", 20).await;
        for companion in [&one, &two] {
            let again = post(companion.reports, guest.source(), report.clone()).await.unwrap();
            assert_eq!(again, first, "{} answers differently", companion.name);
        }
    }
    rig.hypervisor.change(|manner| manner.silent = false);
    rig.assert_each_made_once(&guests);
    let drivers = rig.hypervisor.journal().into_iter().filter(|entry| entry.companion == "two").count();
    assert_eq!(drivers, 0, "the other had taken a job over");
}

/// Milliseconds from the acknowledgement to the end of the wait.
fn moved_on(job: &Value, acknowledgement: &str) -> Option<u64> {
    let acknowledgement: Value = serde_json::from_str(acknowledgement).unwrap();
    let events = job["job"]["events"].as_array()?;
    let ended = events.iter().find(|recorded| {
        recorded["event"]["kind"] == "step-succeeded" && recorded["event"]["step"] == "await-report"
    })?;
    Some(ended["at_ms"].as_u64()?.saturating_sub(acknowledgement["accepted_at_ms"].as_u64()?))
}
