//! Several companions, each a process of its own, on one PostgreSQL, with a paper hypervisor between them.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

#[path = "../hypervisor/mod.rs"]
mod hypervisor;
#[path = "../postgres/mod.rs"]
mod postgres;

mod budget;
mod companion;
mod death;
mod late;
mod outage;
mod queue;
mod reports;
mod requests;
mod rig;
