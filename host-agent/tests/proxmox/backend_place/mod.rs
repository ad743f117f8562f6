//! What the backend on Proxmox looks at, and what it chooses, on a simulated cluster.

mod allocation;
mod looking;
mod refusals;
mod rig;
mod surveys;
