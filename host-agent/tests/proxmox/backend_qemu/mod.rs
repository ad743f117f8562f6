//! Machines on the simulated Proxmox VE: brought up, broken at each call, and removed without a trace.

mod breaking;
mod keeping;
mod rig;
mod talking;
mod whole;
