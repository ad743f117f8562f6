//! The simulated cluster, with the times of the real one.

use firstlight::clock::now_s;
use firstlight_tests::simpve::example;
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::wire::{Pace, SimPve};
use firstlight_tests::simpve::world::World;

/// Bring-ups at work at once on one node, as the companion has it where nothing else is said.
pub(crate) const AT_ONCE: usize = 4;
/// What the field's guests have more than their golden.
pub(crate) const DISK: &str = "10G";
pub(crate) const MOUNT: &str = "/mnt/spike-test";

/// The same for everybody: seed and clock do not change from round to round.
pub(crate) fn world() -> World {
    example::cluster(1, Profile::measured(), 7, now_s())
}

pub(crate) fn serve(world: World) -> SimPve {
    SimPve::on_loopback(world, Pace::Auto).unwrap()
}
