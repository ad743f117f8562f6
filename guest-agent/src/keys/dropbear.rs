//! Host keys in Dropbear's own form: what OpenSSH's private key holds, without its armour.
//!
//! Source: mkj/dropbear, `buf_put_ed25519_priv_key` in src/ed25519.c and `buf_put_ecdsa_priv_key` in src/ecdsa.c.

use ssh_key::private::{EcdsaKeypair, KeypairData};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, PrivateKey};
use zeroize::Zeroizing;

use super::{KeyError, KeyType};

/// A fresh key for the file of that name; none for one of a type that is not made here.
pub(crate) fn make(path: &str) -> Option<Result<Zeroizing<Vec<u8>>, KeyError>> {
    let kind = match path.rsplit('/').next()? {
        "dropbear_ed25519_host_key" => KeyType::Ed25519,
        "dropbear_ecdsa_host_key" => KeyType::Ecdsa,
        _ => return None,
    };
    let algorithm = match kind {
        KeyType::Ed25519 => Algorithm::Ed25519,
        _ => Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    };
    let key = PrivateKey::random(&mut OsRng, algorithm);
    let key = key.map_err(|source| KeyError::Make { kind: kind.as_str(), source });
    key.map(|key| packed(&key)).transpose()
}

fn packed(key: &PrivateKey) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    match key.key_data() {
        KeypairData::Ed25519(pair) => {
            string(&mut bytes, b"ssh-ed25519");
            string(&mut bytes, Zeroizing::new(pair.to_bytes()).as_slice());
        }
        KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public, private }) => {
            string(&mut bytes, b"ecdsa-sha2-nistp256");
            string(&mut bytes, b"nistp256");
            string(&mut bytes, public.as_bytes());
            number(&mut bytes, private.as_slice());
        }
        _ => return None,
    }
    Some(bytes)
}

/// RFC 4251, 5: `string`.
fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(text);
}

/// RFC 4251, 5: `mpint` of a number that is not negative.
fn number(bytes: &mut Vec<u8>, value: &[u8]) {
    let short = Zeroizing::new(value.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>());
    let padded = short.first().is_some_and(|first| first & 0x80 != 0);
    let mut whole = Zeroizing::new(Vec::with_capacity(short.len() + 1));
    whole.extend(padded.then_some(0));
    whole.extend(short.iter());
    string(bytes, &whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_the_type_that_its_file_s_name_says() {
        for (name, start, length) in [
            ("etc/dropbear/dropbear_ed25519_host_key", &b"\0\0\0\x0bssh-ed25519\0\0\0\x40"[..], 15 + 4 + 64),
            (
                "etc/dropbear/dropbear_ecdsa_host_key",
                b"\0\0\0\x13ecdsa-sha2-nistp256\0\0\0\x08nistp256\0\0\0\x41\x04",
                0,
            ),
        ] {
            let [one, other] = [make(name), make(name)].map(|made| made.unwrap().unwrap());
            assert!(one.starts_with(start) && one != other, "{name}");
            assert!(length == 0 || one.len() == length, "{name}");
        }
        assert!(make("etc/dropbear/dropbear_rsa_host_key").is_none());
    }

    #[test]
    fn numbers_are_the_shortest_and_positive() {
        for (value, expected) in [
            (&[0, 0, 1][..], &[0, 0, 0, 1, 1][..]),
            (&[0x80, 1], &[0, 0, 0, 3, 0, 0x80, 1]),
            (&[0], &[0, 0, 0, 0]),
        ] {
            let mut bytes = Vec::new();
            number(&mut bytes, value);
            assert_eq!(bytes, expected);
        }
    }
}
