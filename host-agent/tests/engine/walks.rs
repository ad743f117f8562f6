//! The random walk, a short one; `cargo xtask test --full` takes thousands.

use crate::paper::{End, Walk, walk};
use crate::rig::tell;

/// `short`, or fifty times as many with FIRSTLIGHT_FULL.
fn walks(short: u64) -> u64 {
    if std::env::var_os("FIRSTLIGHT_FULL").is_some() { 50 * short } else { short }
}

#[tokio::test(start_paused = true)]
async fn a_random_walk_over_many_jobs_ends_well() {
    let mut jobs = 0;
    for seed in 0..walks(60) {
        let walked =
            walk(Walk { seed, guests: 12, turns: 250 }).await.unwrap_or_else(|what| panic!("{what}"));
        jobs += walked.jobs;
        assert!(
            walked.ends.contains_key(&End::Complete) && walked.ends.contains_key(&End::Clean),
            "{walked:?}"
        );
    }
    tell("random walks (jobs)", jobs, 1000);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_walks_the_same_way() {
    let walk_once = || walk(Walk { seed: 4711, guests: 8, turns: 150 });
    assert_eq!(walk_once().await.unwrap(), walk_once().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_long_walk_ends_as_well() {
    let mut jobs = 0;
    for seed in 7..7 + walks(1) {
        let walked =
            walk(Walk { seed, guests: 40, turns: 2000 }).await.unwrap_or_else(|what| panic!("{what}"));
        jobs += walked.jobs;
    }
    tell("long random walks (jobs)", jobs, 100);
}
