//! The report listener's own key and certificate. Guests pin the key; all companions of a store have the same.

use std::sync::Arc;

use firstlight_shared::pin::SpkiPin;
use firstlight_shared::secret::Secret;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::StartError;
use crate::config::SecretFile;
use crate::store::Store;

/// Key and self-signed certificate, ready to serve.
#[derive(Debug)]
pub struct ListenerIdentity {
    pin: SpkiPin,
    config: Arc<rustls::ServerConfig>,
}

impl ListenerIdentity {
    /// The key of the file that the configuration names, or the store's own, made when it is wanted first. The certificate
    /// is made anew at each start: only the key counts.
    pub async fn load(
        configured: Option<&SecretFile>,
        credentials: Option<&std::ffi::OsStr>,
        store: &Store,
    ) -> Result<Self, StartError> {
        let pem = match configured {
            Some(file) => file.read(credentials)?,
            None => store.listener_key(make).await?,
        };
        let pem = std::str::from_utf8(pem.expose()).map_err(wrong)?;
        let key = KeyPair::from_pem(pem).map_err(wrong)?;
        let params = CertificateParams::new(vec!["firstlight".to_owned()]).map_err(wrong)?;
        let certificate = params.self_signed(&key).map_err(wrong)?;
        let config = server_config(certificate.der().clone(), &key).map_err(wrong)?;
        Ok(Self { pin: SpkiPin::of(&key.subject_public_key_info()), config: Arc::new(config) })
    }

    pub fn pin(&self) -> SpkiPin {
        self.pin
    }

    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.config)
    }
}

/// A new key in PEM.
fn make() -> Result<Secret, StartError> {
    let key = KeyPair::generate().map_err(wrong)?;
    Ok(Secret::new(key.serialize_pem().into_bytes()))
}

fn wrong(error: impl std::fmt::Display) -> StartError {
    StartError::Identity { what: error.to_string() }
}

/// TLS 1.3 only: guests speak nothing older. Whoever wants another protocol than HTTP/1.1 behind it is turned away.
fn server_config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> Result<rustls::ServerConfig, rustls::Error> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = crate::tls::provider();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
