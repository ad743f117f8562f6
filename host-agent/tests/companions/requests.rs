//! What people ask may be asked of any companion.

use serde_json::json;

use crate::rig::{Rig, await_state, names, up, up_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_retry_and_destroy_are_asked_of_the_companion_that_does_not_drive_the_job() {
    let rig = Rig::new();
    let one = rig.companion("one").await;
    rig.report_to(&[&one]);
    let ready = up(&one, &["ready".to_owned()]).await;
    await_state(&one, &ready, "done", 60).await;
    rig.hypervisor.break_guest("broken", true);
    let broken = up_with(&one, &["broken".to_owned()], |spec| spec.keep_on_failure = true).await;
    await_state(&one, &broken, "needs-operator", 60).await;
    rig.hypervisor.change(|manner| manner.silent = true);
    let waiting = up(&one, &names(2)).await;
    await_state(&one, &waiting, "waiting", 60).await;

    let two = rig.companion("two").await;
    two.post(&format!("/v1/jobs/{}/cancel", waiting["web-01"]), json!({ "reason": "test" })).await;
    let cancelled = [("web-01".to_owned(), waiting["web-01"].clone())].into();
    await_state(&two, &cancelled, "rolled-back", 30).await;
    assert!(rig.hypervisor.machine("web-01").is_none());

    two.post("/v1/destroy", json!({ "guests": ["ready"] })).await;
    await_state(&one, &ready, "rolled-back", 30).await;
    assert!(rig.hypervisor.machine("ready").is_none());

    rig.hypervisor.break_guest("broken", false);
    rig.hypervisor.change(|manner| manner.silent = false);
    two.post(&format!("/v1/jobs/{}/retry", broken["broken"]), json!({})).await;
    await_state(&two, &broken, "done", 30).await;
    let kept = [("web-02".to_owned(), waiting["web-02"].clone())].into();
    await_state(&two, &kept, "done", 30).await;
    rig.hypervisor.assert_never_two();
}
