use serde_json::json;

use super::*;

const PLAN: Plan = Plan { seed: 1, leave: false };

/// A job that ended as its role has it, in three events.
fn job(number: usize) -> Value {
    let role = PLAN.role(number);
    let (state, failure) = PLAN.end(number);
    let failure = failure.map(|code| json!({ "code": code }));
    let last = if state == "done" { "finish" } else { "start" };
    let report = role.is_acknowledged().then(|| json!({ "sha256": format!("digest-{number}") }));
    json!({
        "job": format!("job-{number}"), "guest": PLAN.name(number), "state": state, "failure": failure,
        "created_at_ms": 10, "ended_at_ms": 15, "report": report,
        "events": [
            { "seq": 0, "event": { "kind": "created" } },
            { "seq": 1, "event": { "kind": "step-succeeded", "step": "allocate" } },
            { "seq": 2, "at_ms": 14, "event": { "kind": "step-succeeded", "step": last } },
        ],
    })
}

/// The first twelve guests, one of each role, and what is found once `change` has been at what is exported.
fn found(change: impl FnOnce(&mut Vec<Value>)) -> Vec<String> {
    found_with(PLAN, change)
}

fn found_with(plan: Plan, change: impl FnOnce(&mut Vec<Value>)) -> Vec<String> {
    let mut jobs: Vec<Value> = (0..12).map(job).collect();
    let entry = |verb, number: usize| Entry {
        companion: "one".to_owned(),
        verb,
        job: format!("job-{number}"),
        guest: PLAN.name(number),
        outcome: Outcome::Done,
        at: std::time::Instant::now(),
    };
    let gone = |number: &usize| PLAN.role(*number).failure().is_some();
    let mut journal: Vec<Entry> =
        (0..12).flat_map(|n| [entry(Verb::Make, n), entry(Verb::Start, n)]).collect();
    journal.extend((0..12).filter(gone).map(|number| entry(Verb::Remove, number)));
    let machine = |number: usize| {
        let machine = json!({
            "job": format!("job-{number}"), "guest": PLAN.name(number), "mac": "02:00:00:00:00:01",
            "addresses": [], "claim": null, "task": null, "running": true, "report": null, "memory": 0,
            "ephemeral": false, "snapshots": [], "foreign": false,
        });
        serde_json::from_value(machine).unwrap()
    };
    let machines: Vec<Machine> = (0..12).filter(|number| !gone(number)).map(machine).collect();
    let digests = (0..12).filter(|number| PLAN.role(*number).is_acknowledged());
    let digests = digests.map(|number| (PLAN.name(number), format!("digest-{number}"))).collect();
    change(&mut jobs);
    let lines: Vec<Line> = jobs.iter().map(Line::of).collect();
    let counts = json!({ "jobs": { "done": 6, "rolled-back": 6 } });
    let ledger = Ledger {
        plan,
        guests: 12,
        lines: &lines,
        counts: &counts,
        digests: &digests,
        machines: &machines,
        journal: &journal,
    };
    ledger.findings()
}

#[test]
fn a_fleet_that_ended_as_planned_is_accounted_for() {
    assert_eq!(found(|_| {}), Vec::<String>::new());
}

#[test]
fn whatever_does_not_add_up_is_found() {
    type Change = fn(&mut Vec<Value>);
    let cases: [(Change, &str); 8] = [
        (|jobs| drop(jobs.remove(3)), "fleet-000003 is lost"),
        (
            |jobs| {
                let mut second = jobs[0].clone();
                second["job"] = json!("job-again");
                jobs.push(second);
            },
            "has two jobs",
        ),
        (|jobs| jobs[9]["state"] = json!("done"), "is done for"),
        (|jobs| drop(jobs[0]["events"].as_array_mut().unwrap().pop()), "was ready after None"),
        (|jobs| jobs[0]["report"] = Value::Null, "was acknowledged"),
        (|jobs| jobs[1]["report"]["sha256"] = json!("another"), "was acknowledged"),
        (|jobs| jobs[2]["events"][2]["seq"] = json!(3), "has the number 3"),
        (|jobs| jobs[2]["events"][2]["event"]["step"] = json!("allocate"), "succeeded twice"),
    ];
    for (change, words) in cases {
        let found = found(change);
        assert!(found.iter().any(|finding| finding.contains(words)), "{words}: {found:#?}");
    }
}

#[test]
fn a_guest_that_is_to_leave_and_stays_is_found() {
    let leave = Plan { leave: true, ..PLAN };
    assert!(
        found_with(leave, |_| {}).iter().any(|finding| finding.contains("is done for None, not rolled-back"))
    );
    let gone = |jobs: &mut Vec<Value>| {
        for job in jobs.iter_mut().filter(|job| job["state"] == "done") {
            (job["state"], job["failure"]) = (json!("rolled-back"), json!({ "code": "due" }));
        }
    };
    // Of the hypervisor alone, which still has them.
    let found = found_with(leave, gone);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(found.iter().all(|finding| finding.contains("was removed 0 times")), "{found:#?}");
}

#[test]
fn a_small_fleet_has_every_role_and_a_big_one_keeps_their_shares() {
    let small: BTreeSet<_> = (0..12).map(|number| PLAN.role(number)).collect();
    assert_eq!(small.len(), 12);
    let honest = (0..10_000).filter(|number| PLAN.role(*number) == super::super::plan::Role::Honest).count();
    assert!((5300..5700).contains(&honest), "{honest}");
    let other = Plan { seed: 2, ..PLAN };
    assert!((12..100).any(|number| PLAN.role(number) != other.role(number)), "the seed counts for nothing");
}
