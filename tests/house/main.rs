//! The house itself: what README says is true, and who may import whom.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod layering;
mod readme;
