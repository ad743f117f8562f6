//! Bring-ups on the real embedded store and the real runner, with a hypervisor on paper.

mod apply;
mod beacons;
mod budgets;
mod changes;
mod endpoints;
mod failing;
mod lives;
pub(super) mod paper;
mod rig;
mod secrets;
mod several;
mod waiting;
