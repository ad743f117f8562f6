//! Reports that must not be taken: each is refused, recorded and shown.

use firstlight_shared::secret::Secret;
use firstlight_shared::wire::{Claim, Envelope, sha256_hex};
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::fake::{self, Answer, FakeGuest};
use firstlight_tests::rig::Rig;

const WAITING: &str = "[guest.readiness]\ntimeout = \"120s\"";

/// A guest that waits, its claim, and a fake that stands in its network.
fn stand_in(rig: &Rig, name: &str) -> (Claim, FakeGuest) {
    let claim = rig.claim(name);
    assert_eq!(claim.hostname.as_ref().map(|hostname| hostname.as_str()), Some(name));
    let shown = rig.json(&["show", name, "--json"]);
    let mut fake = FakeGuest::new(name).unwrap();
    fake.mac = shown["job"]["mac"].as_str().map(|mac| mac.parse().unwrap());
    fake.address = shown["job"]["addresses"][0].as_str().map(|address| address.parse().unwrap());
    (claim, fake)
}

fn send(rig: &Rig, from: &str, claim: &Claim, envelope: &Envelope) -> Answer {
    fake::send(&rig.namespace(from), claim, envelope).expect("the listener answers")
}

/// Refused for good with a code, and the newest refusal on record is this one.
fn assert_refused(rig: &Rig, what: &str, known: &mut usize, answer: &Answer) -> String {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    let code = answer.refusal().unwrap_or_else(|| panic!("{what}: no refusal in {answer:?}"));
    let refusals = rig.refusals();
    assert_eq!(refusals.len(), *known + 1, "{what} ({code}) is not on record: {refusals:#?}");
    *known += 1;
    assert!(
        refusals.iter().any(|refusal| refusal["code"] == code.as_str()),
        "{what}: {code} is not in {refusals:#?}"
    );
    let shown = rig.run(&["reports"]);
    assert!(shown.stdout.contains(&code), "{what}: `reports` does not show {code}:\n{}", shown.said());
    code
}

#[test]
fn every_kind_of_wrong_report_is_refused_recorded_and_shown() {
    let rig = Rig::serving();
    rig.up_waiting(
        &rig.spec("web-{n}", Variant::Silent, &format!("count = 2\n{WAITING}")),
        &["web-01", "web-02"],
    );
    let (claim, guest) = stand_in(&rig, "web-01");
    let (other_claim, other) = stand_in(&rig, "web-02");
    let mut known = rig.refusals().len();

    let mut unknown = claim.clone();
    unknown.id = "ffffffffffffffffffffffffffffffff".into();
    let answer = send(&rig, "web-01", &claim, &guest.envelope(Some(&unknown)).unwrap());
    assert_refused(&rig, "a claim that nobody made", &mut known, &answer);

    let mut forged = claim.clone();
    forged.secret = Some(Secret::new(vec![7; 32]));
    let answer = send(&rig, "web-01", &claim, &guest.envelope(Some(&forged)).unwrap());
    assert_refused(&rig, "a claim with another secret", &mut known, &answer);

    let envelope = guest.envelope(Some(&claim)).unwrap();
    let mut tampered = envelope.clone();
    tampered.report = tampered.report.replacen("web-01", "web-66", 1);
    let answer = send(&rig, "web-01", &claim, &tampered);
    assert_eq!(assert_refused(&rig, "a tampered report", &mut known, &answer), "bad-signature");

    let mut rebound = envelope.clone();
    rebound.binding = other.envelope(Some(&other_claim)).unwrap().binding;
    let answer = send(&rig, "web-02", &claim, &rebound);
    assert_refused(&rig, "another guest's binding on this report", &mut known, &answer);

    // Noise is refused as well; whether noise that names no guest is kept on record is the companion's choice.
    for noise in [&b""[..], b"{}", b"\xff\xfe", &vec![b'['; 300_000]] {
        let answer = fake::send_bytes(&rig.namespace("web-01"), &claim, noise).unwrap();
        assert!((400..500).contains(&answer.status), "noise: {answer:?}");
    }
    known = rig.refusals().len();
    for name in ["web-01", "web-02"] {
        assert_eq!(rig.job_state(name).as_deref(), Some("waiting"), "{name} was moved by wrong reports");
    }

    let accepted = send(&rig, "web-01", &claim, &envelope);
    assert_eq!(accepted.status, 200, "{accepted:?}\n{}", rig.diagnosis());
    assert!(accepted.body.contains(&sha256_hex(envelope.report.as_bytes())), "{accepted:?}");

    let answer = send(&rig, "web-02", &claim, &envelope);
    assert_refused(&rig, "a replay from another guest", &mut known, &answer);
    let answer = send(&rig, "web-01", &claim, &guest.envelope(Some(&claim)).unwrap());
    assert_refused(&rig, "other bytes for a used claim", &mut known, &answer);
    let answer = send(&rig, "web-02", &claim, &other.envelope(Some(&claim)).unwrap());
    assert_refused(&rig, "a second guest with the same claim", &mut known, &answer);

    let mut twin = FakeGuest::new("web-02").unwrap();
    twin.key = guest.key.clone();
    (twin.mac, twin.address) = (other.mac, other.address);
    let answer = send(&rig, "web-02", &other_claim, &twin.envelope(Some(&other_claim)).unwrap());
    assert_refused(&rig, "a second guest with the same host key", &mut known, &answer);

    // The right report still counts, and the honest guest was never harmed.
    let again = send(&rig, "web-01", &claim, &envelope);
    assert_eq!(again, accepted, "the same bytes from the same guest get the same answer");
    rig.await_state("web-01", "done");
}
