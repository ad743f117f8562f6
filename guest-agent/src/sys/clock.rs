//! Time: wall clock, time since boot, and when PID 1 started.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use super::Machine;
use crate::paths;

/// USER_HZ, the unit of /proc/PID/stat: 100 on every architecture that systemd runs on. Source: proc_pid_stat(5).
const TICKS_PER_SECOND: u64 = 100;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(super) live: bool,
}

impl Clock {
    /// Since the Unix epoch; zero for a clock before it.
    pub(crate) fn now(self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    pub(crate) fn now_ms(self) -> u64 {
        millis(self.now())
    }

    /// Since the kernel's boot, suspend included; the time base of /proc/PID/stat. None for a foreign root.
    pub(crate) fn since_boot(self) -> Option<Duration> {
        let time = self.live.then(|| clock_gettime(ClockId::CLOCK_BOOTTIME).ok())??;
        Some(Duration::new(u64::try_from(time.tv_sec()).ok()?, u32::try_from(time.tv_nsec()).ok()?))
    }
}

impl Machine {
    /// How long PID 1 has been running: the age of this boot, in a container too. None for a foreign root.
    pub(crate) fn age_of_boot(&self) -> Option<Duration> {
        let now = self.clock().since_boot()?;
        let stat = self.root.read_text(paths::PID1_STAT).ok()??;
        now.checked_sub(start_of(&stat)?)
    }
}

/// Field 22 of /proc/PID/stat. The second field is in brackets and may itself hold brackets and spaces.
fn start_of(stat: &str) -> Option<Duration> {
    let ticks: u64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_millis(ticks.checked_mul(1000 / TICKS_PER_SECOND)?))
}

/// Milliseconds since it was started, on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    pub(crate) fn elapsed_ms(self) -> u64 {
        millis(self.elapsed())
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_survives_an_odd_process_name() {
        let fields: Vec<String> = (3..=30).map(|field| format!("{field}00")).collect();
        for name in ["systemd", "a) b (", ")"] {
            let stat = format!("1 ({name}) {}", fields.join(" "));
            assert_eq!(start_of(&stat), Some(Duration::from_secs(22)), "{name}");
        }
        for wrong in ["", "1 (x)", "1 x S 0", "1 (x) a b c"] {
            assert_eq!(start_of(wrong), None, "{wrong}");
        }
    }
}
