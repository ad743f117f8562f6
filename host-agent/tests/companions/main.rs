//! Several companions, each a process of its own, on one PostgreSQL, with a paper hypervisor between them.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

#[path = "../hypervisor/mod.rs"]
mod hypervisor;
#[path = "../postgres/mod.rs"]
mod postgres;
#[allow(dead_code, reason = "`cargo xtask fleet` prints the rest")]
#[path = "../../benches/fleet/simulation/mod.rs"]
mod simulation;

mod budget;
mod companion;
mod death;
mod fleet;
mod late;
mod outage;
mod queue;
mod reports;
mod requests;
mod rig;
