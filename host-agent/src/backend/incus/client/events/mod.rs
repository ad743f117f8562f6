//! What the server tells unasked: one socket for each project, shared by all who listen.

mod event;
mod hub;
mod socket;

pub use event::{Lifecycle, Told};
pub use hub::Events;
pub(super) use hub::Hubs;
pub(super) use socket::open;

#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_event(text: &str) {
    drop(event::read(text));
}
