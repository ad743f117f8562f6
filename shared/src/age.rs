//! The age recipient of an ed25519 SSH key, as ssh-to-age derives it: for users of sops and agenix.
//!
//! Source: convert.go of Mic92/ssh-to-age: the Edwards point mapped to Curve25519 (birational map, as
//! BytesMontgomery of filippo.io/edwards25519), then bech32 of BIP 173 with the prefix `age`.

use bech32::{Bech32, Hrp};
use curve25519_dalek::edwards::CompressedEdwardsY;
use ssh_key::PublicKey;

/// `age1...`. None if the key is not of type ed25519, is no point of the curve, or is one of the few weak points,
/// for which anybody could decrypt.
pub fn recipient(key: &PublicKey) -> Option<String> {
    let point = CompressedEdwardsY(key.key_data().ed25519()?.0).decompress()?;
    if point.is_small_order() {
        return None;
    }
    let montgomery = point.to_montgomery();
    bech32::encode::<Bech32>(Hrp::parse_unchecked("age"), montgomery.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<String> {
        recipient(&PublicKey::from_openssh(line).unwrap())
    }

    /// Keys of ssh-to-age's own tests (cmd/ssh-to-age/test-assets) and the answers of its README.
    #[test]
    fn recipients_are_those_of_ssh_to_age() {
        for (key, expected) in [
            (
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOHz+U0YtjINc54dZiJNclfmEFifF7RXCFlNlTbuZBji",
                "age17044m9wgakla6pzftf4srtl3h5mcsr85jysgt5fg23zpnta8sfdqhzn452",
            ),
            (
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF/KPU3Z5LSjbBI6hrq25wCcseq2UpqSzUFZRr+ux6LM",
                "age1hjm3aujg9e79f5yth8a2cejzdjg5n9vnu96l05p70uvfpeltnpms7yy3pp",
            ),
            (
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIL2vjdqpppuCn7yPdF2muINriAG7zBWrsELKpPWkhn5",
                "age1v8zjc47jmlqwefyu66s0d4ke98qr4vnuj3cpvs4z9npfdw833dxqwjrhzv",
            ),
        ] {
            assert_eq!(of(key).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_keys_have_no_recipient() {
        let small = ssh_key::public::Ed25519PublicKey([0; 32]);
        assert_eq!(recipient(&PublicKey::from(small)), None);
        assert_eq!(
            of(
                "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc= x"
            ),
            None
        );
    }
}
