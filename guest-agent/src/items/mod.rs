//! The identity items of the shared table in this root: found, and at a first boot renewed where that is ours.

mod find;
mod late;
mod renew;

pub(crate) use find::{Found, Scan, find_at_first_boot};
pub(crate) use late::{late, late_among, renew_late};
pub(crate) use renew::renew_found;
#[cfg_attr(not(test), expect(unused_imports, reason = "sealing and lint are what they are for"))]
pub(crate) use {find::find, renew::reset};

#[cfg(test)]
mod tests;
