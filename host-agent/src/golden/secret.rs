//! Private keys and tokens by their look, wherever they lie.

use memchr::memmem;

/// Files up to this size are looked through; a key is small.
pub(super) const LARGEST: u64 = 64 << 10;

/// What the bytes of a file are, if they are a secret of a known kind.
pub(super) fn recognise(bytes: &[u8]) -> Option<&'static str> {
    if is_dropbear(bytes) {
        return Some("private key of Dropbear");
    }
    if has(bytes, b"PRIVATE KEY") && lines(bytes).any(|(line, rest)| is_armour(line) && has_body(rest)) {
        return Some("private key in PEM");
    }
    for (mark, kind) in
        [(&b"PuTTY-User-Key-File-"[..], "private key of PuTTY"), (b"AGE-SECRET-KEY-1", "age key")]
    {
        if has(bytes, mark) && lines(bytes).any(|(line, _)| line.starts_with(mark)) {
            return Some(kind);
        }
    }
    if has(bytes, b"PrivateKey") && lines(bytes).any(|(line, _)| is_wireguard(line)) {
        return Some("key of WireGuard");
    }
    if has(bytes, b"\"private_key\"") && has(bytes, b"\"-----BEGIN ") {
        return Some("key of a cloud's service account");
    }
    if has(bytes, b"aws_secret_access_key") && lines(bytes).any(|(line, _)| is_aws(line)) {
        return Some("credentials for AWS");
    }
    None
}

fn has(bytes: &[u8], mark: &[u8]) -> bool {
    memmem::find(bytes, mark).is_some()
}

/// Each line, trimmed, and what is behind it.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest[..end].trim_ascii();
        rest = rest.get(end + 1..).unwrap_or_default();
        Some((line, rest))
    })
}

fn is_armour(line: &[u8]) -> bool {
    line.starts_with(b"-----BEGIN ")
        && (line.ends_with(b"PRIVATE KEY-----") || line.ends_with(b"PRIVATE KEY BLOCK-----"))
}

/// A line that only talks of keys has no key behind it.
fn has_body(rest: &[u8]) -> bool {
    let Some((line, _)) = lines(rest).find(|(line, _)| !line.is_empty()) else { return false };
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    (line.len() >= 16 && line.iter().all(base64))
        || [&b"Proc-Type:"[..], b"DEK-Info:", b"Version:", b"Comment:"]
            .iter()
            .any(|head| line.starts_with(head))
}

/// `PrivateKey = ` and 32 bytes in base64.
fn is_wireguard(line: &[u8]) -> bool {
    let Some(value) = line.strip_prefix(b"PrivateKey").map(<[u8]>::trim_ascii_start) else { return false };
    let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
    value.len() == 44
        && value.ends_with(b"=")
        && value[..43].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn is_aws(line: &[u8]) -> bool {
    let Some(value) = line.strip_prefix(b"aws_secret_access_key") else { return false };
    let value = value.trim_ascii_start().strip_prefix(b"=").unwrap_or_default().trim_ascii();
    value.len() == 40
}

/// Length and name of the type, as SSH writes strings; public keys are never kept so in a file.
fn is_dropbear(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let Some(name) = usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|length| rest.get(..length))
    else {
        return false;
    };
    matches!(
        name,
        b"ssh-rsa"
            | b"ssh-dss"
            | b"ssh-ed25519"
            | b"ecdsa-sha2-nistp256"
            | b"ecdsa-sha2-nistp384"
            | b"ecdsa-sha2-nistp521"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_texts_about_keys() {
        const BODY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n";
        for (text, expected) in [
            (format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}"), Some("private key in PEM")),
            (
                format!("chain\n-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\n{BODY}"),
                Some("private key in PEM"),
            ),
            (format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{BODY}"), Some("private key in PEM")),
            ("-----BEGIN PRIVATE KEY-----".to_owned(), None),
            ("-----BEGIN PRIVATE KEY-----\nand so on\n".to_owned(), None),
            ("it says `-----BEGIN PRIVATE KEY-----`\n".to_owned(), None),
            (format!("-----BEGIN CERTIFICATE-----\n{BODY}"), None),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n".to_owned(), Some("private key of PuTTY")),
            ("# created\nAGE-SECRET-KEY-1QQQ\n".to_owned(), Some("age key")),
            (format!("[Interface]\nPrivateKey = {}=\n", "A".repeat(43)), Some("key of WireGuard")),
            ("[Interface]\nPrivateKey = (here)\n".to_owned(), None),
            (
                "{\"private_key\": \"-----BEGIN PRIVATE KEY-----\\nMII\"}".to_owned(),
                Some("key of a cloud's service account"),
            ),
            (format!("aws_secret_access_key = {}\n", "x".repeat(40)), Some("credentials for AWS")),
            ("aws_secret_access_key = YOURS\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(recognise(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(recognise(b"\0\0\0\x0bssh-ed25519\0\0\0\x40xx"), Some("private key of Dropbear"));
        for bytes in [&b"\xff\xff\xff\xffssh-rsa"[..], b"\0\0\0\x07ssh-", b"\0"] {
            assert_eq!(recognise(bytes), None);
        }
    }
}
