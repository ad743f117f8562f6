//! Retry policy as arithmetic: nobody sleeps here.

use std::time::Duration;

/// Exponential delay with full upper-half jitter.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// Delay before attempt `attempt + 1` (attempts count from 1). `random` is any uniform number: the delay lies
    /// in the upper half of the exponential step, so that a crowd spreads out and nobody retries at once.
    pub fn delay(&self, attempt: u32, random: u32) -> Duration {
        let step = self.first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let half = step.min(self.max) / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_limit_and_stay_in_the_upper_half() {
        let policy = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };
        for (attempt, low, high) in
            [(1, 50, 100), (2, 100, 200), (4, 400, 800), (10, 2500, 5000), (99, 2500, 5000)]
        {
            assert_eq!(policy.delay(attempt, 0), Duration::from_millis(low));
            assert_eq!(policy.delay(attempt, u32::MAX), Duration::from_millis(high));
        }
    }
}
