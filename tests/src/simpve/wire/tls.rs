//! The cluster's authority and its nodes' certificates, as Proxmox makes them, and one of a stranger.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use rustls::ServerConfig;
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

impl Authority {
    pub(super) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = name("Proxmox Virtual Environment", "PVE Cluster Manager CA");
        let key = KeyPair::generate()?;
        let certificate = shown(&params.self_signed(&key)?);
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
    let digest = Sha256::digest(certificate.der());
    let fingerprint = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    Certificate { fingerprint, pem: certificate.pem() }
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
