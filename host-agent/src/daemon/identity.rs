//! The report listener's own key and certificate, made once per state folder. Guests pin the key.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use firstlight_shared::pin::SpkiPin;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::StartError;

/// Key and self-signed certificate, ready to serve.
#[derive(Debug)]
pub struct ListenerIdentity {
    pin: SpkiPin,
    config: Arc<rustls::ServerConfig>,
}

impl ListenerIdentity {
    /// Reads `listener.key` (PEM, 0600), or makes it. The certificate is made anew at each start: only the key counts.
    pub fn load_or_make(state: &Path) -> Result<Self, StartError> {
        let path = state.join("listener.key");
        let wrong = |what: String| StartError::Identity { path: path.clone(), what };
        let key = match std::fs::read_to_string(&path) {
            Ok(pem) => KeyPair::from_pem(&pem).map_err(|error| wrong(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = KeyPair::generate().map_err(|error| wrong(error.to_string()))?;
                write_durably(&path, key.serialize_pem().as_bytes())
                    .map_err(|error| wrong(error.to_string()))?;
                key
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        let params = CertificateParams::new(vec!["firstlight".to_owned()])
            .map_err(|error| wrong(error.to_string()))?;
        let certificate = params.self_signed(&key).map_err(|error| wrong(error.to_string()))?;
        let config =
            server_config(certificate.der().clone(), &key).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { pin: SpkiPin::of(&key.subject_public_key_info()), config: Arc::new(config) })
    }

    pub fn pin(&self) -> SpkiPin {
        self.pin
    }

    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> Result<rustls::ServerConfig, rustls::Error> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
}

/// Whole or not at all: a temporary file, synced, then renamed.
fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
