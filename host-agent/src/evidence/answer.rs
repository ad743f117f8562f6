//! Whether a guest's answer is one: signed by its own host key, for this very challenge, now.

use firstlight_shared::error::{Chain, Code};
use firstlight_shared::wire::{
    EVIDENCE_NAMESPACE, EVIDENCE_VERSION, EnvelopeError, Evidence, HostKey, REPORT_VERSION, Signed,
};

use super::SKEW_MS;

/// What the guest was asked, and who it is known to be.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    pub nonce: &'a str,
    /// Milliseconds since the Unix epoch.
    pub asked_at_ms: u64,
    pub answered_at_ms: u64,
    /// Those that were verified when it was brought up.
    pub host_keys: &'a [HostKey],
}

/// Why something is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable kebab-case code, `evidence-...`.
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Proves the answer, and reads it.
///
/// # Errors
/// `evidence-unreadable`, `evidence-bad-signature`, `evidence-foreign-key`, `evidence-replayed`, `evidence-wrong-time`.
pub fn proved(signed: &Signed, challenge: &Challenge<'_>) -> Result<Evidence, Refusal> {
    let (evidence, key) = opened(signed)?;
    let known = challenge.host_keys.iter().filter_map(|known| known.checked().ok());
    if !known.into_iter().any(|known| known.key_data() == key.key_data()) {
        let message =
            "the answer is signed with a key that is none of the host keys verified at the bring-up";
        return Err(Refusal::new("evidence-foreign-key", message));
    }
    if evidence.nonce.as_deref() != Some(challenge.nonce) {
        let message = "the answer is not to this question: it holds another challenge, or none (a replay)";
        return Err(Refusal::new("evidence-replayed", message));
    }
    let made = evidence.report.made_at_ms;
    let window =
        challenge.asked_at_ms.saturating_sub(SKEW_MS)..=challenge.answered_at_ms.saturating_add(SKEW_MS);
    if !window.contains(&made) {
        let off = made.abs_diff(challenge.asked_at_ms) / 1000;
        let message = format!("the guest's clock is off by {off} s: its evidence has a date that cannot be");
        return Err(Refusal::new("evidence-wrong-time", message));
    }
    Ok(evidence)
}

/// The guest's words, and the key that signed them. Whose key it is, is not looked at.
///
/// # Errors
/// `evidence-unreadable`, `evidence-bad-signature`.
pub fn opened(signed: &Signed) -> Result<(Evidence, ssh_key::PublicKey), Refusal> {
    let (evidence, key) = signed
        .open::<Evidence>(EVIDENCE_NAMESPACE)
        .map_err(|error| refused("the guest's evidence", &error))?;
    if evidence.version != EVIDENCE_VERSION || evidence.report.version != REPORT_VERSION {
        let message =
            format!("the guest's evidence has version {}, which is not known here", evidence.version);
        return Err(Refusal::new("evidence-unreadable", message));
    }
    Ok((evidence, key))
}

pub(super) fn refused(what: &str, error: &EnvelopeError) -> Refusal {
    match error.code() {
        "bad-signature" => Refusal::new(
            "evidence-bad-signature",
            format!("{what} was changed after it was signed, or was signed by somebody else"),
        ),
        "malformed" => {
            Refusal::new("evidence-unreadable", format!("{what} cannot be read: {}", source(error)))
        }
        _ => Refusal::new("evidence-unreadable", format!("{what} cannot be read: {}", Chain(error))),
    }
}

/// Without the words that speak of reports.
fn source(error: &EnvelopeError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
