//! Waiting for a state, never for a time: every wait looks at the thing itself and has a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks `look` until it answers, at most for `limit`.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s for {what} in vain", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same in a runtime, for tests.
///
/// # Panics
/// It was in vain.
pub async fn until_so(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !look().await {
        assert!(Instant::now() < deadline, "waited {limit:?} for {what} in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
