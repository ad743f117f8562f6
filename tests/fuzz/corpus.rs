//! The corpora as tests, so that what fuzzing found once stays found, and what lies near it is looked at in every run.
//! The tests of both programs take this file.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRng, TestRunner};

/// As the programs name theirs.
type Target = (&'static str, fn(&[u8]));

/// Inputs between two looks at the clock.
const AT_ONCE: u32 = 20;

/// Every target has seeds, and takes them all; and so many beginnings of each: what a crash in the middle of a write leaves.
pub(crate) fn is_taken(program: &str, targets: &[Target], beginnings: usize) {
    for (name, target) in targets {
        for seed in &seeds(program, name) {
            target(seed);
            let step = seed.len() / beginnings + 1;
            (0..seed.len()).step_by(step).for_each(|end| target(&seed[..end]));
        }
    }
}

/// A second of changed seeds for every target, the same in every run; a minute each with `cargo xtask test --full`. Without
/// libFuzzer's eyes, and without a build of its own, which takes longer than all of this.
pub(crate) fn is_taken_changed(program: &str, targets: &[Target]) {
    let is_full = std::env::var_os("FIRSTLIGHT_FULL").is_some();
    let each = Duration::from_secs(if is_full { 60 } else { 1 });
    let config = Config { cases: AT_ONCE, failure_persistence: None, ..Config::default() };
    for (name, target) in targets {
        let seeds = seeds(program, name);
        let rng = TestRng::deterministic_rng(config.rng_algorithm);
        let mut runner = TestRunner::new_with_rng(config.clone(), rng);
        let start = Instant::now();
        while start.elapsed() < each {
            let edits = (any::<Index>(), prop::collection::vec(edit(), 1..6));
            let taken = runner.run(&edits, |(seed, edits)| {
                target(&changed(seed.get::<Vec<u8>>(&seeds), &edits, &seeds));
                Ok(())
            });
            taken.unwrap_or_else(|error| {
                panic!("{program}/{name}, seeds in the order of their names: {error}")
            });
        }
    }
}

/// In the order of their names: a change tells a seed by its number.
fn seeds(program: &str, name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(program).join(name);
    let entries = std::fs::read_dir(folder).unwrap_or_else(|_| panic!("{name} has no seeds"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no seeds");
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// One change of an input.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index, usize),
    Double(Index, usize),
    Put(Index, Vec<u8>),
    /// Some bytes of another seed.
    Splice(Index, Index, Index, usize),
    End(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let words = ["0", "-1", "18446744073709551616", "\0", "\u{202e}", "\n", "\"", "{", "]", "../"];
    let text = prop::sample::select(words.to_vec());
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        (at(), 1..64_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (at(), 1..4096_usize).prop_map(|(at, length)| Edit::Double(at, length)),
        (at(), text).prop_map(|(at, text)| Edit::Put(at, text.as_bytes().to_vec())),
        (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Edit::Put(at, bytes)),
        (at(), at(), at(), 1..512_usize)
            .prop_map(|(at, of, from, length)| Edit::Splice(at, of, from, length)),
        at().prop_map(Edit::End),
    ]
}

fn changed(seed: &[u8], edits: &[Edit], seeds: &[Vec<u8>]) -> Vec<u8> {
    let part = |bytes: &[u8], from: usize, count: usize| {
        bytes[from..bytes.len().min(from.saturating_add(count))].to_vec()
    };
    let mut bytes = seed.to_vec();
    for edit in edits {
        let length = bytes.len();
        // Behind the last byte is a place, too.
        let place = |at: &Index| at.index(length + 1);
        match edit {
            Edit::Set(at, _) | Edit::Flip(at, _) if place(at) == length => {}
            Edit::Set(at, byte) => bytes[place(at)] = *byte,
            Edit::Flip(at, bit) => bytes[place(at)] ^= 1 << bit,
            Edit::Cut(at, count) => {
                let (from, to) = (place(at), length.min(place(at) + count));
                bytes.drain(from..to);
            }
            Edit::Double(at, count) => {
                let (at, doubled) = (place(at), part(&bytes, place(at), *count));
                bytes.splice(at..at, doubled);
            }
            Edit::Put(at, put) => {
                let at = place(at);
                bytes.splice(at..at, put.iter().copied());
            }
            Edit::Splice(at, of, from, count) => {
                let other = of.get(seeds);
                let (at, taken) = (place(at), part(other, from.index(other.len() + 1), *count));
                bytes.splice(at..at, taken);
            }
            Edit::End(at) => bytes.truncate(place(at)),
        }
    }
    bytes
}
