//! The command line as people and scripts use it: the real program against a companion of this process, with the real
//! store and a paper hypervisor.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

#[path = "../daemon/certificates.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod certificates;
#[path = "../hypervisor/mod.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod hypervisor;

mod alone;
mod asking;
mod authority;
mod elsewhere;
mod following;
mod goldens;
mod hooks;
mod hooks_tls;
mod inventory;
mod lives;
mod receiver;
mod rig;
mod signals;
mod streams;
mod telling;
mod terminal;
mod traces;
mod trusting;
mod waiting;
