//! Private keys and tokens by their look, wherever they lie.

mod der;

use memchr::memmem;

/// Files up to this size are looked through; a key is small.
pub(super) const LARGEST: u64 = 64 << 10;

/// What a file is by its path and bytes, if it is a secret of a known kind.
pub(super) fn recognise(path: &str, bytes: &[u8]) -> Option<&'static str> {
    if let Some(kind) = der::recognise(bytes) {
        return Some(kind);
    }
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
    if has(bytes, b"PrivateKey") && lines(bytes).any(|(line, _)| is_wireguard(line))
        || is_wireguard_key(bytes.trim_ascii()) && is_of_wireguard(path)
    {
        return Some("key of WireGuard");
    }
    if has(bytes, b"\"private_key\"") && has(bytes, b"\"-----BEGIN ") {
        return Some("key of a cloud's service account");
    }
    if [&b"aws_secret_access_key"[..], b"AWS_SECRET_ACCESS_KEY"].iter().any(|mark| has_aws(bytes, mark)) {
        return Some("credentials for AWS");
    }
    // The configuration itself, and no text about it.
    if bytes.trim_ascii_start().starts_with(b"{") && has(bytes, b"\"auths\"") && has_login(bytes) {
        return Some("credentials for a registry of containers");
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
    is_wireguard_key(value.strip_prefix(b"=").unwrap_or_default().trim_ascii())
}

/// 32 bytes in base64.
fn is_wireguard_key(value: &[u8]) -> bool {
    value.len() == 44
        && value.ends_with(b"=")
        && value[..43].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// A file of its own, as `wg genkey` writes it. A public key looks the same, and only its name tells.
fn is_of_wireguard(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let name = name.to_ascii_lowercase();
    let is_named = name.starts_with("wg") && (name.ends_with("key") || name.ends_with(".priv"));
    !name.contains("pub") && (folder.contains("wireguard") || is_named || name == "privatekey")
}

/// As in a shell's or a unit's environment, an INI, YAML or JSON file; not AWS's own example.
fn has_aws(bytes: &[u8], mark: &[u8]) -> bool {
    memmem::find_iter(bytes, mark).any(|at| {
        let value = value_after(&bytes[at + mark.len()..]);
        let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        value.iter().take_while(|byte| is_key(byte)).count() == 40 && !value[..40].ends_with(b"EXAMPLEKEY")
    })
}

/// Docker's `config.json`: user and password in base64, or a token.
fn has_login(bytes: &[u8]) -> bool {
    [&b"\"auth\""[..], b"\"identitytoken\"", b"\"registrytoken\"", b"\"password\""].iter().any(|mark| {
        memmem::find_iter(bytes, mark).any(|at| {
            let value = value_after(&bytes[at + mark.len()..]);
            value.iter().take_while(|byte| byte.is_ascii_graphic() && **byte != b'"').count() >= 8
        })
    })
}

/// What is behind a key, its closing quote, `=` or `:`, and the value's opening quote.
fn value_after(bytes: &[u8]) -> &[u8] {
    let quotes =
        |bytes: &'_ [u8]| usize::from(bytes.first().is_some_and(|byte| matches!(byte, b'"' | b'\'')));
    let bytes = bytes[quotes(bytes)..].trim_ascii_start();
    let Some(bytes) = bytes.strip_prefix(b"=").or_else(|| bytes.strip_prefix(b":")) else { return b"" };
    let bytes = bytes.trim_ascii_start();
    &bytes[quotes(bytes)..]
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
            (format!("export AWS_SECRET_ACCESS_KEY=\"{}\"\n", "x".repeat(40)), Some("credentials for AWS")),
            (format!("Environment=AWS_SECRET_ACCESS_KEY={}\n", "x".repeat(40)), Some("credentials for AWS")),
            (format!("{{\"aws_secret_access_key\": \"{}\"}}", "x".repeat(40)), Some("credentials for AWS")),
            (format!("AWS_SECRET_ACCESS_KEY={}\n", "x".repeat(41)), None),
            ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n".to_owned(), None),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), None),
            (
                "{ \"auths\": {\"r.example\": {\"auth\": \"dXNlcjpwYXNz\"}} }".to_owned(),
                Some("credentials for a registry of containers"),
            ),
            ("{ \"auths\": {\"r.example\": {}}, \"credsStore\": \"pass\" }".to_owned(), None),
            ("it has {\"auths\": {\"auth\": \"dXNlcjpwYXNz\"}}".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(recognise("etc/x", text.as_bytes()), expected, "{text}");
        }
        assert_eq!(recognise("etc/x", b"\0\0\0\x0bssh-ed25519\0\0\0\x40xx"), Some("private key of Dropbear"));
        for bytes in [&b"\xff\xff\xff\xffssh-rsa"[..], b"\0\0\0\x07ssh-", b"\0"] {
            assert_eq!(recognise("etc/x", bytes), None);
        }
    }

    #[test]
    fn a_key_of_wireguard_is_told_from_a_public_one_by_its_name() {
        let key = format!("{}=\n", "A".repeat(43));
        for (path, found) in [
            ("etc/wireguard/privatekey", true),
            ("etc/wireguard/wg0.key", true),
            ("etc/wireguard/wg0.psk", true),
            ("root/privatekey", true),
            ("opt/vpn/wg0.key", true),
            ("etc/wireguard/publickey", false),
            ("etc/wireguard/wg0.pub", false),
            ("etc/something/digest", false),
        ] {
            assert_eq!(recognise(path, key.as_bytes()).is_some(), found, "{path}");
        }
        assert_eq!(recognise("etc/wireguard/x", b"AAAA=\n"), None);
    }
}
