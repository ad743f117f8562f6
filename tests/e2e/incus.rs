//! Incus: a real server, and bring-ups on it. Tests share one server, each in a project of its own, unless they kill it.

mod bring_up;
mod copies;
mod exports;
mod faults;
mod lives;
mod machines;
mod matrix;
mod operator;
mod outages;
mod proof;
mod remote;
mod rig;
mod secrets;
pub(crate) mod site;
