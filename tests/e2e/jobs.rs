//! The queue and what people ask of jobs, with real guests.

use std::process::{Child, Stdio};
use std::time::Duration;

use firstlight_tests::golden::Variant;
use firstlight_tests::rig::Rig;
use firstlight_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// When a job worked: from its first step's start until it waited for its guest, in milliseconds.
fn at_work(shown: &Value) -> (u64, u64) {
    let steps = shown["job"]["steps"].as_array().unwrap_or_else(|| panic!("no steps in {shown:#}"));
    let started = |name: &str| {
        let step = steps.iter().find(|step| step["name"] == name);
        step.and_then(|step| step["started_at_ms"].as_u64())
            .unwrap_or_else(|| panic!("no {name} in {shown:#}"))
    };
    (started("allocate"), started("await-report"))
}

#[test]
fn a_limit_of_one_lets_guests_work_one_by_one_and_a_second_up_changes_nothing() {
    let rig = Rig::configured("[limits]\nnode = 1\n");
    let spec = rig.spec("turn-{n}", Variant::Agent, "count = 3\n[guest.readiness]\ntimeout = \"120s\"");
    let planned = rig.json(&["plan", &spec, "--json"]);
    assert!(
        planned["guests"].as_array().unwrap().iter().all(|guest| guest["action"] == "create"),
        "{planned:#}"
    );
    assert_eq!(rig.json(&["jobs", "--json"])["jobs"].as_array().map(Vec::len), Some(0), "plan made a job");

    rig.up(&spec);
    let names = ["turn-01", "turn-02", "turn-03"];
    let mut turns: Vec<(u64, u64)> =
        names.iter().map(|name| at_work(&rig.json(&["show", name, "--json"]))).collect();
    turns.sort_unstable();
    assert!(turns.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two worked at once: {turns:?}");

    let before = rig.json(&["jobs", "--json"]);
    let planned = rig.json(&["plan", &spec, "--json"]);
    assert!(
        planned["guests"].as_array().unwrap().iter().all(|guest| guest["action"] == "unchanged"),
        "{planned:#}"
    );
    let leaders = names.map(|name| rig.leader(name));
    let again = rig.run(&["up", &spec, "--json"]);
    assert!(again.ok(), "{}", again.said());
    assert_eq!(rig.json(&["jobs", "--json"]), before, "the second `up` changed something");
    assert_eq!(names.map(|name| rig.leader(name)), leaders);
}

#[test]
fn ctrl_c_leaves_the_job_to_the_companion_watch_picks_it_up_and_cancel_ends_it() {
    let rig = Rig::serving();
    let spec = rig.spec("patient", Variant::Silent, "[guest.readiness]\ntimeout = \"120s\"");
    let up = spawn(&rig, &["up", &spec]);
    rig.await_state("patient", "waiting");
    interrupt(&up);
    let left = up.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&left.stderr).into_owned();
    assert!(!left.status.success() && said.contains("watch"), "{}: {said}", left.status);
    assert_eq!(rig.job_state("patient").as_deref(), Some("waiting"));

    let mut watch = spawn(&rig, &["watch", "patient"]);
    std::thread::sleep(Duration::from_millis(300)); // it shall be seen to go on, not to end at once
    assert!(watch.try_wait().unwrap().is_none(), "watch ended while the guest waits");
    let cancelled = rig.run(&["cancel", "patient", "--reason", "enough of it"]);
    assert!(cancelled.ok(), "{}", cancelled.said());
    assert_eq!(rig.job_state("patient").as_deref(), Some("rolled-back"));
    let ended = wait::until("watch to end", Duration::from_secs(10), || watch.try_wait().unwrap());
    if ended.is_err() {
        let _ = watch.kill();
    }
    assert!(!ended.unwrap().success(), "a job that was cancelled did not become ready");
    assert!(rig.run(&["show", "patient"]).stdout.contains("enough of it"));
    rig.assert_clean();
}

#[test]
fn a_guest_that_was_kept_is_mended_and_its_failed_step_tried_again() {
    let rig = Rig::serving();
    let more = "on_failure = \"keep\"\n[guest.readiness]\ntimeout = \"8s\"";
    let ran = rig.run(&["up", &rig.spec("kept", Variant::Silent, more)]);
    assert!(!ran.ok(), "{}", ran.said());
    assert_eq!(rig.job_state("kept").as_deref(), Some("needs-operator"));
    let guest = rig.leader("kept");
    guest.settled().unwrap();
    let mended = guest.run(&["/usr/bin/systemctl", "start", "firstlight-report.service"]).unwrap();
    assert!(mended.ok(), "{}", mended.said());
    let retried = rig.run(&["retry", "kept"]);
    assert!(retried.ok(), "{}", retried.said());
    assert_eq!(rig.job_state("kept").as_deref(), Some("done"));
    assert_eq!(rig.leader("kept"), guest, "the guest was started anew");
}

fn spawn(rig: &Rig, words: &[&str]) -> Child {
    let mut command = rig.command(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
}
