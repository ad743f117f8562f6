//! The identity items of the shared table in this root: found, and at a first boot renewed where that is ours.

mod find;
mod late;
mod renew;

#[cfg(test)]
pub(crate) use find::find;
pub(crate) use find::{Found, Scan, find_all, find_at_first_boot};
pub(crate) use late::{late, late_among, renew_late};
#[cfg(test)]
pub(crate) use renew::reset;
pub(crate) use renew::{carry_out, renew_found};

#[cfg(test)]
pub(crate) mod tests;
