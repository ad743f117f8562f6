//! The daemon over real sockets: who is let in, what a reload changes, how it ends.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod access;
mod certificates;
mod client;
mod life;
mod peer;
#[path = "../hypervisor/post.rs"]
mod post;
mod rig;
