use std::collections::BTreeMap;
use std::net::IpAddr;

use firstlight_shared::beacon::{Beacon, Form, Reason, State, encode};
use firstlight_shared::wire::Claim;

use super::*;
use crate::backend::{Allocation, Slot};
use crate::bringup::tests::paper::Paper;

const BUDGET: LookBudget =
    LookBudget { per_second: 8, not_before: Duration::from_millis(1500), calm: Duration::ZERO };

fn eyes() -> (Arc<Paper>, Arc<dyn Backend>) {
    let paper = Arc::new(Paper::default());
    paper.world().open = true;
    paper.world().look_takes = Duration::from_millis(80);
    (Arc::clone(&paper), paper)
}

fn placement(job: &str, node: &str) -> Placement {
    let plan = serde_json::json!({ "name": "web-01", "golden": "g", "size": {} });
    let slot = Slot { id: "100".into(), node: node.into(), uuid: None, since_s: 0 };
    Placement::new(
        job,
        serde_json::from_value(plan).unwrap(),
        Allocation {
            mac: "02:f1:57:00:00:01".parse().unwrap(),
            more_macs: vec![],
            addresses: vec![],
            slot: Some(slot),
        },
        Claim::new("c", None),
    )
}

fn beacon(state: State) -> Vec<IpAddr> {
    encode(&Beacon { state, reason: Reason::None, report: None, key: None }, Form::Ipv6, 0)
}

async fn sleep(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn fifty_guests_on_one_node_share_its_budget_and_other_nodes_have_their_own() {
    let (paper, backend) = eyes();
    let (lookout, start) = (Lookout::default(), Instant::now());
    let enter = |number: usize, node: &str| {
        lookout.enter(&backend, BUDGET, placement(&format!("{node}-{number}"), node), Some(start))
    };
    let spots: Vec<Spot> = (0..50).map(|number| enter(number, "one")).collect();
    let other = enter(0, "two");
    sleep(1499).await;
    assert!(paper.world().looks.is_empty(), "nobody can be up yet");
    sleep(12_501).await;
    let looks = std::mem::take(&mut paper.world().looks);
    let at_one: Vec<_> = looks.iter().filter(|(_, job)| job.starts_with("one")).collect();
    let within =
        |(at, _): &&(Instant, String), from: Instant| *at >= from && *at < from + Duration::from_secs(1);
    for (from, _) in &at_one {
        let count = at_one.iter().filter(|look| within(look, *from)).count();
        assert!(count <= 8, "{count} looks in a second");
    }
    let counts = at_one.iter().fold(BTreeMap::<&str, u32>::new(), |mut counts, (_, job)| {
        *counts.entry(job.as_str()).or_default() += 1;
        counts
    });
    assert_eq!((counts.len(), counts.values().min(), counts.values().max()), (50, Some(&2), Some(&2)));
    assert_eq!(looks.len() - at_one.len(), 42, "the other node's guest is looked at each 300 ms");
    assert_eq!(paper.world().most_at_once, 1);

    drop(spots);
    sleep(200).await;
    let left = paper.world().looks.len();
    drop(other);
    sleep(5000).await;
    assert_eq!(paper.world().looks.len(), left, "nobody waits: nobody is looked at");
    // The node's budget goes on where it was.
    for _ in 0..9 {
        lookout.once(&backend, BUDGET, placement("late", "one")).await;
    }
    let looks = std::mem::take(&mut paper.world().looks);
    assert!(looks[looks.len() - 1].0 - looks[looks.len() - 9].0 >= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_single_guest_is_seen_within_half_a_second() {
    let (paper, backend) = eyes();
    let lookout = Lookout::default();
    for shift in [0, 70, 140, 210, 290] {
        let job = format!("j{shift}");
        let mut spot = lookout.enter(&backend, BUDGET, placement(&job, &job), Some(Instant::now()));
        paper.world().shown.insert(job.clone(), vec![]);
        for (after, state) in [(4000 + shift, State::IdentityDone), (3000, State::Ready)] {
            sleep(after).await;
            paper.world().shown.insert(job.clone(), beacon(state));
            let raised = Instant::now();
            while spot.sight().seen.is_none_or(|seen| seen.state() != state) {
                spot.changed().await;
            }
            assert!(raised.elapsed() <= Duration::from_millis(500), "{state:?} after {:?}", raised.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn earlier_guests_of_the_golden_tell_when_looks_are_worth_it() {
    let (paper, backend) = eyes();
    let lookout = Lookout::default();
    let mut counts = Vec::new();
    for job in ["first", "second"] {
        let mut spot = lookout.enter(&backend, BUDGET, placement(job, "one"), Some(Instant::now()));
        paper.world().shown.insert(job.into(), vec![]);
        sleep(10_000).await;
        counts.push(std::mem::take(&mut paper.world().looks).len());
        paper.world().shown.insert(job.into(), beacon(State::Ready));
        let raised = Instant::now();
        while spot.sight().seen.is_none() {
            spot.changed().await;
        }
        assert!(raised.elapsed() <= Duration::from_millis(500), "{job}: {:?}", raised.elapsed());
        paper.world().looks.clear();
    }
    assert!(counts[0] > 25 && counts[1] < 12, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn whoevers_report_came_is_looked_at_before_the_others() {
    let (paper, backend) = eyes();
    let (lookout, start) = (Lookout::default(), Instant::now());
    let names: Vec<String> = (0..20).map(|number| format!("j{number}")).collect();
    let mut spots: Vec<Spot> = Vec::new();
    for job in &names {
        paper.world().shown.insert(job.clone(), vec![]);
        spots.push(lookout.enter(&backend, BUDGET, placement(job, "one"), Some(start)));
    }
    sleep(10_000).await;
    for (job, spot) in names.iter().zip(&mut spots).rev() {
        paper.world().shown.insert(job.clone(), beacon(State::Ready));
        let raised = Instant::now();
        spot.hurry();
        while spot.sight().seen.is_none() {
            spot.changed().await;
        }
        assert!(raised.elapsed() <= Duration::from_millis(300), "{job}: {:?}", raised.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_not_asked_more_and_more() {
    let (paper, backend) = eyes();
    paper.world().look_takes = Duration::from_secs(60);
    let lookout = Lookout::default();
    let spots: Vec<Spot> = (0..20)
        .map(|number| lookout.enter(&backend, BUDGET, placement(&format!("j{number}"), "one"), None))
        .collect();
    sleep(4900).await;
    assert_eq!(paper.world().looks.len(), 2, "under way at once");
    sleep(600).await;
    assert!(spots.iter().any(|spot| spot.sight().fault.is_some_and(|fault| fault.code == "look-timeout")));
    paper.world().look_takes = Duration::ZERO;
    paper.world().look_fails = true;
    sleep(30_000).await;
    paper.world().looks.clear();
    sleep(20_000).await;
    let looks = paper.world().looks.len();
    assert!((60..=90).contains(&looks), "each 5 s at every guest: {looks}");
}
