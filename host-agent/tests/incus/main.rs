//! The client of Incus against what a real server answered, and against one with faults.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod calls;
mod contract;
#[cfg(feature = "e2e")]
mod doctor;
mod events;
mod fake;
mod faults;
mod following;
mod matrix;
#[cfg(feature = "e2e")]
mod places;
#[cfg(feature = "e2e")]
mod proxies;
#[cfg(feature = "e2e")]
mod real;
mod secrecy;
mod tls;
