//! The simulated Proxmox VE: beside what was recorded from a real one, by itself, and over its wire.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod client;
mod contract;
mod seam;
mod semantics;
mod template;
mod wire;
