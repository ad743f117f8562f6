//! The cluster's authority and its nodes' certificates, as Proxmox makes them, and one of a stranger.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use super::super::world::Certificate;

/// `Proxmox Virtual Environment`: signs the nodes' certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// What a node shows.
pub(super) struct Leaf {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate: Certificate,
    /// SHA-256 of the public key, in hex: it stays when the certificate is renewed.
    pub(super) key_pin: String,
}

/// This key of the folder, which is made if it is not there; without a folder a new one.
pub(super) fn kept_key(folder: Option<&Path>, name: &str) -> Result<KeyPair> {
    let Some(folder) = folder else { return Ok(KeyPair::generate()?) };
    let path = folder.join(format!("{name}.key"));
    let text = kept(&path, || Ok(KeyPair::generate()?.serialize_pem()))?;
    KeyPair::from_pem(&text).with_context(|| format!("{} holds no key", path.display()))
}

/// The file's text; made, for its owner alone, if it is not there.
fn kept(path: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    let place = || path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = make()?;
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).with_context(place)?;
            }
            let mut file =
                File::options().write(true).create_new(true).mode(0o600).open(path).with_context(place)?;
            file.write_all(text.as_bytes()).with_context(place)?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(place),
    }
}

impl Authority {
    pub(super) fn new() -> Result<Self> {
        Self::kept(None)
    }

    /// As [`kept_key`]; its certificate is kept beside the key.
    pub(super) fn kept(folder: Option<&Path>) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = name("Proxmox Virtual Environment", "PVE Cluster Manager CA");
        let key = kept_key(folder, "authority")?;
        let made = params.self_signed(&key)?.pem();
        let pem = match folder {
            Some(folder) => kept(&folder.join("authority.pem"), || Ok(made))?,
            None => made,
        };
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).context("no certificate of an authority")?;
        let certificate = Certificate { fingerprint: fingerprint(&der), pem };
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A certificate for this key: the real one keeps a node's key when it renews its certificate.
    pub(super) fn leaf(&self, node: &str, key: &KeyPair) -> Result<Leaf> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), node.to_owned()])?;
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = name(node, "PVE Cluster Node");
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(Leaf {
            config: Arc::new(server_config(certificate.der().clone(), key)?),
            certificate: shown(&certificate),
            key_pin: Sha256::digest(key.subject_public_key_info())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn shown(certificate: &rcgen::Certificate) -> Certificate {
    Certificate { fingerprint: fingerprint(certificate.der()), pem: certificate.pem() }
}

fn fingerprint(certificate: &[u8]) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn name(common: &str, unit: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name.push(DnType::OrganizationalUnitName, unit);
    name
}

/// The chain is sent without the root, as the real one does.
fn server_config(certificate: CertificateDer<'static>, key: &KeyPair) -> Result<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_from_start_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let made = |folder: Option<&Path>| {
            let authority = Authority::kept(folder).unwrap();
            let leaf = authority.leaf("pve1", &kept_key(folder, "pve1").unwrap()).unwrap();
            (authority.certificate().fingerprint.clone(), leaf.key_pin)
        };
        let first = made(Some(&folder));
        assert_eq!(made(Some(&folder)), first);
        let other = made(None);
        assert!(other.0 != first.0 && other.1 != first.1);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &folder.join("pve1.key").metadata().unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(folder.join("pve2.key"), "nonsense").unwrap();
        assert!(kept_key(Some(&folder), "pve2").is_err());
    }
}
