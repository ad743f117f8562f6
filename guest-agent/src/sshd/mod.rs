//! The SSH server: how it is configured, what it really serves, and how it learns a new key.

pub(crate) mod config;

pub(crate) use config::SshdConfig;
