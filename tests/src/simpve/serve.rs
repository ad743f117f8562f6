//! `cargo xtask simpve`: the example cluster as a server, until Ctrl-C.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::example;
use super::profile::Profile;
use super::real::RealGuests;
use super::wire::{Pace, SimPve};
use crate::args::SimpveArguments;
use crate::packages;

/// # Errors
/// An address is taken, or the CA cannot be written.
pub fn serve(arguments: &SimpveArguments) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let profile = Profile::measured().scaled(arguments.scale);
    let mut world = example::cluster(arguments.nodes, profile.clone(), now, now);
    // Dropped after the server: nobody asks for guests any more when they end.
    let real = arguments.real.as_deref().map(real_guests).transpose()?;
    if let Some(real) = &real {
        world.machines = real.guests(&profile);
    }
    if arguments.small_token {
        example::add_small_token(&mut world);
    }
    let sim = SimPve::start_with(world, Pace::Auto, arguments.listen, arguments.keys.as_deref())?;
    if let Some(path) = &arguments.ca {
        std::fs::write(path, sim.authority())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    for (node, address) in sim.addresses() {
        println!("{node}\thttps://{address}\tsha256 of key {}", sim.key_pin(node).unwrap_or_default());
    }
    println!("token\t{}={}", example::TOKEN, example::SECRET);
    if arguments.small_token {
        println!("small token\t{}={}", example::SMALL_TOKEN, example::SECRET);
    }
    for golden in [example::CONTAINER_GOLDEN, example::BACKUP_SERVER_GOLDEN, example::MACHINE_GOLDEN] {
        println!("golden\t{golden}");
    }
    if let Some(real) = &real {
        println!("network\t{}", real.namespace());
        println!("reports\thttps://{}:PORT of a companion on this machine", real.gateway());
    }
    eprintln!("serving until Ctrl-C");
    let mut told = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        let problems = real.as_ref().map(RealGuests::problems).unwrap_or_default();
        problems[told..].iter().for_each(|problem| eprintln!("{problem}"));
        told = problems.len();
    }
    Ok(())
}

/// In a folder that their caretaker removes, also where this process is killed.
fn real_guests(golden: &Path) -> Result<RealGuests> {
    packages::ensure(packages::GUESTS)?;
    let folder = tempfile::Builder::new().prefix("firstlight-simpve-").tempdir()?.keep();
    RealGuests::start(
        &folder,
        &[(example::CONTAINER_GOLDEN, golden), (example::BACKUP_SERVER_GOLDEN, golden)],
    )
}
