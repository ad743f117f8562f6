//! Places in a guest that both sides name: the guest writes them, the host may read them through the hypervisor.

/// The signed report, an [`crate::wire::Envelope`] as JSON; always written, whatever the network does.
pub const REPORT: &str = "/run/firstlight/report.json";
/// Name of the systemd credential that carries the claim.
pub const CLAIM_CREDENTIAL: &str = "firstlight.claim";
/// Begins the name of the systemd credential with a secret file; the secret's place in the claim's list follows.
pub const SECRET_CREDENTIAL: &str = "firstlight.secret.";
/// The same for a variable of PID 1, in base64.
pub const SECRET_VARIABLE: &str = "FIRSTLIGHT_SECRET_";
/// HTTP path that takes reports.
pub const REPORT_ENDPOINT: &str = "/v1/report";
/// HTTP path that gives out challenges, to be answered with evidence.
pub const CHALLENGE_ENDPOINT: &str = "/v1/challenge";
/// HTTP path that takes evidence.
pub const EVIDENCE_ENDPOINT: &str = "/v1/evidence";
