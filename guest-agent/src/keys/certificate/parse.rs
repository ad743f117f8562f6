//! One line of a `-cert.pub` file, verified. Source: PROTOCOL.certkeys of OpenSSH.
//!
//! Not by ssh-key's own type: it refuses certificates without an end (`always`, the default of `ssh-keygen -s`), and
//! verifies only what the linked curves can.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firstlight_shared::text::escape;
use ssh_key::PublicKey;

use crate::sshd::{Proof, Reader, put_string, verify};

/// The longest line that is looked at; one with an RSA-4096 key and CA has some 3,000 characters.
const MAX_LINE: usize = 16 * 1024;
const MAX_PRINCIPALS: usize = 256;
/// SSH2_CERT_TYPE_HOST
const HOST: u32 = 2;
/// Types of certificates, the type of key inside, and how many strings that key has.
const TYPES: [(&str, &str, usize); 5] = [
    ("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", 1),
    ("ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521-cert-v01@openssh.com", "ecdsa-sha2-nistp521", 2),
    ("ssh-rsa-cert-v01@openssh.com", "ssh-rsa", 2),
];
/// So far may the clocks of host and guest be apart.
const CLOCK_TOLERANCE: u64 = 300;

#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    #[error("it is no certificate of a known type")]
    UnknownType,
    #[error("it is torn")]
    Torn,
    #[error("it is no host certificate")]
    NotHost,
    #[error("it has critical options, which no client accepts")]
    CriticalOptions,
    #[error("its key cannot be read")]
    Key(#[source] ssh_key::Error),
    #[error("its CA did not sign it")]
    BadSignature,
    #[error("the signature of its CA is of a kind that cannot be verified here")]
    UnknownSignature,
}

/// A certificate whose CA signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostCertificate {
    /// The certified key.
    pub key: PublicKey,
    pub principals: Vec<String>,
    /// Seconds since the epoch; the end is `u64::MAX` if there is none.
    pub valid_after: u64,
    pub valid_before: u64,
    /// As it is written to the file, with line end and without comment.
    pub line: String,
}

impl HostCertificate {
    /// # Errors
    /// Not a host certificate in OpenSSH's format, or not signed by the CA that it names.
    pub(super) fn parse(line: &str) -> Result<Self, CertificateError> {
        if line.len() > MAX_LINE {
            return Err(CertificateError::Torn);
        }
        let mut words = line.split_ascii_whitespace();
        let (name, base64) = words.next().zip(words.next()).ok_or(CertificateError::Torn)?;
        let (_, plain, strings) =
            TYPES.into_iter().find(|(known, ..)| *known == name).ok_or(CertificateError::UnknownType)?;
        let bytes = STANDARD.decode(base64).map_err(|_| CertificateError::Torn)?;
        let mut certificate = Self::decode(&bytes, name, plain, strings)?;
        certificate.line = format!("{name} {base64}\n");
        Ok(certificate)
    }

    fn decode(bytes: &[u8], name: &str, plain: &str, strings: usize) -> Result<Self, CertificateError> {
        let torn = || CertificateError::Torn;
        let mut reader = Reader::new(bytes);
        if reader.text() != Some(name) {
            return Err(CertificateError::UnknownType);
        }
        let _nonce = reader.string().ok_or_else(torn)?;
        let mut blob = Vec::new();
        put_string(&mut blob, plain.as_bytes());
        for _ in 0..strings {
            put_string(&mut blob, reader.string().ok_or_else(torn)?);
        }
        let _serial = reader.u64().ok_or_else(torn)?;
        let kind = reader.u32().ok_or_else(torn)?;
        let _key_id = reader.string().ok_or_else(torn)?;
        let mut names = Reader::new(reader.string().ok_or_else(torn)?);
        let mut principals = Vec::new();
        while !names.is_empty() {
            if principals.len() >= MAX_PRINCIPALS {
                return Err(torn());
            }
            principals.push(names.text().ok_or_else(torn)?.to_owned());
        }
        let (valid_after, valid_before) = reader.u64().zip(reader.u64()).ok_or_else(torn)?;
        let critical = reader.string().ok_or_else(torn)?;
        let _extensions = reader.string().ok_or_else(torn)?;
        let _reserved = reader.string().ok_or_else(torn)?;
        let ca = reader.string().ok_or_else(torn)?;
        let signed = &bytes[..bytes.len() - reader.left()];
        let signature = reader.string().filter(|_| reader.is_empty()).ok_or_else(torn)?;
        if kind != HOST {
            return Err(CertificateError::NotHost);
        }
        if !critical.is_empty() {
            return Err(CertificateError::CriticalOptions);
        }
        let key = PublicKey::from_bytes(&blob).map_err(CertificateError::Key)?;
        let ca = PublicKey::from_bytes(ca).map_err(CertificateError::Key)?;
        match verify(&ca, signature, signed) {
            Proof::Holds => Ok(Self { key, principals, valid_after, valid_before, line: String::new() }),
            Proof::Fails => Err(CertificateError::BadSignature),
            Proof::Unknown => Err(CertificateError::UnknownSignature),
        }
    }

    /// Whether it can serve this machine now.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self, now: u64, hostname: &str) -> Result<(), String> {
        if self.valid_after >= self.valid_before {
            return Err("it is never valid".to_owned());
        }
        if self.valid_before <= now {
            return Err("it has expired".to_owned());
        }
        // The name itself, or the short or the fully qualified form of it.
        let is_own = |name: &String| {
            let short = |long: &str, name: &str| {
                long.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            !name.is_empty() && (short(name, hostname) || short(hostname, name))
        };
        if self.principals.is_empty() || (!hostname.is_empty() && self.principals.iter().any(is_own)) {
            return Ok(());
        }
        let names = escape(&self.principals.join(", "), 100);
        Err(format!("it is for {names}, not for `{}`", escape(hostname, 64)))
    }

    /// What is odd about it, though it can be installed.
    pub(super) fn notes(&self, now: u64) -> Vec<String> {
        let mut notes = Vec::new();
        if self.principals.is_empty() {
            notes.push("installed, but it names no host: it would hold for any name".to_owned());
        }
        if self.valid_after > now.saturating_add(CLOCK_TOLERANCE) {
            notes.push("installed, but it is not valid yet by this machine's clock".to_owned());
        }
        notes
    }
}
