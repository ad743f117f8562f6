//! What the guest takes of rustls: TLS 1.3, X25519, and the signatures that a host's key makes.
//!
//! ring brings the ciphers. Its P-256 would bring a table of 148 KiB, while the p256 crate is in the program anyway
//! (it makes the ECDSA host key). Naming each part here, and never `ring::default_provider()`, leaves the rest out:
//! 320 KB of the static binary.

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, alg_id,
};
use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};
use webpki::ring;

use crate::sys;

/// The one provider of the program; every TLS configuration is built on it.
pub(crate) fn tls() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Kernel,
        key_provider: &NoKeys,
    }
}

const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &EcdsaP256Sha256,
        ring::ECDSA_P384_SHA384,
        ring::ED25519,
        ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&EcdsaP256Sha256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[ring::ECDSA_P384_SHA384]),
        (SignatureScheme::ED25519, &[ring::ED25519]),
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
