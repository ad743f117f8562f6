//! What a server is known by. One kind, never a fallback to another, and no way to know it by nothing.

use std::fmt;
use std::str::FromStr;

use firstlight_shared::pin::SpkiPin;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use crate::tls::spki;

/// SHA-256 of a certificate, written `AA:BB:..` as hypervisors show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }

    /// In small letters without colons, as Incus writes it.
    pub fn plain(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<_> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let bytes = hex::decode(text.replace(':', "")).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| PinError::Text(firstlight_shared::text::escape(text, 120)))
    }
}

/// Several values, because every node of a cluster has its own key.
#[derive(Clone, PartialEq, Eq)]
pub enum Pin {
    /// Certificates that sign the nodes' (Proxmox: `/etc/pve/pve-root-ca.pem`); the address has to be in the node's.
    Authority(Vec<CertificateDer<'static>>),
    /// Keys of nodes: they outlive their certificates.
    Keys(Vec<SpkiPin>),
    /// Certificates of nodes. They are renewed: taken, and warned about.
    Leaves(Vec<Fingerprint>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error("`{0}` is no pin: sha256//BASE64 of a key, or AA:BB:.. of a certificate, is wanted")]
    Text(String),
    #[error("pins of different kinds cannot be mixed: keys, or certificates")]
    Mixed,
    #[error("there is no certificate in it (PEM is wanted)")]
    NoCertificate,
    #[error("a certificate in it cannot be read")]
    BadCertificate,
}

impl Pin {
    /// Of the content of a PEM file.
    ///
    /// # Errors
    /// There is no certificate in it, or one that cannot be read.
    pub fn authority(pem: &[u8]) -> Result<Self, PinError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|_| PinError::BadCertificate)?;
        if found.is_empty() { Err(PinError::NoCertificate) } else { Ok(Self::Authority(found)) }
    }

    /// The keys of servers' own certificates, of the content of a PEM file: Incus' `server.crt`, and what its own command
    /// keeps in `servercerts/`.
    ///
    /// # Errors
    /// As [`Pin::authority`].
    pub fn servers(pem: &[u8]) -> Result<Self, PinError> {
        let Self::Authority(found) = Self::authority(pem)? else { return Err(PinError::NoCertificate) };
        let keys: Result<Vec<_>, _> = found.iter().map(spki).collect();
        keys.map(Self::Keys).map_err(|_| PinError::BadCertificate)
    }

    /// Of keys (`sha256//..`) or certificates (`AA:BB:..`), all of one kind.
    ///
    /// # Errors
    /// Another form, both kinds, or nothing.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, PinError> {
        let (mut keys, mut leaves) = (Vec::new(), Vec::new());
        for text in texts.iter().map(|text| text.as_ref().trim()) {
            match text.parse::<SpkiPin>() {
                Ok(key) => keys.push(key),
                Err(_) => leaves.push(text.parse()?),
            }
        }
        match (keys.is_empty(), leaves.is_empty()) {
            (false, true) => Ok(Self::Keys(keys)),
            (true, false) => Ok(Self::Leaves(leaves)),
            (true, true) => Err(PinError::Text(String::new())),
            (false, false) => Err(PinError::Mixed),
        }
    }

    /// Why this kind is not the best.
    pub fn warning(&self) -> Option<&'static str> {
        matches!(self, Self::Leaves(_)).then_some(
            "a certificate is pinned: it is renewed some day (Proxmox: before its two years are over), and then nothing \
             works until the pin is changed; its key (sha256//..) or the authority behind it would stay",
        )
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, values): (_, Vec<String>) = match self {
            Self::Authority(roots) => {
                ("issued by", roots.iter().map(|root| Fingerprint::of(root).to_string()).collect())
            }
            Self::Keys(keys) => ("key", keys.iter().map(ToString::to_string).collect()),
            Self::Leaves(leaves) => ("certificate", leaves.iter().map(ToString::to_string).collect()),
        };
        write!(f, "{kind} {}", values.join(" or "))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_the_key_of_its_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made =
            rcgen::CertificateParams::new(vec!["incus".to_owned()]).unwrap().self_signed(&key).unwrap();
        let expected = spki(made.der()).unwrap();
        assert_eq!(Pin::servers(made.pem().as_bytes()), Ok(Pin::Keys(vec![expected])));
    }

    #[test]
    fn pins_are_of_one_kind() {
        let leaf = Fingerprint::of(b"leaf");
        let key = SpkiPin::of(b"key").to_string();
        assert_eq!(Pin::parse(&[leaf.to_string().to_lowercase()]), Ok(Pin::Leaves(vec![leaf])));
        assert_eq!(Pin::parse(&[leaf.to_string().replace(':', "")]), Ok(Pin::Leaves(vec![leaf])));
        assert!(matches!(Pin::parse(&[&key, &key]), Ok(Pin::Keys(keys)) if keys.len() == 2));
        assert_eq!(Pin::parse(&[&key, &leaf.to_string()]), Err(PinError::Mixed));
        for wrong in ["", "AA:BB", "insecure", "any"] {
            assert!(matches!(Pin::parse(&[wrong]), Err(PinError::Text(_))), "{wrong}");
        }
        assert!(Pin::parse::<&str>(&[]).is_err());
        assert_eq!(Pin::authority(b"no pem"), Err(PinError::NoCertificate));
        assert_eq!(Pin::servers(b"no pem"), Err(PinError::NoCertificate));
        assert!(Pin::parse(&[leaf.to_string()]).unwrap().warning().is_some());
        assert!(Pin::parse(&[key]).unwrap().warning().is_none());
    }
}
