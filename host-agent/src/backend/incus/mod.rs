//! Incus: containers and virtual machines, over its unix socket or HTTPS.

pub mod client;
