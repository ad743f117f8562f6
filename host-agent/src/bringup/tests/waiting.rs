//! Guests that somebody else made: waited for, verified, recorded, and never touched.

use std::net::IpAddr;

use firstlight_shared::beacon::{Beacon, Form, Reason, encode};
use firstlight_shared::check::Verdict;
use firstlight_shared::wire::{Envelope, Report, Trust};
use ssh_key::PrivateKey;

use super::super::api::{Applied, StepState, Submitted};
use super::super::facts::Allocated;
use super::super::{SubmitError, WaitFor};
use super::paper::Object;
use super::rig::{Rig, specs};
use crate::intake::testing::{check, key, report};
use crate::intake::{Intake, IntakeError};
use crate::job::Phase;
use crate::outcome::Fault;

fn wanted(guest: &str) -> WaitFor {
    WaitFor {
        backend: "paper".into(),
        guest: guest.into(),
        timeout_ms: 60_000,
        require: Vec::new(),
        again: false,
    }
}

impl Rig {
    /// Somebody makes guest 101 `web-01`, or whatever is said.
    fn other(&self, id: &str, guest: &str, mac: &str) {
        let object = Object {
            guest: guest.into(),
            mac: Some(mac.parse().unwrap()),
            running: true,
            ..Default::default()
        };
        self.paper.world().others.insert(id.into(), object);
    }

    async fn wait(&self, wanted: &WaitFor) -> Submitted {
        self.service.wait_for(wanted, "me").await.unwrap()
    }

    async fn wait_refused(&self, wanted: &WaitFor) -> Fault {
        match self.service.wait_for(wanted, "me").await {
            Err(SubmitError::Refused(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    /// Its MACs are known from now on.
    async fn adopted(&self, job: &str) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        while Allocated::of(&self.state(job).await).is_none() {
            assert!(tokio::time::Instant::now() < deadline, "{job} adopts nothing");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// What guest `id` says of itself, without a claim; the hypervisor shows the same.
    fn says(&self, id: &str, key: &PrivateKey, change: impl FnOnce(&mut Report)) -> Vec<u8> {
        let mut world = self.paper.world();
        let object = &world.others[id];
        let mut report = report(None, key);
        report.identity.hostname.current.clone_from(&object.guest);
        report.identity.machine_id.derived = Some(format!("{id:0>32}").parse().unwrap());
        report.network[0].mac = object.mac;
        change(&mut report);
        let bytes = serde_json::to_vec(&Envelope::seal(&report, key, None).unwrap()).unwrap();
        world.reports.insert(id.into(), bytes.clone());
        bytes
    }

    /// Sends it until it is answered: the guest's own manner.
    async fn taken(&self, bytes: &[u8]) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        while let Err(error) = self.send(bytes).await {
            assert!(tokio::time::Instant::now() < deadline, "it is never taken: {error}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn refused_code(&self, bytes: &[u8]) -> String {
        match Intake::new(self.store.clone()).receive(bytes, IpAddr::from([192, 0, 2, 9])).await {
            Err(IntakeError::Refused(refused)) => refused.code,
            other => panic!("{other:?}"),
        }
    }

    async fn none_reserved(&self) {
        assert_eq!(self.store.reserved(&["mac", "id@paper", "adopted"]).await.unwrap(), []);
    }
}

const MAC: &str = "bc:24:11:00:00:01";

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.other("101", "web-01", MAC);
    rig
}

#[tokio::test]
async fn a_guest_that_is_ready_is_verified_recorded_and_not_touched() {
    let rig = rig().await;
    let submitted = rig.wait(&wanted("101")).await;
    assert_eq!((submitted.guest.as_str(), submitted.action), ("web-01", Applied::Created));
    rig.adopted(&submitted.job).await;
    let before = rig.paper.world().others.clone();
    rig.taken(&rig.says("101", &key(), |_| {})).await;
    rig.until(&submitted.job, Phase::Done).await;

    let view = rig.service.view(&submitted.job).await.unwrap().unwrap();
    assert_eq!((view.trust, view.adopted, view.by.as_str()), (Some(Trust::Attested), true, "me"));
    let steps: Vec<&str> = view.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["adopt", "await-report", "verify", "finish"]);
    assert!(view.steps.iter().all(|step| step.state == StepState::Done));
    assert_eq!(rig.service.known_hosts(&[]).await.unwrap()[0].names, ["web-01", "192.0.2.77"]);
    let world = rig.paper.world();
    assert_eq!((&world.others, world.objects.len(), world.made.len()), (&before, 0, 0));
}

#[tokio::test]
async fn a_guest_that_is_not_ready_ends_the_wait_with_its_reason() {
    let rig = rig().await;
    let job = rig.wait(&wanted("web-01")).await.job;
    rig.adopted(&job).await;
    rig.taken(&rig.says("101", &key(), |report| report.checks = vec![check("docker", Verdict::Fail)])).await;
    let state = rig.until(&job, Phase::RolledBack).await;
    let failure = state.failure.unwrap();
    assert_eq!(failure.code, "check-failed");
    assert!(failure.message.contains("docker"), "{failure:?}");
    assert!(rig.paper.world().others.contains_key("101"), "it is somebody else's");
    rig.none_reserved().await;

    // What is required on top counts, too.
    let job = rig.wait(&WaitFor { require: vec!["docker".into()], ..wanted("web-01") }).await.job;
    rig.adopted(&job).await;
    rig.taken(&rig.says("101", &key(), |_| {})).await;
    assert_eq!(rig.until(&job, Phase::RolledBack).await.failure.unwrap().code, "check-missing");
}

#[tokio::test]
async fn a_guest_that_says_nothing_is_given_up_in_time() {
    let rig = rig().await;
    let job = rig.wait(&WaitFor { timeout_ms: 1000, ..wanted("101") }).await.job;
    let failure = rig.until(&job, Phase::RolledBack).await.failure.unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("report-timeout", "the guest did not report within 1 s")
    );
    assert!(failure.hint.unwrap().contains("firstlight pin"));
    rig.none_reserved().await;
}

#[tokio::test]
async fn what_cannot_be_waited_for_is_refused_and_makes_no_job() {
    let rig = rig().await;
    assert_eq!(rig.wait_refused(&wanted("999")).await.code, "no-such-guest");
    rig.other("102", "web-01", "bc:24:11:00:00:02");
    assert_eq!(rig.wait_refused(&wanted("web-01")).await.code, "ambiguous-guest");
    assert_eq!(
        rig.wait_refused(&WaitFor { backend: "x".into(), ..wanted("101") }).await.code,
        "no-such-backend"
    );
    assert_eq!(rig.wait_refused(&WaitFor { timeout_ms: 1, ..wanted("101") }).await.code, "bad-request");
    assert_eq!(rig.wait_refused(&wanted(" ")).await.code, "bad-request");
    let mut spec = specs("name = \"web-01\"");
    spec[0].adopt = Some(crate::backend::Backend::adopt(&*rig.paper, "101").await.unwrap());
    assert!(
        matches!(rig.service.submit(&spec, "me").await, Err(SubmitError::Refused(fault)) if fault.code == "bad-request")
    );
    assert!(rig.service.jobs(&Default::default()).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_guest_that_reported_before_anybody_waited_is_taken_when_it_tries_again() {
    let rig = rig().await;
    let bytes = rig.says("101", &key(), |_| {});
    for _ in 0..3 {
        assert_eq!(rig.refused_code(&bytes).await, "no-claim");
    }
    let refusals = rig.store.refusals().await.unwrap();
    assert_eq!(refusals.len(), 1, "the same bytes are recorded once");
    assert!(refusals[0].message.contains("firstlight wait"), "{refusals:?}");
    let job = rig.wait(&wanted("101")).await.job;
    rig.taken(&bytes).await;
    rig.until(&job, Phase::Done).await;
    rig.send(&bytes).await.unwrap();
    // Another's report is not this guest's.
    rig.other("102", "web-02", "bc:24:11:00:00:02");
    assert_eq!(rig.refused_code(&rig.says("102", &key(), |_| {})).await, "no-claim");
}

#[tokio::test]
async fn a_report_that_the_hypervisor_does_not_show_makes_no_guest_ready() {
    let rig = rig().await;
    let job = rig.wait(&wanted("101")).await.job;
    rig.adopted(&job).await;
    let forged = rig.says("101", &key(), |_| {});
    rig.paper.world().reports.clear();
    rig.taken(&forged).await;
    assert_eq!(rig.until(&job, Phase::RolledBack).await.failure.unwrap().code, "untrusted");
}

#[tokio::test]
async fn such_a_guest_is_neither_destroyed_nor_taken_for_one_of_a_spec() {
    let rig = rig().await;
    let job = rig.wait(&wanted("101")).await.job;
    rig.adopted(&job).await;
    let fault = rig.service.destroy("web-01", "me", "").await.unwrap_err();
    assert_eq!(fault.code, "guest-not-ours");
    assert!(fault.hint.unwrap().contains("firstlight cancel web-01"));
    rig.taken(&rig.says("101", &key(), |_| {})).await;
    rig.until(&job, Phase::Done).await;
    let fault = rig.service.destroy("web-01", "me", "").await.unwrap_err();
    assert!(fault.hint.unwrap().contains("firstlight abandon web-01"));
    let fault = rig.refused("name = \"web-01\"").await;
    assert!(fault.code == "guest-exists" && fault.message.contains("somebody else"), "{fault:?}");
    assert_eq!(rig.service.cancel("web-01", "me", "").await.unwrap_err().code, "job-ended");
    assert_eq!(rig.service.retry("web-01", true, "me").await.unwrap_err().code, "job-ended");

    rig.service.abandon("web-01", "me", "forget it").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
    rig.none_reserved().await;
    assert!(rig.paper.world().others.contains_key("101"));
}

#[tokio::test]
async fn a_cancelled_wait_just_ends() {
    let rig = rig().await;
    let job = rig.wait(&wanted("101")).await.job;
    rig.adopted(&job).await;
    // Its report is awaited only a moment after that.
    rig.until(&job, Phase::Waiting).await;
    for _ in 0..3 {
        // Surveys see guests of ours only: nobody concludes that this one stopped.
        rig.service.waiters.surveyed("paper", |_, _| false);
    }
    assert_eq!(rig.state(&job).await.phase, Phase::Waiting);
    rig.service.cancel("web-01", "me", "enough").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
    rig.none_reserved().await;
    assert!(rig.paper.world().others["101"].running);
    let again = rig.service.retry(&job, true, "me").await.unwrap();
    rig.adopted(&again).await;
    rig.taken(&rig.says("101", &key(), |_| {})).await;
    rig.until(&again, Phase::Done).await;
}

#[tokio::test]
async fn a_wait_goes_on_with_the_next_companion() {
    let mut rig = rig().await;
    let job = rig.wait(&wanted("101")).await.job;
    rig.adopted(&job).await;
    rig.halt().await;
    let bytes = rig.says("101", &key(), |_| {});
    // Kept while nobody drives the wait.
    let sent = rig.send(&bytes).await;
    assert!(matches!(sent, Err(IntakeError::Unbound)), "{sent:?}");
    rig.work();
    rig.until(&job, Phase::Done).await;
    rig.taken(&bytes).await;
}

#[tokio::test]
async fn a_second_wait_is_the_first_one() {
    let rig = rig().await;
    let first = rig.wait(&wanted("101")).await;
    let joined = rig.wait(&wanted("web-01")).await;
    assert_eq!((&joined.job, joined.action), (&first.job, Applied::Joined));
    let more = WaitFor { require: vec!["docker".into()], ..wanted("101") };
    assert_eq!(rig.wait_refused(&more).await.code, "guest-differs");
    rig.taken(&rig.says("101", &key(), |_| {})).await;
    rig.until(&first.job, Phase::Done).await;
    let known = rig.wait(&wanted("101")).await;
    assert_eq!((&known.job, known.action), (&first.job, Applied::Unchanged));

    let again = rig.wait(&WaitFor { again: true, ..wanted("101") }).await;
    assert_eq!(again.action, Applied::Created);
    assert_eq!(rig.state(&first.job).await.phase, Phase::RolledBack);
    rig.adopted(&again.job).await;
    rig.taken(&rig.says("101", &key(), |_| {})).await;
    rig.until(&again.job, Phase::Done).await;

    // Removed and made anew under its old name: what was on record is another guest's.
    rig.other("101", "web-01", "bc:24:11:00:00:09");
    let anew = rig.wait(&wanted("web-01")).await;
    assert_eq!(anew.action, Applied::Created);
    // And once more while that is waited for.
    rig.other("101", "web-01", "bc:24:11:00:00:0a");
    let once_more = rig.wait(&wanted("web-01")).await;
    assert_eq!(once_more.action, Applied::Created);
    assert_eq!(rig.state(&anew.job).await.phase, Phase::RolledBack);
    rig.taken(&rig.says("101", &key(), |_| {})).await;
    rig.until(&once_more.job, Phase::Done).await;
}

#[tokio::test]
async fn a_guest_that_a_bring_up_of_ours_made_is_that_jobs() {
    let rig = Rig::new().await;
    let job = rig.up_one("name = \"web-01\"").await;
    rig.until(&job, Phase::Waiting).await;
    let joined = rig.wait(&wanted("web-01")).await;
    assert_eq!((&joined.job, joined.action), (&job, Applied::Joined));
    rig.ready(&job).await;
    assert_eq!(rig.wait(&wanted("web-01")).await.action, Applied::Unchanged);
    rig.other("7", "web-01", MAC);
    assert_eq!(rig.wait_refused(&wanted("7")).await.code, "guest-exists", "another one of that name");
    assert_eq!(rig.service.abandon("web-01", "me", "").await.unwrap_err().code, "job-ended");
}

#[tokio::test]
async fn two_that_wait_for_one_guest_wait_once() {
    let rig = rig().await;
    let (by_id, by_name) = (wanted("101"), wanted("web-01"));
    let (one, other) = tokio::join!(rig.wait(&by_id), rig.wait(&by_name));
    assert_eq!(one.job, other.job);
    let actions = [one.action, other.action];
    assert!(actions.contains(&Applied::Created) && actions.contains(&Applied::Joined), "{actions:?}");
}

/// Containers: their report is bound by their beacon alone.
async fn rig_with_beacons() -> Rig {
    let rig = rig().await;
    rig.paper.world().open = true;
    rig
}

impl Rig {
    fn raises_beacon(&self, job: &str, report: &[u8]) {
        let beacon = Beacon::of_report(&Envelope::parse(report).unwrap(), Reason::Other).unwrap();
        let mut world = self.paper.world();
        world.reports.clear();
        world.shown.insert(job.to_owned(), encode(&beacon, Form::Ipv6, 1));
    }
}

#[tokio::test]
async fn of_several_reports_the_beacons_is_the_guests() {
    let rig = rig_with_beacons().await;
    let job = rig.wait(&wanted("101")).await.job;
    rig.adopted(&job).await;
    let (forged, report) = (rig.says("101", &key(), |_| {}), rig.says("101", &key(), |_| {}));
    rig.paper.world().reports.clear();
    for bytes in [&forged, &report] {
        let sent = rig.send(bytes).await;
        assert!(matches!(sent, Err(IntakeError::Unbound)), "acknowledged too early: {sent:?}");
    }
    rig.raises_beacon(&job, &report);
    rig.taken(&report).await;
    rig.until(&job, Phase::Done).await;
    let view = rig.service.view(&job).await.unwrap().unwrap();
    let reported = Envelope::parse(&report).unwrap().open().unwrap().report;
    assert_eq!((view.trust, view.ssh_host_keys), (Some(Trust::Attested), reported.identity.ssh_host_keys));
    assert!(rig.send(&forged).await.is_err());
}

#[tokio::test]
async fn a_guest_whose_report_cannot_come_is_ready_by_its_beacon() {
    let rig = rig_with_beacons().await;
    let report = rig.says("101", &key(), |_| {});
    let job = rig.wait(&wanted("101")).await.job;
    rig.adopted(&job).await;
    rig.raises_beacon(&job, &report);
    rig.until(&job, Phase::Done).await;
    assert_eq!(rig.service.known_hosts(&["web-01".into()]).await.unwrap().len(), 1);
    // It comes after all, and is taken for what the beacon said.
    rig.taken(&report).await;
    assert_eq!(rig.service.wait_for(&wanted("101"), "me").await.unwrap().action, Applied::Unchanged);
}

/// A guest's beacon stands as long as nobody has acknowledged its report.
#[tokio::test]
async fn again_wants_something_newer_than_what_is_on_record() {
    let rig = rig().await;
    rig.paper.world().open = true;
    let raise = |job: &str, report: &[u8], generation: u8| {
        let beacon = Beacon::of_report(&Envelope::parse(report).unwrap(), Reason::Other).unwrap();
        rig.paper.world().shown.insert(job.to_owned(), encode(&beacon, Form::Ipv6, generation));
    };
    // Its report does not come through: the beacon alone is on record.
    let short = WaitFor { timeout_ms: 1500, again: true, ..wanted("101") };
    let first = rig.wait(&short).await.job;
    let old = rig.says("101", &key(), |_| {});
    rig.paper.world().reports.clear();
    raise(&first, &old, 1);
    rig.until(&first, Phase::Done).await;
    // It stands still, also for a second time: what did not count once does not count later.
    for _ in 0..2 {
        let again = rig.wait(&short).await.job;
        raise(&again, &old, 1);
        let ended = rig.until(&again, Phase::RolledBack).await;
        assert_eq!(ended.failure.unwrap().code, "report-timeout");
    }
    let newer = rig.wait(&short).await.job;
    let new = rig.says("101", &key(), |report| report.boot_id = Some("another".into()));
    rig.paper.world().reports.clear();
    raise(&newer, &new, 2);
    rig.until(&newer, Phase::Done).await;
}
