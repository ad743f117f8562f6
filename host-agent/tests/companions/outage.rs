//! The database goes away in the middle, and comes back.

use std::time::Duration;

use crate::rig::{Rig, await_state, names, until, up};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_database_delays_jobs_and_loses_none() {
    let mut rig = Rig::new();
    let (one, two) = (rig.companion("one").await, rig.companion("two").await);
    rig.hypervisor.change(|manner| manner.make = Duration::from_millis(300));
    rig.report_to(&[&one, &two]);
    let guests = names(16);
    let jobs = up(&one, &guests).await;
    until("some guests to run", 60, async || {
        rig.hypervisor.machines().iter().filter(|machine| machine.running).count() >= 4
    })
    .await;
    rig.postgres.stop();
    tokio::time::sleep(Duration::from_millis(1500)).await; // the outage
    rig.postgres.resume();
    await_state(&two, &jobs, "done", 90).await;
    await_state(&one, &jobs, "done", 30).await;
    rig.assert_each_made_once(&guests);
}
