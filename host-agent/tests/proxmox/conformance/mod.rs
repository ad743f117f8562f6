//! What others made of Proxmox's API: PyPI's `fakepve`, its copy of the real schema and its server.
//!
//! It is installed by `cargo xtask test`, which hands these tests a Python that has it.

mod bring_up;
mod playbook;
mod requests;
mod schema;
mod server;
