//! The pages as a browser gets them: a real companion over TLS, the real store, a paper hypervisor. Each page that is
//! fetched is held to what all pages promise (see `html`).

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

#[path = "../daemon/certificates.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod certificates;
#[path = "../daemon/client.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod client;
#[path = "../hypervisor/mod.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod hypervisor;
#[path = "../cli/rig.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod rig;

mod acting;
mod api;
mod browser;
mod fleet;
mod forwarding;
mod guest;
mod house;
mod html;
mod living;
mod signing_in;
