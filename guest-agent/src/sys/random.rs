//! Random bytes from the kernel.

use rand::rand_core::{Rng, UnwrapErr};
use rand::rngs::SysRng;

/// # Panics
/// Where the kernel has no getrandom(2) at all, so before Linux 3.17; openat2 is newer.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// # Panics
/// As [`random_bytes`].
pub(crate) fn fill_random(bytes: &mut [u8]) {
    UnwrapErr(SysRng).fill_bytes(bytes);
}
