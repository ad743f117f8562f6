//! Whom the client trusts: a pinned key, or certificates that vouch. There is no way to trust anybody.

use std::path::Path;
use std::sync::Arc;

use firstlight_shared::pin::SpkiPin;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, Error, OtherError, RootCertStore};

use super::super::args::PlaceArguments;
use super::super::failure::{Exit, Failure};
use crate::tls::{Judge, Verifier, provider, spki};

#[derive(Debug, thiserror::Error)]
#[error("the companion's key is {found}, {wanted} is pinned")]
struct WrongKey {
    wanted: SpkiPin,
    found: SpkiPin,
}

pub(super) fn config(arguments: &PlaceArguments) -> Result<Arc<ClientConfig>, Failure> {
    let usage = |message: &str| Failure::new(Exit::Usage, message);
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Exit::Environment, format!("TLS: {error}")))?;
    let builder = match (&arguments.pin, &arguments.ca) {
        (Some(pin), None) => {
            let pin = pin.parse::<SpkiPin>().map_err(|error| usage(&format!("--pin: {error}")))?;
            let verifier = Verifier::new(Pinned { pin }, &provider);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        (None, Some(file)) => builder.with_root_certificates(roots(file)?),
        (Some(_), Some(_)) => return Err(usage("--pin and --ca exclude each other")),
        (None, None) => {
            return Err(usage("--url needs --pin or --ca: whom shall we trust?")
                .hint("--pin takes the companion's key, --ca the certificates that vouch for it (/etc/ssl/certs/ca-certificates.crt for public ones)"));
        }
    };
    let config = match (&arguments.client_cert, &arguments.client_key) {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| Failure::new(Exit::Environment, format!("--client-cert: {error}")))?,
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(usage("--client-cert and --client-key belong together")),
    };
    Ok(Arc::new(config))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Environment, format!("{}: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, &error))?;
    if found.is_empty() { Err(unreadable(path, &"there is no certificate in it")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, &error))
}

fn roots(path: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unreadable(path, &error))?;
    }
    Ok(roots)
}

/// Only whoever holds the pinned key; names, dates and issuers do not matter then.
#[derive(Debug)]
struct Pinned {
    pin: SpkiPin,
}

impl Judge for Pinned {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _now: UnixTime,
    ) -> Result<(), Error> {
        let found = spki(leaf)?;
        if found == self.pin {
            return Ok(());
        }
        let wrong = WrongKey { wanted: self.pin, found };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }
}
