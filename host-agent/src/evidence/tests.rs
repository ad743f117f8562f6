use firstlight_shared::check::{CheckResult, Verdict};
use firstlight_shared::wire::{
    EVIDENCE_FILE_NAMESPACE, EVIDENCE_NAMESPACE, EVIDENCE_VERSION, Evidence, Report, ReportState, SystemNow,
};
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;

use super::*;
use crate::intake::testing::{check as a_check, report};

const NOW: u64 = 1_795_316_645_000;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

fn line(seed: u8) -> String {
    firstlight_shared::wire::signing_key_line(key(seed).public_key()).unwrap()
}

/// A guest whose host key is the first one.
fn then() -> Report {
    let mut report = report(None, &key(1));
    report.made_at_ms = NOW - 3_600_000;
    let closure = CheckResult { seen: Some("/nix/store/a".into()), ..a_check("closure", Verdict::Pass) };
    report.checks = vec![a_check("system-running", Verdict::Pass), a_check("sshd", Verdict::Pass), closure];
    report
}

fn now(change: impl Fn(&mut Evidence)) -> Evidence {
    let mut evidence = Evidence {
        version: EVIDENCE_VERSION,
        nonce: Some("0f".repeat(16)),
        uptime_ms: Some(1000),
        system: SystemNow { state: Some("running".into()), failed_units: Some(vec![]) },
        report: Report { made_at_ms: NOW, ..then() },
    };
    change(&mut evidence);
    evidence
}

fn same(_: &mut Evidence) {}

fn failing(evidence: &mut Evidence, id: &str, reason: &str) {
    let check = evidence.report.checks.iter_mut().find(|check| check.id == id).unwrap();
    (check.verdict, check.reason) = (Verdict::Fail, reason.to_owned());
    evidence.report.state = ReportState::Degraded;
}

fn statement(evidence: &Evidence, signed: Signed) -> Statement {
    let report = then();
    let comparison = compare(Some(&report), evidence);
    Statement {
        version: STATEMENT_VERSION,
        guest: "web-01".into(),
        job: "j1".into(),
        backend: "local".into(),
        asked: Asked { by: "root".into(), at_ms: NOW - 500, nonce: "0f".repeat(16), over: Over::Command },
        answered_at_ms: NOW + 500,
        companion: "firstlight 0".into(),
        evidence: signed,
        bring_up: Some(BringUp {
            received_at_ms: NOW - 3_600_000,
            trust: Trust::Attested,
            envelope: Envelope::seal(&report, &key(1), None).unwrap(),
        }),
        host_keys: report.identity.ssh_host_keys,
        observed: Observed {
            running: true,
            mac: None,
            addresses: vec![],
            mounts: vec![],
            mounts_unseen: None,
            no_network: false,
        },
        problems: vec![],
        holds: comparison.iter().all(|one| one.holds),
        comparison,
    }
}

fn file_of(statement: &Statement) -> Vec<u8> {
    serde_json::to_vec_pretty(&Signed::sign(statement, &key(9), EVIDENCE_FILE_NAMESPACE).unwrap()).unwrap()
}

fn file(change: impl Fn(&mut Evidence)) -> Vec<u8> {
    let evidence = now(change);
    let signed = Signed::sign(&evidence, &key(1), EVIDENCE_NAMESPACE).unwrap();
    file_of(&statement(&evidence, signed))
}

fn known() -> KnownKeys {
    let text =
        format!("web-01 {}\n{COMPANION} namespaces=\"evidence-file.v1@firstlight\" {}\n", line(1), line(9));
    KnownKeys::parse(&text).unwrap()
}

fn code(bytes: &[u8], known: &KnownKeys) -> &'static str {
    check(bytes, known).map(|_| "fine").unwrap_or_else(|refusal| refusal.code)
}

#[test]
fn a_guest_that_is_as_it_was_holds() {
    let checked = check(&file(same), &known()).unwrap();
    assert!(checked.holds, "{:?}", checked.mismatches);
    assert!(checked.signed_by[0].starts_with("web-01 (SHA256:"), "{:?}", checked.signed_by);
    assert!(checked.signed_by[1].starts_with(COMPANION), "{:?}", checked.signed_by);
    assert!(checked.comparison.iter().all(|one| one.outcome == Outcome::Same), "{:?}", checked.comparison);
}

#[test]
fn what_changed_is_named_and_how() {
    type Change = fn(&mut Evidence);
    let table: [(Change, &str, Outcome, bool); 14] = [
        (|it| it.system.state = Some("degraded".into()), "system", Outcome::Worse, false),
        (|it| it.system.state = None, "system", Outcome::Worse, false),
        (|it| it.system.failed_units = Some(vec!["a.service".into()]), "failed-units", Outcome::Worse, false),
        (|it| it.system.failed_units = None, "failed-units", Outcome::Worse, false),
        (|it| failing(it, "sshd", "nobody listens"), "check sshd", Outcome::Worse, false),
        (
            |it| it.report.checks[2].seen = Some("/nix/store/b".into()),
            "check closure",
            Outcome::Differs,
            false,
        ),
        (|it| it.report.checks[2].seen = None, "check closure", Outcome::Differs, false),
        (|it| drop(it.report.checks.pop()), "check closure", Outcome::Gone, false),
        (|it| it.report.checks.push(a_check("new", Verdict::Pass)), "check new", Outcome::New, true),
        (|it| it.report.checks.push(a_check("new", Verdict::Fail)), "check new", Outcome::New, false),
        (|it| it.report.identity.hostname.current = "x".into(), "hostname", Outcome::Differs, false),
        (
            |it| it.report.identity.ssh_host_keys.push(HostKey::of(key(3).public_key()).unwrap()),
            "ssh-host-keys",
            Outcome::Differs,
            false,
        ),
        (|it| it.report.identity.problems.push("odd".into()), "problem", Outcome::Worse, false),
        (|it| it.report.boot_id = Some("other".into()), "boot", Outcome::Noted, true),
    ];
    for (change, what, outcome, holds) in table {
        let compared = compare(Some(&then()), &now(change));
        let others = compared.iter().filter(|one| one.outcome != Outcome::Same).collect::<Vec<_>>();
        let [one] = others.as_slice() else { panic!("{what}: {others:?}") };
        assert_eq!((one.what.as_str(), one.outcome, one.holds), (what, outcome, holds), "{one:?}");
    }
}

#[test]
fn a_guest_whose_failed_units_may_be_is_not_held_to_them() {
    let tolerant = now(|it| {
        it.report.checks[0].verdict = Verdict::Skip;
        it.system =
            SystemNow { state: Some("degraded".into()), failed_units: Some(vec!["a.service".into()]) };
    });
    let compared = compare(Some(&then()), &tolerant);
    assert!(compared.iter().all(|one| one.holds), "{compared:?}");
    assert_eq!(compared.iter().filter(|one| one.outcome == Outcome::Noted).count(), 2);
}

#[test]
fn without_a_report_of_the_bring_up_everything_is_new() {
    let compared = compare(None, &now(same));
    assert!(compared.iter().all(|one| one.outcome == Outcome::New && one.holds), "{compared:?}");
    assert!(compare(None, &now(|it| failing(it, "sshd", "x"))).iter().any(|one| !one.holds));
}

#[test]
fn a_file_that_was_changed_by_one_byte_is_refused() {
    let (bytes, known) = (file(same), known());
    let signed: Signed = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(code(&bytes, &known), "fine");
    // Every byte that is signed, by turns of seven to save time; then each of the rest.
    for at in (0..signed.text.len()).step_by(7) {
        let mut text = signed.text.clone().into_bytes();
        text[at] ^= 1;
        let Ok(text) = String::from_utf8(text) else { continue };
        let changed = serde_json::to_vec(&Signed { text, ..signed.clone() }).unwrap();
        assert_eq!(code(&changed, &known), "evidence-bad-signature", "byte {at}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 2;
        // Blanks between the parts and unprinted bits of the signature's frame are nobody's word.
        let same = serde_json::from_slice::<Signed>(&changed).is_ok_and(|it| it.text == signed.text);
        assert!(code(&changed, &known) != "fine" || same, "byte {at}");
    }
    assert_eq!(code(&bytes[..bytes.len() - 2], &known), "evidence-unreadable");
    assert_eq!(code(b"{}", &known), "evidence-unreadable");
    assert_eq!(code(&vec![b' '; FILE_LIMIT + 1], &known), "evidence-unreadable");
}

#[test]
fn only_known_keys_count_and_only_for_whom_they_are_known() {
    let bytes = file(same);
    for (lines, expected) in [
        (format!("web-01 {}\n{COMPANION} {}", line(1), line(9)), "fine"),
        (format!("{}\n{}", line(1), line(9)), "fine"),
        (format!("web-02 {}\n{COMPANION} {}", line(1), line(9)), "evidence-unknown-key"),
        (format!("web-01 {}", line(1)), "evidence-unknown-key"),
        (format!("{COMPANION} {}", line(9)), "evidence-unknown-key"),
        (format!("web-01 {}\n{COMPANION} {}", line(2), line(9)), "evidence-unknown-key"),
        (format!("web-01 {}\n@revoked * {}", line(1), line(9)), "evidence-unknown-key"),
        (String::new(), "evidence-unknown-key"),
    ] {
        assert_eq!(code(&bytes, &KnownKeys::parse(&lines).unwrap()), expected, "{lines}");
    }
}

#[test]
fn a_statement_about_another_answer_is_refused_whoever_signed_it() {
    let evidence = now(same);
    let signed = |evidence: &Evidence, seed| Signed::sign(evidence, &key(seed), EVIDENCE_NAMESPACE).unwrap();
    let whole = statement(&evidence, signed(&evidence, 1));
    let another = Asked { nonce: "1e".repeat(16), ..whole.asked.clone() };
    let later = Asked { at_ms: NOW + 24 * 3_600_000, ..whole.asked.clone() };
    let stranger = key(2);
    let foreign = Envelope::seal(&then(), &stranger, None).unwrap();
    let bring_up = BringUp { envelope: foreign, ..whole.bring_up.clone().unwrap() };
    for (changed, expected) in [
        (Statement { asked: another, ..whole.clone() }, "evidence-replayed"),
        (
            Statement { asked: later, answered_at_ms: NOW + 24 * 3_600_000, ..whole.clone() },
            "evidence-wrong-time",
        ),
        (Statement { host_keys: vec![], ..whole.clone() }, "evidence-foreign-key"),
        (Statement { bring_up: Some(bring_up), ..whole.clone() }, "evidence-foreign-key"),
        (Statement { evidence: signed(&evidence, 2), ..whole.clone() }, "evidence-unknown-key"),
        (Statement { version: 2, ..whole.clone() }, "evidence-unreadable"),
    ] {
        assert_eq!(code(&file_of(&changed), &known()), expected);
    }
    // The companion says that all is well; both reports say otherwise.
    let broken = now(|it| failing(it, "sshd", "nobody listens"));
    let lie = Statement { evidence: signed(&broken, 1), holds: true, comparison: vec![], ..whole };
    let checked = check(&file_of(&lie), &known()).unwrap();
    assert!(!checked.holds);
    assert!(checked.mismatches[0].contains("sshd") && checked.mismatches[0].contains("nobody listens"));
}

#[test]
fn an_answer_is_one_only_to_its_question() {
    let nonce = "0f".repeat(16);
    let keys = then().identity.ssh_host_keys;
    let challenge =
        Challenge { nonce: &nonce, asked_at_ms: NOW - 1000, answered_at_ms: NOW + 1000, host_keys: &keys };
    let answer = |change: fn(&mut Evidence), seed| {
        let signed = Signed::sign(&now(change), &key(seed), EVIDENCE_NAMESPACE).unwrap();
        proved(&signed, &challenge).map(|_| "fine").unwrap_or_else(|refusal| refusal.code)
    };
    assert_eq!(answer(same, 1), "fine");
    assert_eq!(answer(same, 2), "evidence-foreign-key");
    assert_eq!(answer(|it| it.nonce = Some("1e".repeat(16)), 1), "evidence-replayed");
    assert_eq!(answer(|it| it.nonce = None, 1), "evidence-replayed");
    assert_eq!(answer(|it| it.report.made_at_ms = NOW - SKEW_MS - 2000, 1), "evidence-wrong-time");
    assert_eq!(answer(|it| it.version = 2, 1), "evidence-unreadable");
    // A report is signed with the same key, and is no evidence.
    let envelope = Envelope::seal(&then(), &key(1), None).unwrap();
    let report = Signed {
        version: 1,
        text: envelope.report,
        signature: envelope.signature,
        signing_key: envelope.signing_key,
    };
    assert_eq!(proved(&report, &challenge).unwrap_err().code, "evidence-bad-signature");
}

#[test]
fn ssh_keygen_comes_to_the_same_verdict() {
    let bytes = file(same);
    let signed: Signed = serde_json::from_slice(&bytes).unwrap();
    let statement: Statement = serde_json::from_str(&signed.text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let allowed = folder.path().join("allowed");
    std::fs::write(&allowed, format!("web-01 {}\n{COMPANION} {}\n", line(1), line(9))).unwrap();
    let judge = |signed: &Signed, who: &str, namespace: &str, text: &str| {
        let (signature, message) = (folder.path().join("sig"), folder.path().join("text"));
        std::fs::write(&signature, &signed.signature).unwrap();
        std::fs::write(&message, text).unwrap();
        let ran = std::process::Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", who, "-n", namespace, "-f"])
            .arg(&allowed)
            .arg("-s")
            .arg(&signature)
            .stdin(std::fs::File::open(&message).unwrap())
            .output()
            .unwrap();
        ran.status.success()
    };
    assert!(judge(&signed, COMPANION, EVIDENCE_FILE_NAMESPACE, &signed.text));
    assert!(judge(&statement.evidence, "web-01", EVIDENCE_NAMESPACE, &statement.evidence.text));
    assert!(!judge(&statement.evidence, "web-01", EVIDENCE_FILE_NAMESPACE, &statement.evidence.text));
    assert!(!judge(
        &signed,
        COMPANION,
        EVIDENCE_FILE_NAMESPACE,
        &signed.text.replacen("web-01", "web-02", 1)
    ));
}
