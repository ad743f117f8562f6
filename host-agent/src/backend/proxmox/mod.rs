//! Proxmox VE: containers and virtual machines, driven by an API token.

pub mod client;
