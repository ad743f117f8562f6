//! The house itself: what README and the docs say is true, and who may import whom.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod circles;
mod codes;
mod failures;
mod hints;
mod layering;
mod numbers;
mod pages;
mod readme;
mod security;
mod sysprep;
