//! Real guests behind the simulated Proxmox VE.

mod api;
mod clones;
mod demo;
mod guests;
mod machines;
mod server;
pub(crate) mod site;
