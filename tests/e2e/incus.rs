//! Incus: a real server, and bring-ups on it. Tests share one server, each in a project of its own, unless they kill it.

mod bring_up;
mod faults;
mod machines;
mod outages;
mod remote;
mod rig;
mod site;
