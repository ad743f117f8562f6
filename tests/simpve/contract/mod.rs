//! The recorded exchanges, as facts, against the state machine: the same status lines, texts and shapes.

mod acts;
mod fixture;
mod replay;

use firstlight_tests::simpve::world::World;
use replay::Replay;
use serde_json::Value;

const CONTAINERS: &str = include_str!("../facts/containers.jsonl");
const MACHINES: &str = include_str!("../facts/machines.jsonl");

const LEFT_OUT: &str = include_str!("../facts/left-out.json");

/// Plays a recording and tells how much of it is covered. What is left out is named with its reason.
fn play(name: &str, world: World, facts: &str) {
    let mut replay = Replay::new(world, facts);
    replay.play(facts);
    let recordings: Value = serde_json::from_str(LEFT_OUT).unwrap();
    let recorded = recordings[name]["recorded"].as_u64().unwrap();
    println!("{name}: {} of {recorded} recorded exchanges are played", replay.right + replay.wrong.len());
    let mut left_out = 0;
    for (class, count) in recordings[name]["left_out"].as_object().unwrap() {
        println!("  {count:>4} left out: {class}");
        left_out += count.as_u64().unwrap();
    }
    assert!(replay.wrong.is_empty(), "{} are wrong:\n{}", replay.wrong.len(), replay.wrong.join("\n"));
    assert_eq!(u64::try_from(replay.right).unwrap() + left_out, recorded, "exchanges that nobody counts");
}

#[test]
fn containers_answer_as_recorded() {
    play("containers", fixture::containers(), CONTAINERS);
}

#[test]
fn machines_answer_as_recorded() {
    play("machines", fixture::machines(), MACHINES);
}
