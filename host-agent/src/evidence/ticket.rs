//! Challenges that a companion need not remember: it knows its own again, and when it gave them out.

use firstlight_shared::secret::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Milliseconds since the Unix epoch, big-endian; random bytes; the first half of an HMAC over both.
const PARTS: [usize; 3] = [8, 16, 16];

/// A challenge of now.
pub fn issue(key: &Secret, now_ms: u64) -> String {
    let mut bytes = now_ms.to_be_bytes().to_vec();
    bytes.extend(rand::random::<[u8; PARTS[1]]>());
    let seal = seal(key, &bytes);
    bytes.extend(seal);
    hex::encode(bytes)
}

/// When this challenge was given out; none if it is not of this key.
pub fn issued_at(key: &Secret, nonce: &str) -> Option<u64> {
    let bytes = hex::decode(nonce).ok().filter(|bytes| bytes.len() == PARTS.iter().sum::<usize>())?;
    let (said, sealed) = bytes.split_at(PARTS[0] + PARTS[1]);
    if !bool::from(seal(key, said).ct_eq(sealed)) {
        return None;
    }
    Some(u64::from_be_bytes(said[..PARTS[0]].try_into().ok()?))
}

fn seal(key: &Secret, bytes: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes keys of any length");
    mac.update(bytes);
    mac.finalize().into_bytes()[..PARTS[2]].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_known_again_and_no_other_is() {
        let (key, other) = (Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
        let nonce = issue(&key, 1_700_000_000_123);
        assert!(firstlight_shared::wire::is_nonce(&nonce));
        assert_eq!(issued_at(&key, &nonce), Some(1_700_000_000_123));
        assert_eq!(issued_at(&other, &nonce), None);
        assert_ne!(issue(&key, 1_700_000_000_123), nonce);
        let later = format!("f{}", &nonce[1..]);
        for wrong in [&*later, "", "zz", &nonce[2..]] {
            assert_eq!(issued_at(&key, wrong), None, "{wrong}");
        }
    }
}
