//! Attacks on `firstlight serve` as a process of its own: what hostile guests, a hostile hypervisor, hostile archives and
//! local users do. Beside each, honest guests report and are measured, and the process's peak of memory has a bound. What is
//! promised: docs/SECURITY.md.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

#[path = "../hypervisor/post.rs"]
mod post;
#[path = "../hypervisor/report.rs"]
mod report;
#[path = "../proxmox/server.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod server;

mod archives;
mod bodies;
mod connections;
mod forgeries;
mod honest;
mod hypervisor;
mod locals;
mod raw;
mod site;
mod tls;
