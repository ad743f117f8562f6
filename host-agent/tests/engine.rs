//! The engine against a world on paper.

mod paper;

use paper::{Walk, walk};

#[tokio::test(start_paused = true)]
async fn a_short_walk() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let walked = walk(Walk { seed, guests: 10, turns: 200 }).await.unwrap();
    eprintln!("{seed}: {walked:?}");
}
