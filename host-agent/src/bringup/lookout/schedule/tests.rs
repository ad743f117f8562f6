use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// When the only guest of a node is looked at next, from `start`; None: nobody knows.
fn alone(start: Instant, now: u64, guest: &Guest) -> Option<u64> {
    match next(start + millis(now), start, std::iter::once((1, guest))) {
        Next::Look(1) => Some(now),
        Next::At(at) => u64::try_from((at - start).as_millis()).ok(),
        Next::Look(_) | Next::Nothing => None,
    }
}

#[tokio::test(start_paused = true)]
async fn how_often_a_guest_is_looked_at_follows_what_is_known_of_it() {
    let start = Instant::now();
    let at = |milliseconds| start + millis(milliseconds);
    let guest = Guest::new(at(2000));
    let looked = |last, stage| Guest { last: Some(at(last)), stage, ..guest.clone() };
    let calm = |guest: Guest| Guest { calm: millis(4000), ..guest };
    let expects = |alive: u64, told: u64, guest: Guest| Guest {
        alive_from: Some(at(alive)),
        told_from: Some(at(told)),
        ..guest
    };
    // name, now, guest, when
    let table = [
        ("cannot be up yet", 0, guest.clone(), Some(2000)),
        ("may be up", 2500, guest.clone(), Some(2500)),
        ("brisk", 2600, looked(2500, Stage::Unseen), Some(2800)),
        ("alive", 2600, looked(2500, Stage::Alive), Some(2900)),
        ("waits for its report", 2600, looked(2500, Stage::Told), Some(3500)),
        ("it would tell", 2600, calm(looked(2500, Stage::Unseen)), Some(6500)),
        ("it would tell from the first", 2600, calm(guest.clone()), Some(6000)),
        (
            "it would tell, and its report came",
            2600,
            Guest { urgent: true, ..calm(guest.clone()) },
            Some(2600),
        ),
        ("it told", 2600, calm(looked(2500, Stage::Told)), Some(3500)),
        ("it would tell, and is torn", 2600, calm(looked(2500, Stage::Torn)), Some(2650)),
        ("torn", 2600, looked(2500, Stage::Torn), Some(2650)),
        ("rarely before it is expected", 2600, expects(9000, 12000, looked(2500, Stage::Unseen)), Some(4500)),
        ("in time for it", 2600, expects(3000, 12000, looked(2500, Stage::Unseen)), Some(3000)),
        ("brisk from then on", 9000, expects(9000, 12000, looked(9000, Stage::Unseen)), Some(9300)),
        ("alive, ready later", 2600, expects(1, 12000, looked(2500, Stage::Alive)), Some(4500)),
        ("alive, ready soon", 2600, expects(1, 2000, looked(2500, Stage::Alive)), Some(2900)),
        (
            "its report came",
            2600,
            Guest { urgent: true, ..expects(9000, 12000, looked(2500, Stage::Unseen)) },
            Some(2650),
        ),
        (
            "its report came, and looks fail",
            2600,
            Guest { urgent: true, failures: 1, ..looked(2500, Stage::Alive) },
            Some(3000),
        ),
        ("failed once", 2600, Guest { failures: 1, ..looked(2500, Stage::Alive) }, Some(3000)),
        ("failed thrice", 2600, Guest { failures: 3, ..looked(2500, Stage::Unseen) }, Some(4500)),
        ("failed often", 2600, Guest { failures: u32::MAX, ..looked(2500, Stage::Unseen) }, Some(7500)),
        ("under way", 9000, Guest { in_flight: true, ..looked(2500, Stage::Unseen) }, None),
    ];
    for (name, now, guest, when) in table {
        assert_eq!(alone(start, now, &guest), when, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_has_its_gate_its_limit_and_its_order() {
    let start = Instant::now();
    let at = |milliseconds| start + millis(milliseconds);
    let last = |milliseconds| Guest { last: Some(at(milliseconds)), ..Guest::new(start) };
    let choose = |gate: Instant, guests: &[Guest]| next(at(1000), gate, (0..).zip(guests));
    assert_eq!(choose(start, &[last(500), last(100), last(300)]), Next::Look(1), "waited longest");
    assert_eq!(choose(at(1050), &[last(500)]), Next::At(at(1050)), "the budget is used up");
    assert_eq!(choose(start, &[]), Next::Nothing);
    let urgent = Guest { urgent: true, ..Guest::new(at(1000)) };
    assert_eq!(choose(start, &[last(100), urgent]), Next::Look(1));
    let alive = Guest { stage: Stage::Alive, ..last(100) };
    assert_eq!(
        choose(start, &[last(300), alive.clone(), alive.clone()]),
        Next::Look(0),
        "alive is less often"
    );
    let busy = Guest { in_flight: true, ..last(900) };
    assert_eq!(choose(start, &[last(100), busy.clone(), busy]), Next::Nothing);
}

#[derive(Debug, Clone)]
struct Sort {
    from: u64,
    alive: u64,
    told: u64,
    takes: u64,
    fails: bool,
    learned: bool,
}

fn sort() -> impl Strategy<Value = Sort> {
    (0..5000u64, 0..8000u64, 0..8000u64, 1..400u64, proptest::bool::weighted(0.1), any::<bool>()).prop_map(
        |(from, alive, told, takes, fails, learned)| Sort {
            from,
            alive: from + alive,
            told: from + alive + told,
            takes,
            fails,
            learned,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Plays a node for 20 s, millisecond by millisecond.
    #[test]
    fn whatever_guests_there_are(sorts in proptest::collection::vec(sort(), 1..40)) {
        const GAP: u64 = 125;
        let start = Instant::now();
        let at = |milliseconds| start + millis(milliseconds);
        let mut guests: BTreeMap<u64, Guest> = (0..).zip(&sorts).map(|(number, sort)| {
            let mut guest = Guest::new(at(sort.from));
            guest.alive_from = sort.learned.then(|| at(sort.alive));
            guest.told_from = sort.learned.then(|| at(sort.told));
            (number, guest)
        }).collect();
        let (mut gate, mut ends) = (0, BTreeMap::<u64, u64>::new());
        let mut looks: Vec<(u64, u64)> = Vec::new();
        for now in 0..20_000u64 {
            for (number, _) in ends.iter().filter(|(_, end)| **end == now) {
                let sort = &sorts[usize::try_from(*number).unwrap()];
                let guest = guests.get_mut(number).unwrap();
                guest.in_flight = false;
                guest.failures = if sort.fails { guest.failures + 1 } else { 0 };
                guest.stage = match now {
                    _ if sort.fails => Stage::Unseen,
                    _ if now >= sort.told => Stage::Told,
                    _ if now >= sort.alive => Stage::Alive,
                    _ => Stage::Unseen,
                };
            }
            ends.retain(|_, end| *end > now);
            let chosen = next(at(now), at(gate), guests.iter().map(|(number, guest)| (*number, guest)));
            if let Next::At(when) = chosen {
                prop_assert!(when > at(now), "it would be asked for ever");
            }
            let Next::Look(number) = chosen else { continue };
            let (sort, guest) = (&sorts[usize::try_from(number).unwrap()], guests.get_mut(&number).unwrap());
            prop_assert!(now >= sort.from, "it cannot be up");
            prop_assert!(!guest.in_flight, "one look at once");
            (guest.in_flight, guest.last) = (true, Some(at(now)));
            ends.insert(number, now + sort.takes);
            gate = now + GAP;
            looks.push((now, number));
        }
        prop_assert!(looks.windows(9).all(|nine| nine[8].0 - nine[0].0 >= 1000), "eight each second");
        for (number, sort) in (0..).zip(&sorts) {
            let mine: Vec<u64> = looks.iter().filter(|(_, who)| *who == number).map(|(at, _)| *at).collect();
            // In turn: nobody waits for ever, however many there are. Forty guests have a look each 5 s, slow ones later.
            let longest = mine.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(20_000);
            prop_assert!(longest <= 15_000, "{number} of {}: {longest} ms", sorts.len());
            if sorts.len() == 1 && !sort.fails {
                let first = mine.iter().find(|at| **at + sort.takes >= sort.told);
                let since = first.map_or(u64::MAX, |at| at.saturating_sub(sort.told));
                prop_assert!(since <= 400, "{since} ms late");
            }
        }
    }
}
