//! `cargo xtask simpve`: the example cluster as a server, until Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::example;
use super::profile::Profile;
use super::wire::{Pace, SimPve};
use crate::args::SimpveArguments;

/// # Errors
/// An address is taken, or the CA cannot be written.
pub fn serve(arguments: &SimpveArguments) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let profile = Profile::measured().scaled(arguments.scale);
    let world = example::cluster(arguments.nodes, profile, now, now);
    let sim = SimPve::start(world, Pace::Auto, arguments.listen)?;
    if let Some(path) = &arguments.ca {
        std::fs::write(path, sim.authority())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    for (node, address) in sim.addresses() {
        println!("{node}\thttps://{address}\tsha256 of key {}", sim.key_pin(node).unwrap_or_default());
    }
    println!("token\t{}={}", example::TOKEN, example::SECRET);
    for golden in [example::CONTAINER_GOLDEN, example::BACKUP_SERVER_GOLDEN, example::MACHINE_GOLDEN] {
        println!("golden\t{golden}");
    }
    eprintln!("serving until Ctrl-C");
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
