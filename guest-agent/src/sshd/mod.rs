//! The SSH server: how it is configured, what it really serves, and how it learns a new key.

mod config;
mod handshake;
mod probe;
mod program;
mod reload;
mod signature;
#[cfg(test)]
pub(crate) mod testbed;
mod wire;

#[cfg(feature = "fuzzing")]
pub(crate) use config::Files;
pub(crate) use config::SshdConfig;
pub(crate) use handshake::HandshakeError;
#[cfg(feature = "fuzzing")]
pub(crate) use handshake::served;
pub(crate) use probe::{ProbeError, probe};
pub(crate) use program::{accepts_configuration, differences};
pub(crate) use reload::{KEYS_READ, let_sshd_read_configuration, let_sshd_read_keys};
pub(crate) use signature::{Proof, verify};
pub(crate) use wire::{Reader, put_string};

use ssh_key::{Algorithm, EcdsaCurve, PublicKey};

/// The host key algorithm by which sshd serves a key of this type.
pub(crate) fn algorithm_of(key: &PublicKey) -> Option<&'static str> {
    Some(match key.algorithm() {
        Algorithm::Ed25519 => "ssh-ed25519",
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => "ecdsa-sha2-nistp256",
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 } => "ecdsa-sha2-nistp384",
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 } => "ecdsa-sha2-nistp521",
        Algorithm::Rsa { .. } => "rsa-sha2-512",
        _ => return None,
    })
}
