//! Memory and latency over a run, in tenths of its time: what grows shows between the early and the late ones.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use firstlight_tests::memory::resident;

use super::book::Shot;
use super::percentile::percentile;

const EVERY: Duration = Duration::from_millis(500);
const TENTHS: u32 = 10;

/// Resident memory of all companions together, in MB of a million bytes, and the most of one of them.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    most: f64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Gauge(Arc<Mutex<Vec<Sample>>>);

/// One tenth of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenth {
    pub(crate) reports: usize,
    /// Milliseconds of the try that was answered: median, 99th percentile; none without an answer.
    pub(crate) median: Option<f64>,
    pub(crate) late: Option<f64>,
    /// The median of the biggest companion's memory; none while none ran.
    pub(crate) memory: Option<f64>,
}

impl Gauge {
    /// Watches these processes until it is aborted.
    pub(crate) fn watch(&self, ids: Arc<Vec<AtomicU32>>) -> tokio::task::JoinHandle<()> {
        let samples = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                // One that was killed has none.
                let memory = ids.iter().filter_map(|id| resident(id.load(Ordering::Relaxed)));
                if let Some(most) = memory.max() {
                    let sample = Sample { at: Instant::now(), most: most as f64 / 1e6 };
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                }
                tokio::time::sleep(EVERY).await;
            }
        })
    }

    /// The most that one companion ever had.
    pub(crate) fn most(&self) -> f64 {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().map(|sample| sample.most).fold(0.0, f64::max)
    }

    pub(crate) fn tenths(&self, start: Instant, end: Instant, shots: &[Shot]) -> Vec<Tenth> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let part = (end - start) / TENTHS;
        let within =
            |at: Instant, number: u32| at >= start + part * number && at < start + part * (number + 1);
        (0..TENTHS)
            .map(|number| {
                let took = shots.iter().filter(|shot| within(shot.at, number)).map(|shot| shot.took);
                let mut took: Vec<Duration> = took.collect();
                took.sort_unstable();
                let memory = samples.iter().filter(|sample| within(sample.at, number));
                let mut memory: Vec<f64> = memory.map(|sample| sample.most).collect();
                memory.sort_by(f64::total_cmp);
                let of = |share| (!took.is_empty()).then(|| percentile(&took, share));
                Tenth {
                    reports: took.len(),
                    median: of(0.5),
                    late: of(0.99),
                    memory: memory.get(memory.len() / 2).copied(),
                }
            })
            .collect()
    }
}
