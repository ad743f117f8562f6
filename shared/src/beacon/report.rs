//! The beacon that belongs to a report.

use sha2::{Digest, Sha256};
use ssh_key::PublicKey;

use super::{Beacon, Key, Reason, State};
use crate::wire::{Envelope, Report, ReportState};

impl Beacon {
    /// What the beacon says once this report stands; `failure` is the reason if the report says that identity failed.
    ///
    /// None if the envelope does not hold a report or is not signed by an ed25519 key. Nothing is verified here.
    pub fn of_report(envelope: &Envelope, failure: Reason) -> Option<Self> {
        let report: Report = serde_json::from_slice(envelope.report.as_bytes()).ok()?;
        let (state, reason) = match report.state {
            ReportState::Ready => (State::Ready, Reason::None),
            ReportState::Degraded => (State::Degraded, Reason::CheckFailed),
            ReportState::Failed => (State::Failed, failure),
        };
        let key = PublicKey::from_openssh(&envelope.signing_key).ok()?;
        let is_host_key =
            report.identity.ssh_host_keys.iter().any(|host| host.public_key == envelope.signing_key);
        let key = if is_host_key { Key::host(&key)? } else { Key::ephemeral(&key)? };
        let digest = Sha256::digest(envelope.report.as_bytes());
        Some(Self { state, reason, report: Some(digest.into()), key: Some(key) })
    }
}
