//! `cargo xtask bench`: our times against their floors and peers, interleaved in one run, so that the machine's mood is the
//! same for both. Ratios are what counts; the milliseconds are this machine's.

mod all;
mod companion;
mod guest;
mod incus;
mod machine;
mod skeleton;
mod table;

use std::time::Duration;

pub use all::all;
pub use companion::{engine, fleet, golden, proxmox, web};
pub use guest::{Runs, guest};
pub use incus::incus;
pub use skeleton::skeleton;
pub use table::{Row, Table, median, milliseconds, spread};

/// Times of one thing done in two ways.
#[derive(Debug, Default)]
struct Pairs {
    ours: Vec<Duration>,
    floor: Vec<Duration>,
}
