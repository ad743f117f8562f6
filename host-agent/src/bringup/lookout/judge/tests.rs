use firstlight_shared::beacon::{Beacon, Form, Key, Reason, decode, encode};
use firstlight_shared::wire::Envelope;

use super::*;
use crate::intake::testing::{key, report};

fn candidate(source: &str) -> Candidate {
    let key = key();
    let envelope = Envelope::seal(&report(None, &key), &key, None).unwrap();
    Candidate {
        sha256: envelope.open().unwrap().sha256,
        claim_id: "c1".into(),
        job: "j1".into(),
        received_at_ms: 1,
        source: source.into(),
        envelope,
        refuted: false,
    }
}

/// A beacon that names this one's report, or some other.
fn seen(state: State, named: Option<&Candidate>) -> Seen {
    let other =
        Beacon { state, reason: Reason::NoHostKey, report: Some([1; 32]), key: Some(Key::Host([2; 32])) };
    let named = named.map(|one| Beacon { state, ..Beacon::of_report(&one.envelope, Reason::Other).unwrap() });
    decode(&encode(&named.unwrap_or(other), Form::Ipv6, 0)).unwrap().unwrap()
}

/// A beacon that names no report.
fn silent(state: State, reason: Reason) -> Seen {
    let beacon = Beacon { state, reason, report: None, key: None };
    decode(&encode(&beacon, Form::Ipv6, 0)).unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_pair_of_beacon_and_reports_has_its_answer() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let (home, away) = (candidate("192.0.2.1"), candidate("192.0.2.66"));
    let alive = silent(State::IdentityDone, Reason::None);
    let degraded = seen(State::Degraded, None);
    let (ready, named) = (seen(State::Ready, None), seen(State::Ready, Some(&away)));
    let take = |index, trust| Verdict::Take(index, trust);
    let later = |seconds| Verdict::Wait(Some(at(seconds)));
    let waits = Verdict::Wait(None);
    // The beacon stands since 100 s and was looked at then and at `looked`; reports came at 102 s.
    let table = [
        ("nothing", None, 105, &[][..], 105, waits.clone(), 0),
        ("alive", Some(&alive), 105, &[], 500, waits.clone(), 0),
        ("alive, a report that it does not name yet", Some(&alive), 105, &[&home], 500, waits.clone(), 0),
        ("ready", Some(&ready), 105, &[], 105, later(110), 0),
        ("ready for long", Some(&ready), 105, &[], 110, Verdict::Alone, 0),
        ("ready for ever so long", Some(&ready), 105, &[], 900, Verdict::Alone, 0),
        ("another report, in the moment of the last look", Some(&ready), 102, &[&home], 105, later(110), 0),
        ("degraded", Some(&degraded), 105, &[], 105, later(110), 0),
        ("degraded for long", Some(&degraded), 105, &[], 110, Verdict::Alone, 0),
        ("ready, another report", Some(&ready), 105, &[&home], 105, later(110), 1),
        ("another report, after the last look", Some(&ready), 101, &[&home], 105, later(110), 0),
        ("the right one", Some(&named), 101, &[&home, &away], 105, take(1, Trust::Attested), 0),
        ("the right one and another", Some(&named), 105, &[&home, &away], 105, take(1, Trust::Attested), 1),
        ("no beacon for long, from home", None, 105, &[&away, &home], 900, waits.clone(), 0),
        ("no beacon, from elsewhere", None, 105, &[&away], 900, waits.clone(), 0),
    ];
    for (name, beacon, looked, reports, now, verdict, refuted) in table {
        let came: Vec<Came> =
            reports.iter().map(|one| Came { candidate: (*one).clone(), noticed: at(102) }).collect();
        let sight = Sight {
            seen: beacon.cloned(),
            since: Some(at(100)),
            looked: Some(at(looked)),
            addresses: vec!["192.0.2.1".parse().unwrap()],
            ..Sight::default()
        };
        let (told, wrong) = judge(&sight, &came, false, at(now));
        let ready = beacon.is_some_and(|seen| seen.state() == State::Ready);
        let patient = match &verdict {
            Verdict::Alone | Verdict::Wait(_) if ready => waits.clone(),
            other => other.clone(),
        };
        assert_eq!(judge(&sight, &came, true, at(now)).0, patient, "{name}: only a report is enough");
        assert_eq!((told, wrong.len()), (verdict, refuted), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_why_and_the_last_resort_is_the_best_there_is() {
    let now = Instant::now();
    let sight = |seen| Sight { seen, addresses: vec!["192.0.2.1".parse().unwrap()], ..Sight::default() };
    let (told, _) = judge(&sight(Some(seen(State::Failed, None))), &[], true, now);
    assert!(matches!(told, Verdict::Fail(fault) if fault.code == "no-host-key"));

    // A reason that says nothing is no code.
    for reason in [Reason::None, Reason::Other] {
        let (told, _) = judge(&sight(Some(silent(State::Failed, reason))), &[], true, now);
        assert!(matches!(told, Verdict::Fail(fault) if fault.code == "identity-failed"), "{reason:?}");
    }

    let came = |one: &Candidate| Came { candidate: one.clone(), noticed: now };
    let alive = silent(State::IdentityDone, Reason::None);
    let (home, away) = (came(&candidate("192.0.2.1")), came(&candidate("192.0.2.66")));
    let mut wrong = home.clone();
    wrong.candidate.refuted = true;
    let unverified = |index| Some(Verdict::Take(index, Trust::Unverified));
    for (name, seen, came, verdict) in [
        ("nothing", None, vec![], None),
        ("from home first", None, vec![away.clone(), home.clone()], unverified(1)),
        ("any", None, vec![away.clone()], unverified(0)),
        ("not a refuted one", None, vec![wrong, away.clone()], unverified(1)),
        ("the beacon knows better", Some(seen(State::Ready, None)), vec![home.clone()], Some(Verdict::Alone)),
        (
            "nor is a degraded one",
            Some(seen(State::Degraded, None)),
            vec![home.clone()],
            Some(Verdict::Alone),
        ),
        ("it names none", Some(alive), vec![home.clone()], unverified(0)),
        ("it names another", Some(seen(State::IdentityDone, None)), vec![home], None),
    ] {
        assert_eq!(last_resort(&sight(seen), &came), verdict, "{name}");
    }
}
