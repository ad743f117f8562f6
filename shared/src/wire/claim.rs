//! The claim: what the hypervisor hands to one guest, once.

use serde::{Deserialize, Serialize};

use crate::ids::GuestName;
use crate::pin::SpkiPin;
use crate::secret::Secret;

/// What the operator means with this guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// A new guest from a golden: always a new identity.
    #[default]
    Provision,
    /// The same guest back from its backup: its identity is kept.
    Restore,
}

/// A one-time secret and where to report to.
///
/// ```
/// let claim: firstlight_shared::wire::Claim = serde_json::from_str(r#"{
///   "version": 1, "id": "0b6c4d1e9f", "secret": "00112233445566778899aabbccddeeff",
///   "intent": "provision", "hostname": "web-01", "url": "https://10.77.0.1:7443",
///   "pin": "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
/// }"#).unwrap();
/// assert_eq!(claim.hostname.unwrap().as_str(), "web-01");
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Always 1; other versions are refused by the guest, which then reports without a claim.
    pub version: u32,
    /// The claim's name: not secret, unique per job.
    pub id: String,
    /// Keys the HMAC over the report. Absent where the channel is no place for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The host name that the guest must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<GuestName>,
    /// `https://ADDRESS:PORT` of the report listener; an address, not a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The listener's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<SpkiPin>,
}
