//! SSHFP records of DNS. Source: RFC 4255, RFC 6594 (ECDSA, SHA-256), RFC 7479 (Ed25519).

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The records of one key (type and base64), as `ssh-keygen -r OWNER` prints them; none for types without a number.
pub(crate) fn records(owner: &str, key: &str) -> String {
    let (Some(number), Some(blob)) = (number_of(key), super::blob(key)) else { return String::new() };
    let (sha1, sha256) = (hex::encode(Sha1::digest(&blob)), hex::encode(Sha256::digest(&blob)));
    format!("{owner} IN SSHFP {number} 1 {sha1}\n{owner} IN SSHFP {number} 2 {sha256}\n")
}

/// A host's name in a zone, whole; without a zone as it stands in the zone's own file.
pub(crate) fn owner(host: &str, zone: Option<&str>) -> String {
    match zone.map(|zone| zone.trim_end_matches('.')) {
        Some(zone) => format!("{host}.{zone}."),
        None => host.to_owned(),
    }
}

/// Whether this may be a zone: labels of letters, digits, `-` and `_`.
pub(crate) fn is_zone(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 180 && text.split('.').all(label)
}

/// IANA's number of the key's algorithm.
fn number_of(key: &str) -> Option<u8> {
    match key.split_ascii_whitespace().next()? {
        "ssh-rsa" => Some(1),
        kind if kind.starts_with("ecdsa-sha2-") => Some(3),
        "ssh-ed25519" => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_records_are_those_of_ssh_keygen() {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let file = folder.path().join(kind);
            let mut make = Command::new("ssh-keygen");
            let made = make.args(["-q", "-N", "", "-t", kind, "-f"]).arg(&file).status().unwrap();
            assert!(made.success());
            let public = file.with_extension("pub");
            let said = Command::new("ssh-keygen").args(["-r", "web-01", "-f"]).arg(&public).output().unwrap();
            let key = std::fs::read_to_string(&public).unwrap();
            assert_eq!(records("web-01", &key), String::from_utf8(said.stdout).unwrap(), "{kind}");
        }
        assert_eq!(records("web-01", "ssh-dss AAAA"), "");
        assert_eq!(records("web-01", "ssh-ed25519"), "");
    }

    #[test]
    fn owners_are_whole_names_where_a_zone_is_given() {
        for (zone, wanted) in [
            (None, "web-01"),
            (Some("lab.example"), "web-01.lab.example."),
            (Some("lab.example."), "web-01.lab.example."),
        ] {
            assert_eq!(owner("web-01", zone), wanted);
        }
        for (text, is) in [
            ("lab.example", true),
            ("lab.example.", true),
            ("_x", true),
            ("", false),
            (".", false),
            ("a..b", false),
            ("a b", false),
            ("a;b", false),
        ] {
            assert_eq!(is_zone(text), is, "{text:?}");
        }
    }
}
