//! What the guest takes of rustls: TLS 1.3, X25519, and the signatures that a host's key makes.
//!
//! ring brings the ciphers. Its P-256 and curve25519 would bring tables of 170 KB, while the crates that make the host
//! keys are in the program anyway. Naming each part here, and never `ring::default_provider()`, leaves the rest out:
//! 320 KB of the static binary.

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rustls::crypto::ring::cipher_suite;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret,
    SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, alg_id,
};
use rustls::sign::SigningKey;
use rustls::{Error, NamedGroup, PeerMisbehaved, SignatureScheme};
use ssh_key::public::Ed25519PublicKey;
use webpki::ring;

use crate::agreement::{Agreement, Curve};
use crate::sys;

/// The one provider of the program; every TLS configuration is built on it.
///
/// Every server of TLS 1.3 has AES-128-GCM (RFC 8446, 9.1); ChaCha20 beside it would be 48 KB.
pub(crate) fn tls() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![&X25519],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Kernel,
        key_provider: &NoKeys,
    }
}

const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &EcdsaP256Sha256,
        ring::ECDSA_P384_SHA384,
        &Ed25519,
        ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&EcdsaP256Sha256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[ring::ECDSA_P384_SHA384]),
        (SignatureScheme::ED25519, &[&Ed25519]),
        (SignatureScheme::RSA_PSS_SHA256, &[ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA512, &[ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
    ],
};

#[derive(Debug)]
struct EcdsaP256Sha256;

impl SignatureVerificationAlgorithm for EcdsaP256Sha256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

#[derive(Debug)]
struct Ed25519;

impl SignatureVerificationAlgorithm for Ed25519 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = Ed25519PublicKey::try_from(public_key).map_err(|_| InvalidSignature)?;
        let signature = ssh_key::Signature::new(ssh_key::Algorithm::Ed25519, signature);
        key.verify(message, &signature.map_err(|_| InvalidSignature)?).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

#[derive(Debug)]
struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Exchange(Agreement::start(Curve::X25519))))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange(Agreement);

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, its_public: &[u8]) -> Result<SharedSecret, Error> {
        let secret = self.0.complete(its_public).ok_or(PeerMisbehaved::InvalidKeyShare)?;
        Ok(SharedSecret::from(&secret[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.0.public()
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[derive(Debug)]
struct Kernel;

impl SecureRandom for Kernel {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        sys::fill_random(bytes);
        Ok(())
    }
}

/// The guest never proves itself by a certificate.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _key: PrivateKeyDer<'static>,
    ) -> Result<std::sync::Arc<dyn SigningKey>, Error> {
        Err(Error::General("this program has no client certificates".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData};
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn verifies(scheme: SignatureScheme, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let (_, algorithms) = SIGNATURES.mapping.iter().find(|(known, _)| *known == scheme).unwrap();
        algorithms[0].verify_signature(key, message, signature).is_ok()
    }

    /// ring is the judge: it makes what is verified here.
    #[test]
    fn signatures_of_a_host_are_verified_and_nothing_else_passes() {
        for (kind, scheme) in [
            (&PKCS_ECDSA_P256_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256),
            (&PKCS_ECDSA_P384_SHA384, SignatureScheme::ECDSA_NISTP384_SHA384),
            (&PKCS_ED25519, SignatureScheme::ED25519),
        ] {
            let pair = KeyPair::generate_for(kind).unwrap();
            let other = KeyPair::generate_for(kind).unwrap();
            let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
            let signer = rustls::crypto::ring::sign::any_supported_type(&der).unwrap();
            let signature = signer.choose_scheme(&[scheme]).unwrap().sign(b"hello").unwrap();
            assert!(verifies(scheme, pair.der_bytes(), b"hello", &signature), "{scheme:?}");

            let mut bent = signature.clone();
            *bent.last_mut().unwrap() ^= 1;
            for (key, message, signature) in [
                (other.der_bytes(), &b"hello"[..], &signature[..]),
                (pair.der_bytes(), b"hullo", &signature),
                (pair.der_bytes(), b"hello", &bent),
                (pair.der_bytes(), b"hello", &signature[..signature.len() - 1]),
                (pair.der_bytes(), b"hello", b""),
                (b"", b"hello", &signature),
                (b"\x04", b"hello", &signature),
            ] {
                assert!(!verifies(scheme, key, message, signature), "{scheme:?}");
            }
        }
    }

    #[test]
    fn only_tls_1_3_is_spoken_and_every_algorithm_has_a_scheme() {
        assert!(tls().cipher_suites.iter().all(|suite| suite.tls13().is_some()));
        assert_eq!(SIGNATURES.all.len(), SIGNATURES.mapping.len());
    }
}
