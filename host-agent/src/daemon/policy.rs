//! Reads tokens, certificates and keys of the API: the rules of the gate. Done at the start and at every reload.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firstlight_shared::error::Code;
use firstlight_shared::text::escape;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;

use crate::config::{ApiSettings, SecretError, TcpApiSettings};
use crate::http::auth::{Access, Peers, Token};
use crate::http::{Policy, Tls};

/// In bytes; a shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the token `{name}` cannot be used")]
    Token {
        name: String,
        #[source]
        source: SecretError,
    },
    #[error("the token `{name}` {what}")]
    BadToken { name: String, what: &'static str },
    #[error("the API's key cannot be used")]
    Key(#[source] SecretError),
    #[error("{path} cannot be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} cannot be used: {what}")]
    Certificate { path: String, what: String },
}

impl Code for PolicyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Token { source, .. } | Self::Key(source) => source.code(),
            Self::BadToken { .. } => "api-token",
            Self::Read { .. } | Self::Certificate { .. } => "api-certificate",
        }
    }
}

/// `credentials` is systemd's folder, if there is one.
///
/// # Errors
/// Nothing is let in by half: one secret that cannot be used refuses all.
pub fn policy(settings: &ApiSettings, credentials: Option<&OsStr>) -> Result<Policy, PolicyError> {
    let own_uid = nix::unistd::geteuid().as_raw();
    let mut gids = settings.peers.gids.clone();
    gids.extend(settings.socket_group);
    let access = Access {
        tokens: tokens(settings, credentials)?,
        clients: settings.clients.clone(),
        peers: Peers { own_uid, uids: settings.peers.uids.clone(), gids },
    };
    let tls = settings.listen.as_ref().map(|tcp| tls(tcp, credentials)).transpose()?;
    Ok(Policy { access, tls })
}

fn tokens(settings: &ApiSettings, credentials: Option<&OsStr>) -> Result<Vec<Token>, PolicyError> {
    let mut tokens: Vec<Token> = Vec::new();
    for token in &settings.tokens {
        let name = token.name.clone();
        let secret = token.file.read(credentials);
        let secret = secret.map_err(|source| PolicyError::Token { name: name.clone(), source })?;
        if secret.expose().len() < SHORTEST_TOKEN {
            return Err(PolicyError::BadToken { name, what: "is shorter than 16 characters" });
        }
        if tokens.iter().any(|other| other.secret == secret) {
            return Err(PolicyError::BadToken { name, what: "is the same as another one" });
        }
        tokens.push(Token { name, role: token.role, secret });
    }
    Ok(tokens)
}

fn tls(settings: &TcpApiSettings, credentials: Option<&OsStr>) -> Result<Tls, PolicyError> {
    let certificate = read(&settings.certificate)?;
    let key = settings.key.read(credentials).map_err(PolicyError::Key)?;
    let authority = settings.client_ca.as_ref().map(|path| Ok((path, read(path)?))).transpose()?;

    let provider = crate::tls::provider();
    let wrong = |path: &dyn std::fmt::Display, what: String| PolicyError::Certificate {
        path: path.to_string(),
        what,
    };
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&settings.certificate.display(), error.to_string()))?;
    let builder = match &authority {
        None => builder.with_no_client_auth(),
        Some((path, pem)) => {
            let shown = path.display();
            let mut roots = RootCertStore::empty();
            for authority in certificates(path, pem)? {
                roots.add(authority).map_err(|error| wrong(&shown, error.to_string()))?;
            }
            // Tokens are another way in, and `/livez` needs none: the gate judges, not the handshake.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(&shown, error.to_string()))?)
        }
    };
    let chain = certificates(&settings.certificate, &certificate)?;
    let private = PrivateKeyDer::from_pem_slice(key.expose());
    let private = private.map_err(|error| wrong(&settings.key, error.to_string()))?;
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|error| wrong(&settings.certificate.display(), error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];

    let mut made_from = Sha256::new();
    for part in
        [certificate.as_slice(), key.expose(), authority.as_ref().map_or(&[], |(_, pem)| pem.as_slice())]
    {
        made_from.update(Sha256::digest(part));
    }
    let base = certificates(&settings.certificate, &certificate)?
        .first()
        .and_then(|own| host_of(own))
        .map(|host| format!("https://{host}:{}", settings.address.port()));
    Ok(Tls { config: Arc::new(config), made_from: made_from.finalize().into(), base })
}

/// What browsers may call the host of this certificate: its first name that is no pattern, or else its first address.
fn host_of(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??.value.general_names.iter();
    let address = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| format!("[{}]", IpAddr::from(bytes))),
            _ => None,
        },
        _ => None,
    };
    let named = names.clone().find_map(|name| match name {
        GeneralName::DNSName(name) if !name.contains('*') => Some(escape(name, 253)),
        _ => None,
    });
    named.or_else(|| names.clone().find_map(address))
}

fn read(path: &Path) -> Result<Vec<u8>, PolicyError> {
    std::fs::read(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PolicyError> {
    let wrong = |what: String| PolicyError::Certificate { path: path.display().to_string(), what };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("there is no certificate in it".to_owned())) } else { Ok(found) }
}
