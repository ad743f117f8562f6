//! Private keys in DER: told by their first fields, and that they fill the file exactly.

use memchr::memmem;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// 1.2.840.113549.1.5: password-based encryption (RFC 8018).
const PKCS5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
/// 1.2.840.113549.1.12.10.1: bags of PKCS #12 (RFC 7292); the first two kinds hold keys, and they are not hidden themselves.
const BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
/// The shortest modulus of RSA or prime of DSA that is looked for, in bytes.
const LONG: usize = 64;

/// What the bytes of a whole file are, if they are a key.
pub(super) fn recognise(bytes: &[u8]) -> Option<&'static str> {
    let (SEQUENCE, fields, []) = next(bytes)? else { return None };
    let (kind, first, rest) = next(fields)?;
    if kind == SEQUENCE {
        // EncryptedPrivateKeyInfo (RFC 5958): how it is encrypted, and the rest.
        let (OID, how, _) = next(first)? else { return None };
        let (OCTETS, _, []) = next(rest)? else { return None };
        return how.starts_with(PKCS5).then_some("private key in DER");
    }
    let (INTEGER, [version]) = (kind, first) else { return None };
    let (kind, second, rest) = next(rest)?;
    let is_key = match (version, kind) {
        // PrivateKeyInfo, with a public half or without (RFC 5958).
        (0 | 1, SEQUENCE) => {
            matches!(next(second), Some((OID, ..))) && matches!(next(rest), Some((OCTETS, ..)))
        }
        // RSA (RFC 8017), and DSA as OpenSSL writes it: integers only.
        (0, INTEGER) => second.len() >= LONG && matches!(next(rest), Some((INTEGER, ..))),
        // ECPrivateKey (RFC 5915).
        (1, OCTETS) => matches!(second.len(), 28 | 32 | 48 | 66),
        (3, SEQUENCE) => {
            let holds_keys = |at: usize| matches!(bytes.get(at + BAG.len()), Some(1 | 2));
            return memmem::find_iter(bytes, BAG).any(holds_keys).then_some("private key in PKCS #12");
        }
        _ => false,
    };
    is_key.then_some("private key in DER")
}

/// Kind and content of the first element, and what is behind it.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*kind, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[kind, 0x82], &length[..], content].concat()
    }

    fn sequence(fields: &[Vec<u8>]) -> Vec<u8> {
        element(SEQUENCE, &fields.concat())
    }

    #[test]
    fn keys_are_told_from_certificates_public_keys_and_parameters() {
        let version = |number: u8| vec![INTEGER, 1, number];
        let long = || element(INTEGER, &[7; 256]);
        let rsa = || sequence(&[element(OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), vec![5, 0]]);
        let encrypted = || sequence(&[element(OID, &[PKCS5, &[13]].concat()), sequence(&[])]);
        let bag = |kind: u8| element(OCTETS, &sequence(&[element(OID, &[BAG, &[kind]].concat())]));
        let (key, twelve) = (Some("private key in DER"), Some("private key in PKCS #12"));
        for (what, fields, expected) in [
            ("PKCS #8", vec![version(0), rsa(), element(OCTETS, &[1; 40])], key),
            ("encrypted PKCS #8", vec![encrypted(), element(OCTETS, &[1; 40])], key),
            ("PKCS #1", vec![version(0), long(), version(3), long()], key),
            ("elliptic curve", vec![version(1), element(OCTETS, &[1; 32])], key),
            ("PKCS #12", vec![version(3), sequence(&[bag(2)])], twelve),
            ("PKCS #12 of certificates", vec![version(3), sequence(&[bag(3)])], None),
            ("public key of RSA", vec![long(), version(3)], None),
            ("public key", vec![rsa(), vec![3, 2, 0, 1]], None),
            ("certificate", vec![sequence(&[long()]), rsa(), vec![3, 2, 0, 1]], None),
            ("parameters", vec![long(), version(2)], None),
            ("small numbers", vec![version(0), version(1), version(2)], None),
        ] {
            let bytes = sequence(&fields);
            assert_eq!(recognise(&bytes), expected, "{what}");
            assert_eq!(recognise(&[&bytes[..], b"x"].concat()), None, "{what}: it fills the file");
            assert_eq!(recognise(&bytes[..bytes.len() - 1]), None, "{what}: cut short");
        }
        for bytes in [&b""[..], b"0", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x00"] {
            assert_eq!(recognise(bytes), None);
        }
    }
}
