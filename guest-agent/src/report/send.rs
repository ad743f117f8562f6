//! Evidence that nobody came for: a challenge is fetched from the companion that acknowledged this machine, and answered.
//! With the acknowledgement come host certificates, where the companion has a CA: so they are renewed.

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::paths::{CHALLENGE_ENDPOINT, EVIDENCE_ENDPOINT};
use firstlight_shared::text::escape;
use firstlight_shared::wire::{Ack, ChallengeText, Refusal, is_nonce, sha256_hex};

use super::{ReportEnd, companion, evidence};
use crate::channel::{ATTEMPT_LIMIT, Channel};
use crate::keys::certificate;
use crate::sys::Machine;

/// A companion that restarts is back by then; the next time comes anyway.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_secs(5);

/// Fetches a challenge, runs the checks, sends what they say.
pub(crate) async fn send(machine: &Machine, within: Duration) -> ReportEnd {
    let Some(channel) = companion::known(machine) else {
        eprintln!(
            "error: no companion has ever acknowledged this machine: there is nobody to send evidence to"
        );
        return ReportEnd::GaveUp;
    };
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match once(machine, &channel, within).await {
            Ok(end) => return end,
            Err(problem) => last = problem,
        }
    }
    eprintln!("error: the evidence was not delivered to {channel}: {}", escape(&last, 300));
    ReportEnd::GaveUp
}

async fn once(machine: &Machine, channel: &Channel, within: Duration) -> Result<ReportEnd, String> {
    let (status, body) = ask(channel, CHALLENGE_ENDPOINT, Vec::new()).await?;
    let nonce = match serde_json::from_slice::<ChallengeText>(&body) {
        Ok(challenge) if status == 200 && is_nonce(&challenge.nonce) => challenge.nonce,
        _ => return judged(status, &body),
    };
    let proof = evidence::make(machine, Some(nonce), within).await.map_err(|error| evidence::said(&error))?;
    let body = serde_json::to_vec(&proof.signed).map_err(|error| error.to_string())?;
    let (status, body) = ask(channel, EVIDENCE_ENDPOINT, body).await?;
    match serde_json::from_slice::<Ack>(&body) {
        Ok(ack) if status == 200 && ack.report_sha256 == sha256_hex(proof.signed.text.as_bytes()) => {
            eprintln!("the evidence was acknowledged over {channel}");
            // Those that are installed already come again until they are due: the same lines do nothing.
            certificate::install_and_tell(machine, &ack.host_certificates).await;
            Ok(ReportEnd::Done)
        }
        _ => judged(status, &body),
    }
}

/// A refusal is final; anything else is worth another attempt.
fn judged(status: u16, body: &[u8]) -> Result<ReportEnd, String> {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) if (400..500).contains(&status) => {
            let (code, message) = (escape(&refusal.code, 60), escape(&refusal.message, 300));
            eprintln!("error: the companion refused the evidence: {message} ({code})");
            Ok(ReportEnd::Refused)
        }
        _ => Err(format!("the companion answered with status {status}")),
    }
}

async fn ask(channel: &Channel, path: &'static str, body: Vec<u8>) -> Result<(u16, Vec<u8>), String> {
    match tokio::time::timeout(ATTEMPT_LIMIT, channel.ask(path, body)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Chain(&*error).to_string()),
        Err(_) => Err(format!("no answer within {} seconds", ATTEMPT_LIMIT.as_secs())),
    }
}
