//! Wire format v1: what passes between guest and host.
//!
//! The host hands a [`Claim`] to the guest (a channel that the hypervisor alone writes). The guest answers with an
//! [`Envelope`]: the bytes of a [`Report`], an SSHSIG over them by its new ed25519 host key, and an HMAC keyed by the
//! claim's secret. The host answers with an [`Ack`] or a [`Refusal`]. All three are JSON; the signed bytes travel as
//! a string, so that nobody has to agree on a canonical form.

mod ack;
mod claim;
mod envelope;
mod evidence;
mod report;
mod secret;

pub use ack::{Ack, Refusal, Trust};
pub use claim::{Claim, ClaimError, Intent};
pub use envelope::{Binding, Envelope, EnvelopeError, Opened, sha256_hex, signing_key_line};
pub use evidence::{
    ChallengeText, EVIDENCE_FILE_NAMESPACE, EVIDENCE_NAMESPACE, EVIDENCE_VERSION, Evidence, NONCE_DIGITS,
    Signed, SystemNow, is_nonce,
};
pub use report::{
    Address, Agent, BootTiming, Decision, Facts, HostKey, Hostname, Identity, Interface, ItemAction,
    ItemOutcome, MachineIdOutcome, MachineIdState, Prediction, PredictionSource, REPORT_VERSION, Report,
    ReportState, UnitTiming,
};
pub use secret::{ExpectedSecret, SecretOutcome, secret_prefix};

/// The largest envelope that a host reads, in bytes.
pub const MAX_ENVELOPE: usize = 256 * 1024;
