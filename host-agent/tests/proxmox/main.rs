//! The client of Proxmox VE against what was recorded, against the API's description, and against a server with faults.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod backend_lxc;
mod backend_place;
mod backend_qemu;
mod composed;
#[cfg(feature = "e2e")]
mod conformance;
mod contract;
mod doctor;
mod faults;
mod field;
mod findings;
mod hidden;
mod keeping;
mod matrix;
mod operator;
mod page;
mod pins;
mod refused;
mod schema;
mod secrecy;
mod secrets;
mod server;
mod silence;
mod standstill;
mod tasks;
mod trust;
mod two;
mod verify;
mod waits;
