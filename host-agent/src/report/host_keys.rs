//! Host keys as cards: the fingerprint is counted from the key, never believed.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use firstlight_shared::wire::HostKey;
use sha2::{Digest as _, Sha256};

use super::bound;
use super::page::HostKeyCard;
use super::randomart::randomart;

pub(super) fn card(key: &HostKey) -> HostKeyCard {
    let mut words = key.public_key.split_ascii_whitespace();
    let blob = words.nth(1).and_then(|base64| STANDARD.decode(base64).ok());
    let blob = blob.filter(|blob| string(blob).is_some_and(|(kind, _)| kind == key.kind.as_bytes()));
    let family = family(&key.kind);
    let Some(blob) = blob else {
        return HostKeyCard {
            kind: bound::word(&key.kind),
            family,
            bits: None,
            fingerprint: bound::word(&key.fingerprint),
            contradicts: true,
            public_key: bound::key(&key.public_key),
            randomart: Vec::new(),
        };
    };
    let digest = Sha256::digest(&blob);
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(digest));
    let bits = bits(&key.kind, &blob);
    HostKeyCard {
        kind: bound::word(&key.kind),
        contradicts: fingerprint != key.fingerprint,
        fingerprint,
        public_key: bound::key(&key.public_key),
        randomart: randomart(&digest, &family, bits),
        family,
        bits,
    }
}

/// As `ssh-keygen -l` shows it.
fn family(kind: &str) -> String {
    match kind {
        "ssh-ed25519" => "ED25519".to_owned(),
        "ssh-rsa" => "RSA".to_owned(),
        kind if kind.starts_with("ecdsa-sha2-") => "ECDSA".to_owned(),
        other => bound::word(other),
    }
}

fn bits(kind: &str, blob: &[u8]) -> Option<u32> {
    match kind {
        "ssh-ed25519" | "ecdsa-sha2-nistp256" => Some(256),
        "ecdsa-sha2-nistp384" => Some(384),
        "ecdsa-sha2-nistp521" => Some(521),
        "ssh-rsa" => {
            let (_, rest) = string(blob)?;
            let (_exponent, rest) = string(rest)?;
            let (modulus, _) = string(rest)?;
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let first = modulus.get(zeros)?;
            let whole = u32::try_from(modulus.len() - zeros).ok()?.checked_mul(8)?;
            Some(whole - first.leading_zeros())
        }
        _ => None,
    }
}

/// The first string of SSH's wire format (RFC 4251) and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Against the real program: kind, size, fingerprint and picture.
    #[test]
    fn a_card_is_what_ssh_keygen_draws() {
        let folder = tempfile::tempdir().unwrap();
        for (round, (name, size)) in [
            ("ed25519", ""),
            ("ed25519", ""),
            ("ecdsa", "256"),
            ("ecdsa", "521"),
            ("rsa", "2048"),
            ("rsa", "3072"),
        ]
        .into_iter()
        .enumerate()
        {
            let path = folder.path().join(format!("key{round}"));
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-N", "", "-C", "", "-t", name, "-f"]).arg(&path);
            if !size.is_empty() {
                make.args(["-b", size]);
            }
            assert!(make.status().unwrap().success());
            let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
            let drawn = Command::new("ssh-keygen").arg("-lvf").arg(&path).output().unwrap();
            let drawn = String::from_utf8(drawn.stdout).unwrap();
            let mut lines = drawn.lines();
            let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
            let kind = public.split(' ').next().unwrap().to_owned();
            let fingerprint = first[1].to_owned();
            let key =
                HostKey { kind, fingerprint: fingerprint.clone(), public_key: public.trim().to_owned() };
            let card = card(&key);
            assert_eq!(card.bits.map(|bits| bits.to_string()).as_deref(), Some(first[0]));
            assert_eq!(format!("({})", card.family), *first.last().unwrap());
            assert_eq!((card.fingerprint, card.contradicts), (fingerprint, false));
            assert_eq!(card.randomart, lines.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_fingerprint_of_another_key_is_not_believed() {
        let key = |public: &str| HostKey {
            kind: "ssh-ed25519".into(),
            fingerprint: "SHA256:lie".into(),
            public_key: public.into(),
        };
        let real = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let card_of = card(&key(real));
        assert!(
            card_of.contradicts
                && card_of.fingerprint.starts_with("SHA256:")
                && card_of.randomart.len() == 11
        );
        for broken in ["", "ssh-ed25519", "ssh-ed25519 !!", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2E="] {
            let card = card(&key(broken));
            assert!(card.contradicts && card.randomart.is_empty(), "{broken}: {card:?}");
        }
        // A modulus that is nothing but zeros, and one that is cut.
        let blob = |modulus: &[u8]| {
            let mut blob = Vec::new();
            for part in [b"ssh-rsa".as_slice(), &[1, 0, 1], modulus] {
                blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
                blob.extend(part);
            }
            blob
        };
        assert_eq!(bits("ssh-rsa", &blob(&[0, 0])), None);
        assert_eq!(bits("ssh-rsa", &blob(&[0, 0x80, 1])), Some(16));
        assert_eq!(bits("ssh-rsa", &blob(&[1])[..10]), None);
    }
}
