//! `cargo xtask incus`: a server for people, until Ctrl-C.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::{GOLDEN, IncusServer, SILENT_NETWORK, TIGHT_POOL};
use crate::args::IncusArguments;
use crate::golden::{self, Variant};
use crate::{build, packages};

/// # Errors
/// Not root, a tool is missing, or the server does not start.
pub fn serve(arguments: &IncusArguments) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    packages::ensure_incus()?;
    let golden = match &arguments.golden {
        Some(golden) => golden.clone(),
        None => own_golden()?,
    };
    let server = IncusServer::start(&[(GOLDEN, &golden)])?;
    println!("socket\t{}", server.socket().display());
    println!("https\thttps://{}", server.address());
    println!("certificate\t{}", server.certificate().display());
    println!("image\t{GOLDEN}");
    println!("pools\tdefault, {TIGHT_POOL} (too small for a golden)");
    println!("networks\tbr0, {SILENT_NETWORK} (without DHCP)");
    println!("reports\thttps://{}:PORT of a companion on this machine", server.gateway());
    println!("use\texport INCUS_DIR={}; incus launch {GOLDEN} web-01", server.directory().display());
    eprintln!("serving until Ctrl-C");
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn own_golden() -> Result<PathBuf> {
    packages::ensure(packages::GUESTS)?;
    let goldens = golden::ensure(&build::guest()?, &[Variant::Dhcp])?;
    Ok(golden::archive(&goldens, Variant::Dhcp))
}
