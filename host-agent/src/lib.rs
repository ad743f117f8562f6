//! Firstlight's companion: brings guests up, takes their reports, and undoes what it did when something fails.
//!
//! `cli, daemon -> web -> http -> report -> bringup, intake -> job, backend, store -> firstlight_shared`: imports point this way only.
//! `golden` stands beside the backends, below `cli`; `packing` below both.

pub mod backend;
pub mod bringup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod ending;
pub mod evidence;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod golden;
pub mod http;
pub mod identities;
pub mod intake;
pub mod job;
pub mod metrics;
pub mod outbox;
pub mod outcome;
mod packing;
pub mod report;
mod ssh_ca;
mod ssh_trust;
pub mod store;
mod tls;
pub mod traces;
pub mod web;
pub mod webhook;
