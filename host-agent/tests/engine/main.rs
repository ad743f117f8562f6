//! The engine against a world on paper: every step, every fault, every place to die.
//!
//! After each case the job is complete, or clean, or it needs an operator who is told the truth; and there never were two
//! of a guest, and nothing was done that the journal had not announced.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

#[path = "../paper/mod.rs"]
mod paper;

mod children;
mod crashes;
mod deadlines;
mod late;
mod leases;
mod matrix;
mod requests;
mod rig;
mod store;
mod unsettled;
mod walks;
