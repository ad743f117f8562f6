use firstlight_shared::check::Verdict;
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::{Address, Claim, HostKey, Report, ReportState, SecretOutcome};

use super::testing::{check, claim, key, report, seal, sealed};
use super::*;
use crate::backend::Observed;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 10));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 66));

struct Rig {
    _folder: tempfile::TempDir,
    intake: Intake,
    store: Store,
}

async fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).await.unwrap();
    for (job, guest, id) in [("j1", "web-01", "c1"), ("j2", "web-02", "c2")] {
        store.claim_for(job, guest, id, &Secret::new(vec![7; 32])).await.unwrap();
    }
    Rig { _folder: folder, intake: Intake::new(store.clone()), store }
}

impl Rig {
    /// The refusal's code, after making sure that it was recorded.
    async fn refused(&self, bytes: &[u8], source: IpAddr) -> String {
        let error = self.intake.receive(bytes, source).await.expect_err("was taken");
        let IntakeError::Refused(refused) = error else { panic!("{error}") };
        assert_eq!(self.store.refusals().await.unwrap().last(), Some(&refused));
        refused.code
    }
}

#[tokio::test]
async fn the_same_bytes_get_the_same_acknowledgement_and_only_at_home() {
    let rig = rig().await;
    let bytes = sealed(&claim("c1", &[7; 32]), &key());
    let ack = rig.intake.receive(&bytes, HOME).await.unwrap();
    assert_eq!(rig.intake.receive(&bytes, HOME).await.unwrap(), ack);
    rig.store.expire_claim("j1").await.unwrap();
    assert_eq!(rig.intake.receive(&bytes, HOME).await.unwrap(), ack, "also after the job has ended");
    assert_eq!(rig.refused(&bytes, ELSEWHERE).await, "replayed");
}

#[tokio::test]
async fn the_same_bytes_over_several_connections_at_once_are_one_report() {
    let rig = rig().await;
    let bytes = sealed(&claim("c1", &[7; 32]), &key());
    let mut receptions = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (intake, bytes) = (rig.intake.clone(), bytes.clone());
        receptions.spawn(async move { intake.receive(&bytes, HOME).await.unwrap() });
    }
    let answers = receptions.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(rig.store.refusals().await.unwrap(), []);
}

#[tokio::test]
async fn what_does_not_answer_its_claim_is_refused_and_recorded() {
    let rig = rig().await;
    let key = key();
    assert_eq!(rig.refused(&sealed(&claim("c1", &[8; 32]), &key), HOME).await, "wrong-claim");
    assert_eq!(rig.refused(&sealed(&claim("c9", &[7; 32]), &key), HOME).await, "unknown-claim");
    let unclaimed = Envelope::seal(&report(None, &key), &key, None).unwrap();
    assert_eq!(rig.refused(&serde_json::to_vec(&unclaimed).unwrap(), HOME).await, "no-claim");
    let no_secret = Claim { secret: None, ..claim("c1", &[]) };
    assert_eq!(rig.refused(&sealed(&no_secret, &key), HOME).await, "wrong-claim");
    // An empty secret opens nothing once the row's secret is wiped.
    rig.store.expire_claim("j1").await.unwrap();
    assert_eq!(rig.refused(&sealed(&claim("c1", &[]), &key), HOME).await, "claim-expired");
}

#[tokio::test]
async fn a_second_guest_with_the_claim_or_with_the_keys_is_refused() {
    let rig = rig().await;
    let first = key();
    let mut changes = crate::job::JobStore::changes(&rig.store);
    rig.intake.receive(&sealed(&claim("c1", &[7; 32]), &first), HOME).await.unwrap();
    assert_eq!(rig.refused(&sealed(&claim("c1", &[7; 32]), &key()), ELSEWHERE).await, "claim-used");
    assert_eq!(rig.refused(&sealed(&claim("c2", &[7; 32]), &first), ELSEWHERE).await, "shared-host-key");
    let ended = crate::job::Change::Refused {
        claim: "c2".into(),
        code: "shared-host-key".into(),
        message: "guest web-01 has reported with the same SSH host key".into(),
    };
    let heard: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
    assert!(heard.contains(&ended), "{heard:?}");
    assert!(rig.store.refusal_of_claim("c2").await.unwrap().is_some(), "it outlives a restart");
    assert!(rig.store.refusal_of_claim("c1").await.unwrap().is_none());

    // Removed, the guest may come back with its keys under its own name, and under no other.
    rig.store.retire_keys("j1").await.unwrap();
    assert_eq!(rig.refused(&sealed(&claim("c2", &[7; 32]), &first), ELSEWHERE).await, "shared-host-key");
    rig.store.claim_for("j3", "web-01", "c3", &Secret::new(vec![7; 32])).await.unwrap();
    rig.intake.receive(&sealed(&claim("c3", &[7; 32]), &first), HOME).await.unwrap();
}

/// A report with this card and these addresses.
fn seen_at(mut report: Report, mac: &str, addresses: &[&str]) -> Report {
    let address = |text: &&str| Address { address: text.parse().unwrap(), prefix: 24 };
    report.network[0].mac = Some(mac.parse().unwrap());
    report.network[0].addresses = addresses.iter().map(address).collect();
    report
}

#[tokio::test]
async fn a_copy_of_a_guest_that_answers_no_claim_is_refused_as_one() {
    const MAC: &str = "02:f1:57:00:00:01";
    const OTHER_MAC: &str = "02:f1:57:00:00:02";
    let rig = rig().await;
    let (first, lasting) = (key(), claim("c1", &[7; 32]));
    let told = seen_at(report(Some("c1"), &first), MAC, &["10.77.0.10"]);
    rig.intake.receive(&seal(&told, &lasting, &first), HOME).await.unwrap();
    let stranger = key();
    for (what, signer, mac, addresses, source, expected) in [
        ("a stranger", &stranger, OTHER_MAC, &["10.77.0.66"][..], ELSEWHERE, "no-claim"),
        ("the guest, after a reboot", &first, MAC, &["10.77.0.10"], HOME, "no-claim"),
        ("the guest, by a way round", &first, MAC, &["10.77.0.10"], ELSEWHERE, "no-claim"),
        (
            "the guest, with one address more",
            &first,
            MAC,
            &["10.77.0.10", "10.78.0.1"],
            ELSEWHERE,
            "no-claim",
        ),
        ("the guest, before it has addresses", &first, MAC, &[], ELSEWHERE, "no-claim"),
        ("a copy with another card", &first, OTHER_MAC, &["10.77.0.10"], HOME, COPIED),
        ("a copy with its card", &first, MAC, &["10.77.0.66"], ELSEWHERE, COPIED),
    ] {
        let report = seen_at(report(None, signer), mac, addresses);
        let bytes = serde_json::to_vec(&Envelope::seal(&report, signer, None).unwrap()).unwrap();
        assert_eq!(rig.refused(&bytes, source).await, expected, "{what}");
        let count = rig.store.refusals().await.unwrap().len();
        rig.intake.receive(&bytes, source).await.unwrap_err();
        let refusals = rig.store.refusals().await.unwrap();
        assert_eq!(refusals.len(), count, "{what}: recorded once");
        let refused = refusals.last().unwrap();
        let guest = (expected == COPIED).then(|| "web-01".to_owned());
        assert_eq!((&refused.guest, refused.job.is_some()), (&guest, expected == COPIED), "{what}");
    }
    // One that only shows the key, and signs with another, proves nothing.
    let mut shown = seen_at(report(None, &first), OTHER_MAC, &[]);
    let bytes = serde_json::to_vec(&Envelope::seal(&shown, &stranger, None).unwrap()).unwrap();
    assert_eq!(rig.refused(&bytes, ELSEWHERE).await, "no-claim");
    // With a claim of elsewhere; and once the guest is gone, it is nobody's copy.
    shown.claim_id = Some("c9".to_owned());
    assert_eq!(rig.refused(&seal(&shown, &claim("c9", &[7; 32]), &first), ELSEWHERE).await, COPIED);
    rig.store.retire_keys("j1").await.unwrap();
    shown.report_id = "00".repeat(16);
    assert_eq!(rig.refused(&seal(&shown, &claim("c9", &[7; 32]), &first), ELSEWHERE).await, "unknown-claim");
}

#[tokio::test]
async fn tampering_anywhere_is_seen() {
    let rig = rig().await;
    let envelope: Envelope = Envelope::parse(&sealed(&claim("c1", &[7; 32]), &key())).unwrap();
    let mut cases: Vec<(&str, Envelope, &str)> = Vec::new();
    let mut edit = |name, expected, change: &dyn Fn(&mut Envelope)| {
        let mut edited = envelope.clone();
        change(&mut edited);
        cases.push((name, edited, expected));
    };
    edit("report", "bad-signature", &|e| e.report = e.report.replace("web-01", "web-99"));
    edit("signature", "bad-signature", &|e| e.signature = e.signature.replacen('A', "B", 3));
    edit("foreign key", "bad-signature", &|e| {
        e.signing_key = HostKey::of(key().public_key()).unwrap().public_key
    });
    edit("no key", "bad-key", &|e| e.signing_key = "ssh-ed25519 AAAA".into());
    edit("other claim", "claim-mismatch", &|e| e.binding.as_mut().unwrap().claim_id = "c2".into());
    edit("no binding", "claim-mismatch", &|e| e.binding = None);
    edit("hmac", "wrong-claim", &|e| e.binding.as_mut().unwrap().hmac = Some("00".repeat(32)));
    for (name, edited, expected) in cases {
        assert_eq!(rig.refused(&serde_json::to_vec(&edited).unwrap(), HOME).await, expected, "{name}");
    }
    for bytes in [&b""[..], b"{}", b"\xff\xfe", b"[]", &vec![b'['; 100_000][..]] {
        assert_eq!(rig.refused(bytes, HOME).await, "malformed");
    }
    assert_eq!(rig.refused(&vec![b' '; 300_000], HOME).await, "too-large");
    assert!(rig.store.reports().await.unwrap().is_empty());
}

#[test]
fn the_verdict_names_every_problem() {
    let key = key();
    let good = report(Some("c1"), &key);
    let mac = "02:f1:57:00:00:01".parse().unwrap();
    let seen = Observed {
        running: true,
        mac: Some(mac),
        addresses: vec![],
        mounts: vec!["/mnt/data".into()],
        mounts_unseen: None,
        no_network: false,
    };
    let mounts = vec![std::path::PathBuf::from("/mnt/data")];
    let require = vec!["sshd".to_owned()];
    let expected = Expected {
        guest: "web-01",
        mac,
        machine_id: good.identity.machine_id.derived,
        mounts: &mounts,
        require: &require,
        secrets: &[],
    };
    let codes = |report: &Report, trust, observed: &Observed, shared: &[_]| -> Vec<&'static str> {
        verdict(report, trust, &expected, observed, shared).into_iter().map(|problem| problem.code).collect()
    };
    assert_eq!(codes(&good, Trust::Attested, &seen, &[]), [""; 0]);
    assert_eq!(codes(&good, Trust::Claimed, &seen, &[]), [""; 0]);
    assert_eq!(codes(&good, Trust::Observed, &seen, &[]), ["untrusted"]);

    let changed = |change: &dyn Fn(&mut Report)| {
        let mut report = good.clone();
        change(&mut report);
        codes(&report, Trust::Claimed, &seen, &[])
    };
    assert_eq!(changed(&|r| r.state = ReportState::Failed), ["identity-failed"]);
    assert_eq!(changed(&|r| r.state = ReportState::Degraded), ["degraded"]);
    assert_eq!(changed(&|r| r.checks = vec![check("sshd", Verdict::Unknown)]), ["check-failed"]);
    assert_eq!(
        changed(&|r| r.checks = vec![check("sshd", Verdict::Skip)]),
        ["check-failed"],
        "the spec requires it"
    );
    assert_eq!(changed(&|r| r.checks.clear()), ["check-missing"]);
    assert_eq!(changed(&|r| r.identity.hostname.current = "golden".into()), ["wrong-hostname"]);
    assert_eq!(changed(&|r| r.network.clear()), ["wrong-mac"]);
    assert_eq!(changed(&|r| r.identity.machine_id.derived = None), ["no-machine-id"]);
    let other = Some("00000000000000000000000000000001".parse().unwrap());
    assert_eq!(changed(&|r| r.identity.machine_id.derived = other), ["wrong-machine-id"]);
    let anything = Expected { machine_id: None, ..expected.clone() };
    assert_eq!(verdict(&good, Trust::Claimed, &anything, &seen, &[]), []);
    assert_eq!(changed(&|r| r.identity.ssh_host_keys.clear()), ["no-host-key"]);

    let stopped = Observed { running: false, ..seen.clone() };
    assert_eq!(codes(&good, Trust::Claimed, &stopped, &[]), ["guest-stopped"]);
    let other_mac = Observed { mac: None, ..seen.clone() };
    assert_eq!(codes(&good, Trust::Claimed, &other_mac, &[]), ["wrong-mac"]);
    let unseen = crate::backend::Unseen { why: "silent".into(), passes: true };
    let untold = Observed { mounts: vec![], mounts_unseen: Some(unseen), ..seen.clone() };
    assert_eq!(codes(&good, Trust::Claimed, &untold, &[]), [""; 0], "nobody tells");
    let bare = Observed { mounts: vec![], ..seen.clone() };
    assert_eq!(codes(&good, Trust::Claimed, &bare, &[]), ["mount-missing"]);

    let twins = [crate::store::Shared {
        kind: "machine-id".into(),
        value: "9a65".into(),
        guest: "web-02".into(),
        job: "j2".into(),
    }];
    assert_eq!(codes(&good, Trust::Claimed, &seen, &twins), ["duplicate"]);
    let told = verdict(&good, Trust::Claimed, &expected, &seen, &twins);
    assert_eq!(told[0].message, "machine-id 9a65 is also that of web-02");

    // A guest that was made without a network has no MAC anywhere.
    let lonely = Observed { mac: None, no_network: true, ..seen.clone() };
    let mut cut_off = good.clone();
    cut_off.network.clear();
    assert_eq!(codes(&cut_off, Trust::Claimed, &lonely, &[]), [""; 0]);
}

#[test]
fn a_secret_counts_as_the_guest_finds_it() {
    let delivered = Delivered {
        path: "/var/lib/sops/age.txt".into(),
        sha256_prefix: "ba7816bf".into(),
        mode: "0400".into(),
        owner: "root:root".into(),
    };
    let found = SecretOutcome {
        path: delivered.path.clone(),
        sha256_prefix: Some("ba7816bf".into()),
        mode: Some("0400".into()),
        owner: Some("root:root".into()),
        problem: None,
    };
    let other = |change: &dyn Fn(&mut SecretOutcome)| {
        let mut found = found.clone();
        change(&mut found);
        vec![found]
    };
    for (secrets, code) in [
        (vec![found.clone()], None),
        (vec![], Some("secret-missing")),
        (other(&|one| one.path = "/var/lib/sops/age.tx".into()), Some("secret-missing")),
        (other(&|one| one.problem = Some("it is not there".into())), Some("secret-missing")),
        (other(&|one| one.sha256_prefix = Some("ba7816be".into())), Some("secret-differs")),
        (other(&|one| one.sha256_prefix = None), Some("secret-differs")),
        (other(&|one| one.mode = Some("0644".into())), Some("secret-differs")),
        (other(&|one| one.owner = Some("0:\u{1b}[31m".into())), Some("secret-differs")),
    ] {
        let report = Report { secrets, ..report(None, &key()) };
        let problem = delivered.problem_in(&report);
        assert_eq!(problem.as_ref().map(|problem| problem.code), code, "{problem:?}");
        assert!(problem.is_none_or(|problem| !problem.message.contains(char::is_control)));
    }
}
