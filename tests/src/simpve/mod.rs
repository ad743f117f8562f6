//! `SimPve`: a Proxmox VE cluster that is not one, with the semantics and the words of the real API.
//!
//! [`world::World`] is the whole state and pure: nothing moves but by `call` and `advance`, so a table can test it.
//! [`wire::SimPve`] puts it behind HTTPS, with a CA of its own, in a thread of its own; the clock drives it, or the
//! test does ([`wire::Pace`]). [`faults`] break single calls, [`guests::Guests`] is the seam where [`real`] containers
//! and [`machines`] can take the place of scripted ones. What it says was recorded from the real code of PVE 9.2;
//! `tests/simpve` plays the recordings against it. What is only read from the code, not recorded, is marked where it stands.
//!
//! Not there: clones, guests as templates, snapshots, vzdump, cloud-init dumps, HA, quorum, migration, tickets.

pub mod access;
pub mod answer;
pub mod call;
mod cluster;
pub mod example;
pub mod faults;
pub mod guest;
pub mod guests;
mod lxc;
pub mod machines;
mod power;
pub mod profile;
pub mod property;
mod qemu;
pub mod random;
pub mod real;
mod route;
mod schema;
mod serve;
pub mod snapshot;
pub mod storage;
pub mod task;
mod tasks;
pub mod wire;
pub mod world;

pub use serve::serve;
