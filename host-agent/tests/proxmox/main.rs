//! The client of Proxmox VE against what was recorded, against the API's description, and against a server with faults.

mod contract;
mod faults;
mod keeping;
mod pins;
mod schema;
mod secrecy;
mod server;
mod tasks;
