//! Our own certificate, as the server trusts it (`incus config trust add-certificate`).

use std::fmt;

use firstlight_shared::secret::Secret;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::backend::link::pin::Fingerprint;
use crate::backend::link::tls::Identity;

/// Its fingerprint may be shown, its key never.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// DER, our own first.
    chain: Vec<CertificateDer<'static>>,
    /// PEM
    key: Secret,
}

/// Says what is wrong, and nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("there is no certificate in it that can be read (PEM is wanted)")]
    Certificate,
    #[error("there is no private key in it that can be read (PEM is wanted)")]
    Key,
}

impl ClientCertificate {
    /// Of the content of two PEM files.
    ///
    /// # Errors
    /// One of them is none.
    pub fn parse(certificate: &[u8], key: &Secret) -> Result<Self, IdentityError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|_| IdentityError::Certificate)?;
        if chain.is_empty() {
            return Err(IdentityError::Certificate);
        }
        PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| IdentityError::Key)?;
        Ok(Self { chain, key: key.clone() })
    }

    /// As the server lists it: SHA-256 of our certificate.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.chain.first().map(|own| Fingerprint::of(own))
    }

    /// Our own, DER.
    pub fn leaf(&self) -> Option<&[u8]> {
        self.chain.first().map(AsRef::as_ref)
    }

    /// # Errors
    /// There is no key in it.
    pub(super) fn identity(&self) -> Result<Identity, rustls::Error> {
        let key = PrivateKeyDer::from_pem_slice(self.key.expose())
            .map_err(|_| rustls::Error::General("the private key cannot be read".to_owned()))?;
        Ok((self.chain.clone(), key))
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({:?}, hidden)", self.fingerprint())
    }
}
