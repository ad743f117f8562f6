//! The simulated Proxmox VE beside what was recorded from a real one, and over its wire.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod contract;
