//! RSA-3072 key generation on crypto-primes; no `rsa` crate.
//!
//! Rules of FIPS 186-5 that matter: both primes of 1536 bits with the two top bits set (n has exactly 3072), far
//! apart, public exponent 65537, private exponent modulo lcm(p-1, q-1) and longer than half of n.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use crypto_bigint::{NonZero, U1536, U3072, Uint};
use firstlight_primes::prime;
use ssh_key::Mpint;
use ssh_key::private::{RsaKeypair, RsaPrivateKey};
use ssh_key::public::RsaPublicKey;

use super::KeyError;

const PRIME_BITS: u32 = 1536;
const EXPONENT: u64 = 65537;
/// |p - q| must exceed 2^(1536 - 100); Source: FIPS 186-5, A.1.3.
const MIN_DISTANCE_BITS: u32 = PRIME_BITS - 100;

/// One key pair; takes some hundred milliseconds of processor time, on two threads where there are two.
pub(super) fn make() -> Result<RsaKeypair, KeyError> {
    loop {
        let (p, q) = two_primes()?;
        // Larger first, so that the distance is a plain subtraction.
        let (p, q) = if p > q { (p, q) } else { (q, p) };
        if let Some(pair) = pair_of(&p, &q) {
            return Ok(pair);
        }
    }
}

/// The first two primes that any thread finds.
fn two_primes() -> Result<(U1536, U1536), KeyError> {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(2));
    let enough = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, enough) = (sender.clone(), &enough);
            scope.spawn(
                move || while !enough.load(Ordering::Relaxed) && sender.send(prime(enough)).is_ok() {},
            );
        }
        let next = || receiver.recv().unwrap_or(Err("its threads ended"));
        let found = next().and_then(|p| Ok((p, next()?)));
        enough.store(true, Ordering::Relaxed);
        found.map_err(|reason| KeyError::Primes { reason })
    })
}

/// None if this pair of primes breaks a rule; a new pair is then needed.
fn pair_of(p: &U1536, q: &U1536) -> Option<RsaKeypair> {
    if p.wrapping_sub(q).bits() <= MIN_DISTANCE_BITS {
        return None;
    }
    let n: U3072 = p.concatenating_mul(q);
    let (p1, q1) = (p.wrapping_sub(&Uint::ONE), q.wrapping_sub(&Uint::ONE));
    let divisor = Option::<NonZero<U1536>>::from(NonZero::new(p1.gcd(&q1)))?;
    let lambda: U3072 = p1.div_rem(&divisor).0.concatenating_mul(&q1);
    let lambda = Option::<NonZero<U3072>>::from(NonZero::new(lambda))?;
    let e = U3072::from_u64(EXPONENT);
    let d = Option::<U3072>::from(e.invert_mod(&lambda))?;
    let inverse = Option::<U1536>::from(q.invert_mod(&Option::<NonZero<U1536>>::from(NonZero::new(*p))?))?;
    // The proof: e and d are inverse to each other for lambda, and the CRT coefficient is one.
    let proved = n.bits() == 2 * PRIME_BITS
        && d.bits() > PRIME_BITS
        && e.mul_mod(&d, &lambda) == U3072::ONE
        && q.mul_mod(&inverse, &Option::<NonZero<U1536>>::from(NonZero::new(*p))?) == U1536::ONE;
    if !proved {
        return None;
    }
    Some(RsaKeypair {
        public: RsaPublicKey { e: mpint(&e)?, n: mpint(&n)? },
        private: RsaPrivateKey { d: mpint(&d)?, iqmp: mpint(&inverse)?, p: mpint(p)?, q: mpint(q)? },
    })
}

fn mpint<const LIMBS: usize>(number: &Uint<LIMBS>) -> Option<Mpint> {
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(LIMBS * 8));
    for word in number.as_words().iter().rev() {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Mpint::from_positive_bytes(&bytes[first..]).ok()
}
