//! End-to-end tests with real guests, by subject. `cargo xtask test` prepares what they need and runs them.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod bad_input;
mod baked;
mod beacon;
mod channels;
mod checks;
mod clones;
mod cloud;
mod cloud_seed;
mod companion_death;
mod companions;
mod control;
mod deadline;
mod demo;
mod fail_closed;
mod hostile_reports;
mod images;
mod incus;
mod jobs;
mod live_clones;
mod lives;
mod machine;
mod nixos;
mod packages;
mod proxmox;
mod recipes;
mod scenarios;
mod seal;
mod second_boot;
mod secrets;
mod ssh_keys;
mod ssh_trust;
mod static_binary;
mod support;
mod systemd_host;
mod units;
mod verify;
mod whole;

#[path = "../../host-agent/tests/postgres/mod.rs"]
mod postgres;
