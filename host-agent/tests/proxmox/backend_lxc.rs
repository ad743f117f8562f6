//! Containers on the simulated cluster, driven stage by stage as the engine does it.

mod changes;
mod fields;
mod lost;
mod restored;
mod rig;
mod undone;
mod whole;
