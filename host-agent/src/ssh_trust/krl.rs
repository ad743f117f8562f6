//! Lists of revoked keys in OpenSSH's binary form. Source: PROTOCOL.krl of OpenSSH.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

const MAGIC: u64 = 0x5353_484b_524c_0a00;
const FORMAT: u32 = 1;
const SECTION_CERTIFICATES: u8 = 1;
const SECTION_FINGERPRINT_SHA256: u8 = 5;
const CERTIFICATES_BY_SERIAL: u8 = 0x20;

/// What is revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Revoked<'a> {
    /// `SHA256:...` of keys, bare or certified.
    pub(crate) fingerprints: &'a [String],
    /// Serial numbers of certificates, by the public key line of the authority that signed them.
    pub(crate) serials: &'a [(String, Vec<u64>)],
}

/// The list's bytes. `now` (seconds since the epoch) is its time and its number: a later list has a greater one.
/// Fingerprints and authorities that are none are left out.
pub(crate) fn krl(revoked: &Revoked<'_>, now: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(MAGIC.to_be_bytes());
    out.extend(FORMAT.to_be_bytes());
    out.extend(now.to_be_bytes());
    out.extend(now.to_be_bytes());
    out.extend(0_u64.to_be_bytes()); // flags
    put_string(&mut out, b""); // reserved
    put_string(&mut out, b"firstlight: keys of guests that are gone");
    for (authority, serials) in revoked.serials {
        let Some(authority) = super::blob(authority).filter(|_| !serials.is_empty()) else { continue };
        section(&mut out, SECTION_CERTIFICATES, &certificates(&authority, serials));
    }
    let hashes = sorted(revoked.fingerprints.iter().filter_map(|text| hash(text)).collect());
    if !hashes.is_empty() {
        let mut content = Vec::new();
        hashes.iter().for_each(|hash| put_string(&mut content, hash));
        section(&mut out, SECTION_FINGERPRINT_SHA256, &content);
    }
    out
}

fn certificates(authority: &[u8], serials: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    put_string(&mut content, authority);
    put_string(&mut content, b""); // reserved
    // 0 stands for "none" in OpenSSH.
    let serials = sorted(serials.iter().copied().filter(|serial| *serial != 0).collect());
    let list: Vec<u8> = serials.into_iter().flat_map(u64::to_be_bytes).collect();
    section(&mut content, CERTIFICATES_BY_SERIAL, &list);
    content
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

/// The 32 bytes of `SHA256:...`.
fn hash(fingerprint: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD_NO_PAD.decode(fingerprint.strip_prefix("SHA256:")?).ok()?;
    (bytes.len() == 32).then_some(bytes)
}

fn section(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    put_string(out, content);
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing here comes near 4 GiB.
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use super::*;

    fn ssh_keygen(folder: &Path, words: &[&str]) -> Output {
        Command::new("ssh-keygen").current_dir(folder).args(words).output().unwrap()
    }

    /// A key of its own; its fingerprint.
    fn key(folder: &Path, name: &str) -> String {
        assert!(ssh_keygen(folder, &["-q", "-N", "", "-t", "ed25519", "-f", name]).status.success());
        let said = ssh_keygen(folder, &["-l", "-f", name]);
        let line = String::from_utf8(said.stdout).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    }

    fn certified(folder: &Path, name: &str, serial: &str) -> PathBuf {
        let public = format!("{name}.pub");
        let words = ["-q", "-s", "ca", "-h", "-I", name, "-n", name, "-z", serial, &public];
        assert!(ssh_keygen(folder, &words).status.success());
        folder.join(format!("{name}-cert.pub"))
    }

    /// Whether OpenSSH holds it for revoked; it ends with 1 then, and with 255 if it cannot read the list.
    fn is_revoked(folder: &Path, name: &str) -> bool {
        let said = ssh_keygen(folder, &["-Q", "-f", "krl", name]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        match said.status.code() {
            Some(0) => false,
            Some(1) if text.contains("REVOKED") => true,
            _ => panic!("{said:?}"),
        }
    }

    #[test]
    fn openssh_reads_the_list_and_finds_what_is_revoked_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let gone = key(folder, "gone");
        key(folder, "lives");
        key(folder, "ca");
        certified(folder, "gone", "7");
        certified(folder, "lives", "9223372036854775807");
        let authority = std::fs::read_to_string(folder.join("ca.pub")).unwrap();
        let write = |fingerprints: &[String], serials: &[(String, Vec<u64>)]| {
            std::fs::write(folder.join("krl"), krl(&Revoked { fingerprints, serials }, 1_700_000_000))
                .unwrap();
        };

        write(&[], &[]);
        assert!(!is_revoked(folder, "gone.pub") && !is_revoked(folder, "gone-cert.pub"));
        write(&[gone.clone(), gone.clone(), "SHA256:none".to_owned()], &[]);
        assert!(is_revoked(folder, "gone.pub") && is_revoked(folder, "gone-cert.pub"));
        assert!(!is_revoked(folder, "lives.pub") && !is_revoked(folder, "lives-cert.pub"));
        // By its number the certificate alone, the key under it not.
        write(&[], &[(authority.clone(), vec![u64::MAX >> 1, 3, 0]), ("ssh-ed25519".to_owned(), vec![1])]);
        assert!(is_revoked(folder, "lives-cert.pub") && !is_revoked(folder, "lives.pub"));
        assert!(!is_revoked(folder, "gone-cert.pub"));
        write(&[gone], &[(authority, vec![u64::MAX >> 1])]);
        assert!(is_revoked(folder, "gone.pub") && is_revoked(folder, "lives-cert.pub"));
    }
}
