//! Ports for servers of tests, benches and demos.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as Name, UnixListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

/// Below those that the kernel gives to whoever asks for any, or connects (32768 and up).
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port at which nobody listens, and that no other process of ours gets until this one ends: another test's server, or
/// somebody's connection, would take one that was only free a moment ago.
///
/// # Panics
/// None of ten thousand is free.
pub fn free() -> u16 {
    static HELD: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes at the same time begin elsewhere.
    let begin = u16::try_from(process::id() % 97 * 101).unwrap_or_default();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(step) % COUNT;
        // The name is held by whoever listens on it, and goes with the process.
        let Ok(name) = Name::from_abstract_name(format!("firstlight-port-{port}")) else { continue };
        let Ok(held) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).push(held);
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}

/// Of this machine itself.
pub fn free_address() -> SocketAddr {
    ([127, 0, 0, 1], free()).into()
}
