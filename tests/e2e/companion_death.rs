//! The companion dies without a word while a guest waits.

use std::time::Duration;

use firstlight_shared::wire::Envelope;
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::{Leader, fake};
use firstlight_tests::rig::Rig;
use firstlight_tests::{paths, wait};

#[test]
fn a_waiting_guest_outlives_the_companion_and_its_job_completes_after_a_restart() {
    let mut rig = Rig::serving();
    rig.up_waiting(
        &rig.spec("orphan", Variant::Silent, "[guest.readiness]\ntimeout = \"120s\""),
        &["orphan"],
    );
    let guest = rig.leader("orphan");
    let claim = rig.claim("orphan");
    rig.kill_companion();
    assert!(guest.alive());
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active");

    // The guest begins to report while nobody listens, and goes on until somebody does.
    let started = guest.run(&["/usr/bin/systemctl", "start", "firstlight-report.service"]).unwrap();
    assert!(started.ok(), "{}", started.said());
    rig.serve();
    rig.await_state("orphan", "done");
    assert_eq!(Some(guest), Leader::of(&rig.guest_root("orphan")), "the guest was started anew");

    // Its acknowledgement was lost, so it sends the same bytes again, and gets the same answer each time.
    let bytes = std::fs::read(format!("/proc/{}/root/run/firstlight/report.json", guest.0)).unwrap();
    let envelope = Envelope::parse(&bytes).unwrap();
    let first = fake::send(&rig.namespace("orphan"), &claim, &envelope).unwrap();
    assert_eq!(first.status, 200, "{first:?}");
    rig.kill_companion();
    rig.serve();
    let second = fake::send(&rig.namespace("orphan"), &claim, &envelope).unwrap();
    assert_eq!(first, second, "the answer is kept across a crash");
    assert_eq!(rig.json(&["reports", "--json"])["reports"].as_array().map(Vec::len), Some(1));
}

/// Kills at one moment of a bring-up, or (`--full`) at many.
#[test]
fn whenever_the_companion_dies_a_restart_finishes_the_job() {
    let moments: Vec<u64> =
        if paths::full() { (0..30).map(|step| step * 120).collect() } else { vec![400, 1500] };
    for moment in moments {
        let mut rig = Rig::serving();
        let ran = rig.run(&[
            "up",
            &rig.spec("phoenix", Variant::Agent, "[guest.readiness]\ntimeout = \"90s\""),
            "--detach",
        ]);
        assert!(ran.ok(), "{}", ran.said());
        std::thread::sleep(Duration::from_millis(moment)); // the moment is what is tested
        rig.kill_companion();
        rig.serve();
        rig.await_state("phoenix", "done");
        wait::until("ssh in the guest", Duration::from_secs(20), || {
            (rig.leader("phoenix").unit_state("ssh.service").ok()? == "active").then_some(())
        })
        .unwrap_or_else(|error| panic!("killed after {moment} ms: {error}"));
    }
}
