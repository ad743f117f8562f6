//! Guests whose claims carry no secret: their reports are bound by the beacon, and the beacon alone is enough.

use std::net::IpAddr;
use std::time::Duration;

use firstlight_shared::beacon::{Beacon, Form, Key, Reason, State as BeaconState, encode};
use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::{Envelope, Report, ReportState, Trust};
use ssh_key::PrivateKey;
use tokio::time::Instant;

use super::super::api::ReportFilter;
use super::rig::Rig;
use crate::backend::Unseen;
use crate::intake::IntakeError;
use crate::intake::testing::key;
use crate::job::{Phase, State};

const ONE: &str = "name = \"web-01\"";
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 66));

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.paper.world().open = true;
    rig
}

impl Rig {
    async fn waiting(&self, more: &str) -> String {
        let job = self.up_one(more).await;
        self.until(&job, Phase::Waiting).await;
        job
    }

    fn show(&self, job: &str, addresses: Vec<IpAddr>) {
        self.paper.world().shown.insert(job.to_owned(), addresses);
    }

    /// The guest raises this beacon, and has its address.
    fn raise(&self, job: &str, beacon: &Beacon, form: Form, generation: u8) {
        let mut addresses = encode(beacon, form, generation);
        addresses.push(HOME);
        self.show(job, addresses);
    }

    fn raise_for(&self, job: &str, report: &[u8], generation: u8) {
        let beacon = Beacon::of_report(&Envelope::parse(report).unwrap(), Reason::Other).unwrap();
        self.raise(job, &beacon, Form::Ipv6, generation);
    }

    /// Sends as a guest does: again while it is not known whose it is.
    async fn deliver(&self, bytes: &[u8], source: IpAddr) -> Result<(), IntakeError> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.send_from(bytes, source).await {
                Err(IntakeError::Unbound) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                ended => return ended,
            }
        }
    }

    async fn codes(&self) -> Vec<String> {
        self.store.refusals().await.unwrap().into_iter().map(|refused| refused.code).collect()
    }

    async fn trust(&self, job: &str) -> Option<Trust> {
        self.service.view(job).await.unwrap().unwrap().trust
    }
}

fn alone(state: BeaconState, reason: Reason, key: &PrivateKey) -> Beacon {
    Beacon { state, reason, report: Some([7; 32]), key: Key::host(key.public_key()) }
}

fn code(state: &State) -> &str {
    state.failure.as_ref().map_or("", |fault| &fault.code)
}

#[tokio::test]
async fn a_report_that_the_beacon_names_is_attested() {
    let rig = rig().await;
    for (name, form) in [("web-01", Form::Ipv6), ("web-02", Form::Ipv4)] {
        let job = rig.waiting(&format!("name = \"{name}\"")).await;
        let report = rig.report(&job, &key()).await;
        let beacon = Beacon::of_report(&Envelope::parse(&report).unwrap(), Reason::Other).unwrap();
        rig.raise(&job, &beacon, form, 1);
        rig.deliver(&report, HOME).await.unwrap();
        rig.until(&job, Phase::Done).await;
        assert_eq!(rig.trust(&job).await, Some(Trust::Attested));
        rig.deliver(&report, HOME).await.unwrap();
    }
    assert_eq!(rig.codes().await, [""; 0]);
}

#[tokio::test]
async fn whoever_knows_the_claim_cannot_keep_the_guest_out() {
    let rig = rig().await;
    let job = rig.waiting(ONE).await;
    rig.show(&job, vec![HOME]);
    let mut forged = Vec::new();
    for number in 1..=6 {
        forged.push(rig.report(&job, &key()).await);
        let sent = rig.send_from(&forged[number - 1], ELSEWHERE).await;
        assert!(matches!(sent, Err(IntakeError::Unbound)), "{sent:?}");
    }
    let report = rig.report(&job, &key()).await;
    assert!(matches!(rig.send_from(&report, HOME).await, Err(IntakeError::Unbound)));
    assert_eq!(rig.codes().await, ["too-many-reports"; 3]);
    rig.raise_for(&job, &report, 2);
    rig.deliver(&report, HOME).await.unwrap();
    rig.until(&job, Phase::Done).await;
    let view = rig.service.view(&job).await.unwrap().unwrap();
    let reported = Envelope::parse(&report).unwrap().open().unwrap().report;
    assert_eq!(view.ssh_host_keys, reported.identity.ssh_host_keys);
    let codes = rig.codes().await;
    assert_eq!(codes.iter().filter(|code| *code == "report-mismatch").count(), 4, "{codes:?}");
    match rig.send_from(&forged[0], ELSEWHERE).await {
        Err(IntakeError::Refused(refused)) => assert_eq!(refused.code, "claim-used"),
        other => panic!("{other:?}"),
    }
}

/// Any process in the guest can send from its address, long before the beacon stands.
#[tokio::test]
async fn a_hundred_forged_reports_from_the_guests_own_address_do_not_end_the_wait() {
    let rig = rig().await;
    let job = rig.waiting(ONE).await;
    rig.show(&job, vec![HOME]);
    let report = rig.report(&job, &key()).await;
    for _ in 0..100 {
        let sent = rig.send_from(&rig.report(&job, &key()).await, HOME).await;
        assert!(matches!(sent, Err(IntakeError::Unbound)), "{sent:?}");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(matches!(rig.send_from(&report, HOME).await, Err(IntakeError::Unbound)));
    assert_eq!(rig.state(&job).await.phase, Phase::Waiting);
    rig.raise_for(&job, &report, 1);
    rig.deliver(&report, HOME).await.unwrap();
    for _ in 0..100 {
        match rig.send_from(&rig.report(&job, &key()).await, HOME).await {
            Err(IntakeError::Refused(refused)) => assert_eq!(refused.code, "claim-used"),
            other => panic!("{other:?}"),
        }
    }
    rig.until(&job, Phase::Done).await;
    assert_eq!(rig.trust(&job).await, Some(Trust::Attested));
}

#[tokio::test]
async fn a_forged_report_is_refuted_and_the_true_one_waited_for() {
    let rig = rig().await;
    let job = rig.waiting(ONE).await;
    let (forged, report) = (rig.report(&job, &key()).await, rig.report(&job, &key()).await);
    assert!(rig.send_from(&forged, ELSEWHERE).await.is_err());
    rig.raise_for(&job, &report, 1);
    match rig.deliver(&forged, ELSEWHERE).await {
        Err(IntakeError::Refused(refused)) => assert_eq!(refused.code, "report-mismatch"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.state(&job).await.phase, Phase::Waiting);
    rig.deliver(&report, HOME).await.unwrap();
    rig.until(&job, Phase::Done).await;
    assert_eq!(rig.codes().await, ["report-mismatch"]);
}

#[tokio::test]
async fn the_same_text_signed_by_somebody_else_is_not_the_guests() {
    let rig = rig().await;
    let job = rig.waiting(ONE).await;
    let report = rig.report(&job, &key()).await;
    let envelope = Envelope::parse(&report).unwrap();
    let mut stolen: Report = serde_json::from_str(&envelope.report).unwrap();
    stolen.report_id.clear();
    let theirs = Envelope::seal(&stolen, &key(), None).unwrap();
    let beacon = Beacon::of_report(&envelope, Reason::Other).unwrap();
    let ours = firstlight_shared::beacon::decode(&encode(&beacon, Form::Ipv6, 0)).unwrap().unwrap();
    let sha256 = envelope.open().unwrap().sha256;
    assert!(ours.names(&envelope, &sha256));
    assert!(!ours.names(&theirs, &sha256), "another key");
    rig.raise_for(&job, &report, 1);
    rig.deliver(&report, HOME).await.unwrap();
    rig.until(&job, Phase::Done).await;
}

#[tokio::test]
async fn a_report_with_an_hmac_answers_no_open_claim_and_one_without_no_secret_one() {
    let mut rig = rig().await;
    let job = rig.waiting(ONE).await;
    let mut envelope = Envelope::parse(&rig.report(&job, &key()).await).unwrap();
    envelope.binding.as_mut().unwrap().hmac = Some("00".repeat(32));
    match rig.send(&serde_json::to_vec(&envelope).unwrap()).await {
        Err(IntakeError::Refused(refused)) => assert_eq!(refused.code, "wrong-claim"),
        other => panic!("{other:?}"),
    }
    rig.halt().await;
    rig.paper.world().open = false;
    rig.work();
    let job = rig.waiting("name = \"web-02\"").await;
    let mut envelope = Envelope::parse(&rig.report(&job, &key()).await).unwrap();
    envelope.binding.as_mut().unwrap().hmac = None;
    match rig.send(&serde_json::to_vec(&envelope).unwrap()).await {
        Err(IntakeError::Refused(refused)) => assert_eq!(refused.code, "wrong-claim"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_guest_that_failed_is_known_at_once() {
    let rig = rig().await;
    let job = rig.waiting(ONE).await;
    let failed =
        Beacon { state: BeaconState::Failed, reason: Reason::GoldenHostKey, report: None, key: None };
    rig.raise(&job, &failed, Form::Ipv6, 1);
    // Any later, and it would be the deadline that ended it.
    let state = rig.until(&job, Phase::RolledBack).await;
    assert_eq!(code(&state), "golden-host-key");
}

#[tokio::test]
async fn a_guest_without_a_route_is_ready_by_its_beacon_alone() {
    let rig = rig().await;
    let job = rig.waiting(ONE).await;
    let key = key();
    let identity = Beacon {
        state: BeaconState::IdentityDone,
        reason: Reason::None,
        report: None,
        key: Key::host(key.public_key()),
    };
    rig.raise(&job, &identity, Form::Ipv6, 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(rig.state(&job).await.phase, Phase::Waiting, "alive is not ready");
    let report = rig.report(&job, &key).await;
    rig.raise_for(&job, &report, 2);
    rig.until(&job, Phase::Done).await;

    let view = rig.service.view(&job).await.unwrap().unwrap();
    let beacon = view.beacon.clone().unwrap();
    assert_eq!((view.trust, view.by_beacon_alone), (Some(Trust::Attested), true));
    assert_eq!((beacon.state.as_str(), beacon.generation), ("ready", 2));
    let line = key.public_key().to_openssh().unwrap();
    let mine: Vec<&str> = line.split(' ').take(2).collect();
    assert_eq!(view.ssh_host_keys[0].public_key, mine.join(" "));
    assert_eq!(rig.service.known_hosts(&[]).await.unwrap()[0].keys, view.ssh_host_keys);
    let row = rig.service.line(&job).await.unwrap().unwrap();
    assert_eq!(row.trust, Some(Trust::Attested));
    assert!(rig.service.reports(&ReportFilter::default()).await.unwrap().reports.is_empty());

    // A second guest with this key is a copy, whether it can report or not.
    let twin = rig.waiting("name = \"web-02\"").await;
    let copied = rig.report(&twin, &key).await;
    rig.raise_for(&twin, &copied, 1);
    let sent = rig.deliver(&copied, ELSEWHERE).await;
    assert!(matches!(sent, Err(IntakeError::Refused(refused)) if refused.code == "shared-host-key"));
    assert_eq!(code(&rig.until(&twin, Phase::RolledBack).await), "shared-host-key");
    let twin = rig.waiting("name = \"web-03\"").await;
    rig.raise(&twin, &alone(BeaconState::Ready, Reason::None, &key), Form::Ipv6, 1);
    assert_eq!(code(&rig.until(&twin, Phase::RolledBack).await), "duplicate");

    // The report may come later, and no other one.
    let other = rig.report(&job, &self::key()).await;
    assert!(matches!(rig.send_from(&other, HOME).await,
        Err(IntakeError::Refused(refused)) if refused.code == "report-mismatch"));
    rig.send_from(&report, HOME).await.unwrap();
    let view = rig.service.view(&job).await.unwrap().unwrap();
    assert_eq!((view.trust, view.checks.len()), (Some(Trust::Attested), 1));
    rig.service.destroy("web-01", "me", "").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
}

#[tokio::test]
async fn what_a_beacon_cannot_show_is_missing() {
    let rig = rig().await;
    for (name, more, state, expected) in [
        ("a", "", BeaconState::Degraded, "check-failed"),
        (
            "b",
            "\nreadiness = { require = [\"sshd\"], timeout = \"2s\" }",
            BeaconState::Ready,
            "report-missing",
        ),
    ] {
        let job = rig.waiting(&format!("name = \"{name}\"{more}")).await;
        rig.raise(&job, &alone(state, Reason::CheckFailed, &key()), Form::Ipv6, 1);
        let ended = rig.until(&job, Phase::RolledBack).await;
        assert_eq!(code(&ended), expected);
        let hint = ended.failure.and_then(|fault| fault.hint).unwrap();
        assert!(hint.contains("https://192.0.2.1:7443"), "{hint}");
    }
}

#[tokio::test]
async fn a_degraded_guest_with_its_report_says_which_check() {
    let rig = rig().await;
    let job = rig.waiting(ONE).await;
    let degrade = |report: &mut Report| {
        report.state = ReportState::Degraded;
        let verdict = firstlight_shared::check::Verdict::Fail;
        report.checks = vec![crate::intake::testing::check("docker", verdict)];
    };
    let report = rig.report_with(&job, &key(), degrade).await;
    rig.raise_for(&job, &report, 1);
    rig.deliver(&report, HOME).await.unwrap();
    let ended = rig.until(&job, Phase::RolledBack).await;
    assert_eq!(code(&ended), "check-failed");
    assert!(ended.failure.unwrap().message.contains("docker"));
}

#[tokio::test]
async fn without_a_beacon_a_report_is_observed_at_best() {
    let rig = rig().await;
    for (name, source, trust) in [("a", HOME, "observed"), ("b", ELSEWHERE, "unverified")] {
        let job = rig.waiting(&format!("name = \"{name}\"\nreadiness = {{ timeout = \"7s\" }}")).await;
        let addresses = match &*super::super::facts::Allocated::of(&rig.state(&job).await)
            .unwrap()
            .allocation
            .addresses
        {
            [address, ..] => vec![*address],
            [] => panic!("no address"),
        };
        let source = if source == HOME { addresses[0] } else { source };
        rig.show(&job, addresses);
        let report = rig.report(&job, &key()).await;
        assert!(rig.send_from(&report, source).await.is_err());
        let ended = rig.until(&job, Phase::RolledBack).await;
        let fault = ended.failure.unwrap();
        assert_eq!(
            (fault.code.as_str(), fault.message.as_str()),
            ("untrusted", &*format!("the report is only {trust}"))
        );
        assert!(fault.hint.unwrap().contains("no beacon stands"));
    }
}

#[tokio::test]
async fn another_machine_id_than_the_given_one_is_told() {
    let rig = rig().await;
    let job = rig.waiting(ONE).await;
    let other = |report: &mut Report| {
        report.identity.machine_id.derived = Some("00000000000000000000000000000001".parse().unwrap());
    };
    let report = rig.report_with(&job, &key(), other).await;
    rig.raise_for(&job, &report, 1);
    rig.deliver(&report, HOME).await.unwrap();
    assert_eq!(code(&rig.until(&job, Phase::RolledBack).await), "wrong-machine-id");
}

#[tokio::test]
async fn a_machine_id_that_the_hypervisor_chose_counts_as_well() {
    const UUID: &str = "77250a18-41e2-4b60-9abe-b03dd3b3e545";
    for (reported, phase) in
        [(UUID, Phase::Done), ("00000000-0000-4000-8000-000000000001", Phase::RolledBack)]
    {
        let rig = rig().await;
        rig.paper.world().own_uuid = Some(UUID.to_owned());
        let job = rig.waiting(ONE).await;
        let id = reported.parse::<MachineId>().unwrap().derived();
        let report =
            rig.report_with(&job, &key(), |report| report.identity.machine_id.derived = Some(id)).await;
        rig.raise_for(&job, &report, 1);
        rig.deliver(&report, HOME).await.unwrap();
        let state = rig.until(&job, phase).await;
        if phase == Phase::RolledBack {
            assert_eq!(code(&state), "wrong-machine-id");
        }
    }
}

/// What a machine has mounted is told by its own agent alone.
#[tokio::test]
async fn a_silent_agent_is_asked_again_and_costs_no_guest() {
    for (passes, times, unproven) in [(true, 3, 0), (false, u32::MAX, 1)] {
        let rig = rig().await;
        let unseen = Unseen { why: "the agent does not tell".to_owned(), passes };
        rig.paper.world().untold = Some((unseen, times));
        let job = rig.waiting(&format!("{ONE}\nmounts = [{{ path = \"/mnt/data\" }}]")).await;
        let report = rig.report(&job, &key()).await;
        rig.raise_for(&job, &report, 1);
        rig.deliver(&report, HOME).await.unwrap();
        rig.until(&job, Phase::Done).await;
        let view = rig.service.view(&job).await.unwrap().unwrap();
        assert_eq!(view.unproven.len(), unproven, "{:?}", view.unproven);
        assert!(view.unproven.iter().all(|one| one == "mount /mnt/data: the agent does not tell"));
    }
}

#[tokio::test]
async fn where_nobody_can_look_an_open_claim_binds_nothing() {
    let rig = rig().await;
    rig.paper.world().blind = true;
    let job = rig.waiting(ONE).await;
    let report = rig.report(&job, &key()).await;
    assert!(rig.send_from(&report, HOME).await.is_err());
    let fault = rig.until(&job, Phase::RolledBack).await.failure.unwrap();
    assert_eq!((fault.code.as_str(), fault.message.as_str()), ("untrusted", "the report is only unverified"));
    assert!(fault.hint.unwrap().contains("beacons cannot be read"));
}

#[tokio::test]
async fn a_timeout_says_how_far_the_guest_came() {
    let rig = rig().await;
    let short = "\nreadiness = { timeout = \"1s\" }";
    let identity = Beacon { state: BeaconState::IdentityDone, reason: Reason::None, report: None, key: None };
    let alive = rig.waiting(&format!("name = \"a\"{short}")).await;
    rig.raise(&alive, &identity, Form::Ipv6, 1);
    let dead = rig.waiting(&format!("name = \"b\"{short}")).await;
    for (job, words) in [(alive, "lives and has its identity"), (dead, "did not report within 1 s")] {
        let ended = rig.until(&job, Phase::RolledBack).await;
        assert_eq!(code(&ended), "report-timeout");
        assert!(ended.failure.unwrap().message.contains(words));
    }
    rig.paper.world().look_fails = true;
    let blind = rig.waiting(&format!("name = \"c\"{short}")).await;
    let ended = rig.until(&blind, Phase::RolledBack).await;
    assert!(ended.failure.unwrap().hint.unwrap().contains("no look today"));
}

#[tokio::test]
async fn another_companion_goes_on_with_what_came_meanwhile() {
    let mut rig = rig().await;
    let (one, other) = (rig.waiting(ONE).await, rig.waiting("name = \"web-02\"").await);
    let (first, second) = (rig.report(&one, &key()).await, rig.report(&other, &key()).await);
    rig.halt().await;
    assert!(matches!(rig.send_from(&first, HOME).await, Err(IntakeError::Unbound)));
    rig.raise_for(&one, &first, 1);
    rig.raise_for(&other, &second, 1);
    let looks = rig.paper.world().looks.len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rig.paper.world().looks.len(), looks, "nobody drives them: nobody looks");
    rig.work();
    rig.until(&one, Phase::Done).await;
    rig.deliver(&first, HOME).await.unwrap();
    rig.deliver(&second, ELSEWHERE).await.unwrap();
    rig.until(&other, Phase::Done).await;
}
