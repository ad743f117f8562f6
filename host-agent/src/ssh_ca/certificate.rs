//! Host certificates: their terms, when they are due anew, and the making of one.

use std::cell::Cell;

use ssh_key::certificate::{Builder, CertType};
use ssh_key::public::KeyData;
use ssh_key::{PublicKey, Signature};

use super::{CaError, CaKey};
use crate::store::StoredCertificate;

/// So far may the clock of a guest or of whoever logs in be behind ours.
const CLOCK_TOLERANCE: u64 = 300;
/// Bytes.
const NONCE: usize = 32;

/// What a certificate says beside the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) serial: u64,
    /// For sshd's log.
    pub(crate) id: String,
    /// Never empty: that would hold for every host.
    pub(crate) principals: Vec<String>,
    /// Seconds since the epoch.
    pub(crate) valid_after: u64,
    pub(crate) valid_before: u64,
}

impl Terms {
    /// From a little ago, so that clocks may differ. Serial numbers are chosen at random: those of a store that was put back
    /// to an older copy are never given twice, and no reader of JSON rounds them.
    pub(crate) fn new(id: String, principals: Vec<String>, now: u64, validity: u64) -> Self {
        let serial = (rand::random::<u64>() >> 11).max(1);
        let (valid_after, valid_before) = (now.saturating_sub(CLOCK_TOLERANCE), now.saturating_add(validity));
        Self { serial, id, principals, valid_after, valid_before }
    }
}

/// The line of a `-cert.pub` file for this public key line.
///
/// # Errors
/// The key is none, or the CA cannot sign.
pub(crate) fn sign(ca: &CaKey, public_key: &str, terms: &Terms) -> Result<String, CaError> {
    let key = PublicKey::from_openssh(public_key).map_err(CaError::HostKey)?;
    let signing = Signing { ca, failed: Cell::new(None) };
    let nonce: [u8; NONCE] = rand::random();
    let builder = Builder::new(nonce, key.key_data().clone(), terms.valid_after, terms.valid_before);
    let made = builder.and_then(|mut builder| {
        builder.serial(terms.serial)?.cert_type(CertType::Host)?.key_id(terms.id.as_str())?;
        for principal in &terms.principals {
            builder.valid_principal(principal.as_str())?;
        }
        // Refused, if there is no principal.
        builder.sign(&signing)
    });
    let made = made.and_then(|certificate| certificate.to_openssh());
    made.map_err(|error| signing.failed.take().unwrap_or(CaError::Sign(error)))
}

/// The CA's key at work. ssh-key has no place for what went wrong: it is kept here.
struct Signing<'a> {
    ca: &'a CaKey,
    failed: Cell<Option<CaError>>,
}

impl signature::Signer<Signature> for Signing<'_> {
    fn try_sign(&self, data: &[u8]) -> signature::Result<Signature> {
        self.ca.sign(data).map_err(|error| {
            self.failed.set(Some(error));
            signature::Error::new()
        })
    }
}

impl From<&Signing<'_>> for KeyData {
    fn from(signing: &Signing<'_>) -> Self {
        signing.ca.key_data()
    }
}

/// Whether a new one is wanted: another CA or other principals count, or its end is near. Times in seconds.
pub(crate) fn is_due(
    certificate: &StoredCertificate,
    authority: &str,
    principals: &[String],
    now: u64,
    renew_before: u64,
) -> bool {
    certificate.revoked
        || certificate.authority != authority
        || certificate.principals != principals
        || certificate.valid_before <= now.saturating_add(renew_before)
        || certificate.valid_after > now
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::init;
    use super::*;
    use crate::config::SshCaSettings;

    fn ca(folder: &std::path::Path) -> CaKey {
        let settings = SshCaSettings { key: folder.join("ca"), ..SshCaSettings::testing() };
        init(&settings, None).unwrap();
        CaKey::load(&settings).unwrap().unwrap()
    }

    #[test]
    fn ssh_keygen_reads_what_is_signed_for_every_type_of_key() {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(folder.path());
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let file = folder.path().join(kind);
            let mut make = Command::new("ssh-keygen");
            assert!(make.args(["-q", "-N", "", "-t", kind, "-f"]).arg(&file).status().unwrap().success());
            let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
            let principals = vec!["web-01".to_owned(), "10.0.0.5".to_owned()];
            let terms = Terms::new("firstlight web-01".to_owned(), principals, 1_700_000_000, 86_400);
            let line = sign(&ca, &public, &terms).unwrap();
            let certificate = folder.path().join(format!("{kind}-cert.pub"));
            std::fs::write(&certificate, line + "\n").unwrap();
            let said = Command::new("ssh-keygen").arg("-Lf").arg(&certificate).output().unwrap();
            assert!(said.status.success(), "{said:?}");
            let said = String::from_utf8(said.stdout).unwrap();
            for words in [
                "host certificate",
                "firstlight web-01",
                "10.0.0.5",
                &terms.serial.to_string(),
                &ca.fingerprint().to_string(),
            ] {
                assert!(said.contains(words), "{words}: {said}");
            }
        }
    }

    #[test]
    fn nothing_is_signed_for_every_host() {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(folder.path());
        let key = ca.line();
        let terms = Terms::new("x".to_owned(), Vec::new(), 1_700_000_000, 60);
        assert!(matches!(sign(&ca, &key, &terms), Err(CaError::Sign(_))));
        assert!(matches!(sign(&ca, "ssh-ed25519 AAAA", &terms), Err(CaError::HostKey(_))));
    }

    #[test]
    fn a_certificate_is_due_near_its_end_or_when_something_else_counts() {
        let principals = ["web-01".to_owned()];
        let now = 1_000_000;
        let good = StoredCertificate {
            serial: 1,
            authority: "ca".to_owned(),
            job: "job".to_owned(),
            guest: "web-01".to_owned(),
            fingerprint: "SHA256:x".to_owned(),
            principals: principals.to_vec(),
            valid_after: now - 10,
            valid_before: now + 1000,
            issued_at_ms: 1,
            by: "report".to_owned(),
            certificate: String::new(),
            revoked: false,
        };
        let due = |one: &StoredCertificate| is_due(one, "ca", &principals, now, 100);
        assert!(!due(&good));
        let changed = |change: fn(&mut StoredCertificate)| {
            let mut one = good.clone();
            change(&mut one);
            one
        };
        for one in [
            changed(|one| one.valid_before = 1_000_100),
            changed(|one| one.valid_after = 1_000_001),
            changed(|one| one.revoked = true),
            changed(|one| one.authority = "other".to_owned()),
            changed(|one| one.principals.push("10.0.0.5".to_owned())),
        ] {
            assert!(due(&one), "{one:?}");
        }
        assert!(!due(&changed(|one| one.valid_before = 1_000_101)));
    }
}
