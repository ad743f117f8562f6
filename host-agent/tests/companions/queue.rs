//! One queue, two companions.

use std::collections::BTreeSet;

use crate::hypervisor::world::Verb;
use crate::rig::{Rig, await_state, names, up};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_companions_share_a_queue_and_each_job_is_done_once() {
    let rig = Rig::new();
    let (one, two) = (rig.companion("one").await, rig.companion("two").await);
    rig.report_to(&[&one, &two]);
    let guests = names(40);
    let jobs = up(&one, &guests).await;
    await_state(&two, &jobs, "done", 90).await;
    rig.assert_each_made_once(&guests);
    let makers: BTreeSet<String> =
        guests.iter().flat_map(|guest| rig.done(Verb::Make, guest)).map(|entry| entry.companion).collect();
    assert_eq!(makers.len(), 2, "only {makers:?} worked");
    let most = rig.hypervisor.most_half_made();
    assert!((2..=4).contains(&most), "{most} at once, where 4 is the limit of both together");
}
