//! The corpora as a test, so that what fuzzing found once stays found. The tests of both programs take this file.

use std::path::Path;

/// As the programs name theirs.
type Target = (&'static str, fn(&[u8]));

/// Every target has seeds, and takes them all; and so many beginnings of each: what a crash in the middle of a write leaves.
pub(crate) fn is_taken(program: &str, targets: &[Target], beginnings: usize) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(program);
    for (name, target) in targets {
        let seeds = std::fs::read_dir(corpora.join(name)).unwrap_or_else(|_| panic!("{name} has no seeds"));
        let seeds: Vec<_> = seeds.map(|seed| std::fs::read(seed.unwrap().path()).unwrap()).collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in &seeds {
            target(seed);
            let step = seed.len() / beginnings + 1;
            (0..seed.len()).step_by(step).for_each(|end| target(&seed[..end]));
        }
    }
}
