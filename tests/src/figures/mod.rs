//! `cargo xtask bench skeleton`: our times against their floors, interleaved in one run, so that the machine's mood
//! is the same for both. Ratios are what counts; the milliseconds are this machine's.

mod bring_up;
mod companion;
mod guest;
mod identity;
mod incus;

use std::time::Duration;

use anyhow::Result;

use crate::golden::{self, Variant};
use crate::{build, packages};
pub use companion::{engine, golden, proxmox, web};
pub use guest::{Runs, guest};
pub use incus::incus;

pub fn skeleton(release: bool) -> Result<()> {
    anyhow::ensure!(nix::unistd::geteuid().is_root(), "the figures need real guests: run this as root");
    packages::ensure(packages::GUESTS)?;
    let programs = build::programs(release)?;
    let goldens = golden::ensure(&programs.guest, &[Variant::Agent, Variant::Floor])?;
    println!("{:<58} {:>12} {:>12} {:>6}  aim", "median of interleaved runs", "ours", "floor", "ratio");
    bring_up::measure(&programs.companion, &goldens)?.print("bring-up of one guest: `up` to done", "1.10");
    identity::measure(&goldens)?.print("identity phase against `ssh-keygen -A`", "0.20");
    Ok(())
}

/// Times of one thing done in two ways.
#[derive(Debug, Default)]
struct Pairs {
    ours: Vec<Duration>,
    floor: Vec<Duration>,
}

impl Pairs {
    fn print(&mut self, what: &str, aim: &str) {
        let (ours, floor) = (median(&mut self.ours), median(&mut self.floor));
        let ratio = ours.as_secs_f64() / floor.as_secs_f64();
        let what = format!("{what} (n={})", self.ours.len());
        println!(
            "{what:<58} {:>9.1} ms {:>9.1} ms {ratio:>6.2}  <= {aim}",
            milliseconds(ours),
            milliseconds(floor)
        );
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_one() {
        let times = |list: &[u64]| list.iter().map(|time| Duration::from_millis(*time)).collect::<Vec<_>>();
        assert_eq!(median(&mut times(&[9, 1, 5])), Duration::from_millis(5));
        assert_eq!(median(&mut []), Duration::ZERO);
    }
}
