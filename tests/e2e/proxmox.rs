//! Real guests behind the simulated Proxmox VE.

mod api;
mod guests;
mod server;
