//! What the host answers to a report.

use serde::{Deserialize, Serialize};

/// How a report was bound to its guest, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// The hypervisor itself shows the same report (file read or beacon).
    Attested,
    /// HMAC with the claim's secret.
    Claimed,
    /// Source address and MAC are those that the hypervisor lists.
    Observed,
    Unverified,
}

impl Trust {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::Claimed => "claimed",
            Self::Observed => "observed",
            Self::Unverified => "unverified",
        }
    }
}

/// The host has stored the report durably. The same bytes from the same guest always get this same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub version: u32,
    /// SHA-256 of the report bytes, in hexadecimal.
    pub report_sha256: String,
    /// Milliseconds since the Unix epoch, by the host's clock.
    pub accepted_at_ms: u64,
    /// Host certificates that the companion's CA made for the reported keys, as lines of `ssh_host_*-cert.pub` files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_certificates: Vec<String>,
}

/// The host has recorded the attempt and does not take the report. With HTTP 4xx it is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable kebab-case reason.
    pub code: String,
    pub message: String,
}
