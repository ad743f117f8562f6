//! The SSH server: how it is configured, what it really serves, and how it learns a new key.

pub(crate) mod config;
pub(crate) mod handshake;
mod signature;
#[cfg(test)]
pub(crate) mod testbed;
mod wire;

pub(crate) use config::SshdConfig;
