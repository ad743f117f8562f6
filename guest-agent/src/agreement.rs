//! One half of a Diffie-Hellman agreement, for TLS and for the SSH handshake.
//!
//! By the curves that make the host keys: ring's own would bring tables of 170 KB into the static binary.

use curve25519_dalek::montgomery::MontgomeryPoint;
use p256::ecdh::EphemeralSecret;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use ssh_key::rand_core::OsRng;
use zeroize::Zeroizing;

use crate::sys::random_bytes;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    X25519,
    P256,
}

/// A fresh secret, good for one agreement.
pub(crate) struct Agreement {
    secret: Secret,
    public: Vec<u8>,
}

enum Secret {
    X25519(Zeroizing<[u8; 32]>),
    P256(EphemeralSecret),
}

impl Agreement {
    pub(crate) fn start(curve: Curve) -> Self {
        match curve {
            Curve::X25519 => Self::x25519(Zeroizing::new(random_bytes())),
            Curve::P256 => {
                let secret = EphemeralSecret::random(&mut OsRng);
                let public = secret.public_key().to_encoded_point(false).as_bytes().to_vec();
                Self { secret: Secret::P256(secret), public }
            }
        }
    }

    fn x25519(secret: Zeroizing<[u8; 32]>) -> Self {
        let public = MontgomeryPoint::mul_base_clamped(*secret).to_bytes().to_vec();
        Self { secret: Secret::X25519(secret), public }
    }

    /// What the other side gets: 32 bytes, or an uncompressed point.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// The shared secret; none if the other side's value is no point of the curve, or one of the few that give the
    /// secret away. Source: RFC 7748, 6.1; RFC 5656, 4.
    pub(crate) fn complete(self, its_public: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        match self.secret {
            Secret::X25519(secret) => {
                let shared = MontgomeryPoint(its_public.try_into().ok()?).mul_clamped(*secret).to_bytes();
                (shared != [0; 32]).then(|| Zeroizing::new(shared))
            }
            Secret::P256(secret) => {
                let its_public = p256::PublicKey::from_sec1_bytes(its_public).ok()?;
                let shared = secret.diffie_hellman(&its_public);
                Some(Zeroizing::new((*shared.raw_secret_bytes()).into()))
            }
        }
    }
}

impl std::fmt::Debug for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agreement").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
    use ring::rand::SystemRandom;

    use super::*;

    #[test]
    fn the_example_of_rfc_7748_comes_out() {
        let bytes = |text: &str| <[u8; 32]>::try_from(hex(text)).unwrap();
        let alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
        let half = Agreement::x25519(Zeroizing::new(bytes(alice)));
        assert_eq!(half.public(), hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
        let shared = half.complete(&hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
        assert_eq!(
            shared.unwrap()[..],
            hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
        );
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// ring is the other side.
    #[test]
    fn both_sides_come_to_the_same_secret() {
        let random = SystemRandom::new();
        for (curve, its) in [(Curve::X25519, &X25519), (Curve::P256, &ECDH_P256)] {
            for _ in 0..8 {
                let own = Agreement::start(curve);
                let private = EphemeralPrivateKey::generate(its, &random).unwrap();
                let its_public = private.compute_public_key().unwrap();
                let own_public = UnparsedPublicKey::new(its, own.public().to_vec());
                let its_secret = agree_ephemeral(private, &own_public, <[u8]>::to_vec).unwrap();
                assert_eq!(own.complete(its_public.as_ref()).unwrap()[..], its_secret);
            }
        }
    }

    #[test]
    fn values_that_are_no_points_or_give_the_secret_away_are_refused() {
        let mut off_curve = Agreement::start(Curve::P256).public().to_vec();
        *off_curve.last_mut().unwrap() ^= 1;
        for (curve, value) in [
            (Curve::X25519, vec![0; 32]),
            (Curve::X25519, [&[1][..], &[0; 31]].concat()),
            (Curve::X25519, vec![9; 31]),
            (Curve::X25519, vec![]),
            (Curve::P256, off_curve),
            (Curve::P256, vec![0]),
            (Curve::P256, vec![4; 65]),
            (Curve::P256, vec![]),
        ] {
            assert!(Agreement::start(curve).complete(&value).is_none(), "{curve:?} {value:?}");
        }
    }
}
