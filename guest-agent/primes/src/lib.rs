//! The search for an RSA key's primes.
//!
//! A crate of its own, since generic code gets the optimisation of the crate that uses it: the guest's is for size, and
//! this takes most of the time of `firstlight-guest keys`.

use std::sync::atomic::{AtomicBool, Ordering};

use crypto_bigint::U1536;
use crypto_primes::hazmat::{SetBits, SmallFactorsSieveFactory};
use crypto_primes::{Flavor, is_prime, sieve_and_find};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// A random prime of 1536 bits, the two top bits set; or, once there are `enough`, any candidate at once, which nobody
/// then takes.
///
/// # Errors
/// Why the search failed; nothing that can be helped.
pub fn prime(enough: &AtomicBool) -> Result<U1536, &'static str> {
    let factory = SmallFactorsSieveFactory::new(Flavor::Any, U1536::BITS, SetBits::TwoMsb)
        .map_err(|_| "the sieve could not be made")?;
    sieve_and_find(&mut UnwrapErr(SysRng), factory, |_, candidate: &U1536| {
        enough.load(Ordering::Relaxed) || is_prime(Flavor::Any, candidate)
    })
    .map_err(|_| "no random candidates")?
    .ok_or("the sieve ran dry")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_long_odd_and_new_each_time() {
        let (p, q) = (prime(&AtomicBool::new(false)).unwrap(), prime(&AtomicBool::new(false)).unwrap());
        assert_ne!(p, q);
        for prime in [p, q] {
            assert!(is_prime(Flavor::Any, &prime) && prime.bits() == 1536);
            assert_eq!(prime >> (U1536::BITS - 2), U1536::from_u8(3));
        }
    }
}
