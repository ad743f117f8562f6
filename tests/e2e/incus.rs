//! Incus: a real server, and bring-ups on it.

mod rig;
