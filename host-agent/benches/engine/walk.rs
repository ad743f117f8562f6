//! The long random walk: many jobs at once, with faults, deaths and requests interleaved, in time that is made up. The
//! same seed walks the same way.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::paper::{End, Walk, walk};
use firstlight_tests::figures::{Row, Table};

/// Walks of one run; the seeds follow one another.
const WALKS: u64 = 200;
const GUESTS: usize = 12;
const TURNS: usize = 250;

/// False: a job ended wrongly, which was said with the seed that replays it.
pub(crate) fn measure(seed: Option<u64>, table: &mut Table) -> bool {
    let first = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let walks = if seed.is_some() { 1 } else { WALKS };
    eprintln!("random walk: seed {first}, and the {} after it", walks - 1);
    let (start, mut jobs, mut events) = (Instant::now(), 0, 0);
    let mut ends = BTreeMap::<End, usize>::new();
    let mut wrong = None;
    for seed in first..first.saturating_add(walks) {
        // In a thread of its own: the time of this runtime stands still while nobody works.
        let walking = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.unwrap().block_on(walk(Walk { seed, guests: GUESTS, turns: TURNS }))
        });
        match walking.join() {
            Ok(Ok(walked)) => {
                jobs += walked.jobs;
                events += walked.events;
                for (end, count) in walked.ends {
                    *ends.entry(end).or_default() += count;
                }
            }
            Ok(Err(what)) => {
                eprintln!("{what}");
                wrong.get_or_insert(seed);
            }
            Err(_) => {
                wrong.get_or_insert(seed);
            }
        }
    }
    if let Some(seed) = wrong {
        eprintln!("replay it: cargo xtask bench engine --seed {seed}");
    }
    let ended: Vec<String> = ends.iter().map(|(end, count)| format!("{count} {end:?}")).collect();
    table.add(Row {
        figure: format!(
            "random walk from seed {first}: {} faults, deaths and requests",
            walks.saturating_mul(TURNS as u64)
        ),
        ours: match wrong {
            Some(seed) => format!("a job ended wrongly: --seed {seed}"),
            None => format!("{jobs} jobs, {events} events, {:.0} s", start.elapsed().as_secs_f64()),
        },
        beside: ended.join(", "),
        aim: "complete, clean, or an operator told truly".into(),
        met: Some(wrong.is_none()),
    });
    wrong.is_none()
}
