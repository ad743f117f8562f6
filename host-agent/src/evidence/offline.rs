//! An evidence file read by somebody who has nothing but keys: no companion, no store, no network.

use firstlight_shared::wire::{EVIDENCE_FILE_NAMESPACE, EVIDENCE_NAMESPACE, Evidence, Report, Signed};
use serde::Serialize;
use ssh_key::{HashAlg, PublicKey};

use super::answer::{Challenge, Refusal, opened, proved, refused};
use super::{Compared, FILE_LIMIT, Finding, KnownKeys, STATEMENT_VERSION, Statement, compare};

/// What a file proves.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// Both signatures are of known keys, nothing was changed, and everything holds.
    pub holds: bool,
    pub guest: String,
    /// By what names the keys are known, and their fingerprints.
    pub signed_by: [String; 2],
    pub mismatches: Vec<String>,
    /// Made anew from what both reports say, not taken from the file.
    pub comparison: Vec<Compared>,
    pub problems: Vec<Finding>,
    pub statement: Statement,
    pub evidence: Evidence,
}

/// Reads and proves a file.
///
/// # Errors
/// It was changed, cannot be read, or is not signed by keys that are known.
pub fn check(bytes: &[u8], known: &KnownKeys) -> Result<Checked, Refusal> {
    let (statement, companion_key) = statement_of(bytes)?;
    let companion = known
        .who(&companion_key, EVIDENCE_FILE_NAMESPACE, None)
        .map_err(|why| unknown("the companion's key", &companion_key, &why))?;
    let (evidence, guest_key) = opened(&statement.evidence)?;
    let guest = known
        .who(&guest_key, EVIDENCE_NAMESPACE, Some(&statement.guest))
        .map_err(|why| unknown(&format!("the key of guest {}", statement.guest), &guest_key, &why))?;
    let challenge = Challenge {
        nonce: &statement.asked.nonce,
        asked_at_ms: statement.asked.at_ms,
        answered_at_ms: statement.answered_at_ms,
        host_keys: &statement.host_keys,
    };
    proved(&statement.evidence, &challenge)?;
    let before = bring_up(&statement)?;
    let comparison = compare(before.as_ref(), &evidence);
    let mismatches = statement.mismatches(&comparison);
    Ok(Checked {
        holds: mismatches.is_empty(),
        guest: statement.guest.clone(),
        signed_by: [named(&guest, &guest_key), named(&companion, &companion_key)],
        mismatches,
        comparison,
        problems: statement.problems.clone(),
        statement,
        evidence,
    })
}

fn statement_of(bytes: &[u8]) -> Result<(Statement, PublicKey), Refusal> {
    let unreadable =
        |why: String| Refusal::new("evidence-unreadable", format!("this is no evidence file: {why}"));
    if bytes.len() > FILE_LIMIT {
        return Err(unreadable(format!("it has {} bytes, {FILE_LIMIT} are allowed", bytes.len())));
    }
    let file: Signed = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    let file = file.known_version().map_err(|error| unreadable(error.to_string()))?;
    let (statement, key) = file
        .open::<Statement>(EVIDENCE_FILE_NAMESPACE)
        .map_err(|error| refused("the companion's statement", &error))?;
    if statement.version != STATEMENT_VERSION {
        return Err(unreadable(format!("version {} is not known here", statement.version)));
    }
    Ok((statement, key))
}

fn unknown(what: &str, key: &PublicKey, why: &str) -> Refusal {
    let print = key.fingerprint(HashAlg::Sha256);
    Refusal::new("evidence-unknown-key", format!("{what} ({print}) is not known: {why}"))
}

fn named(names: &str, key: &PublicKey) -> String {
    format!("{} ({})", names, key.fingerprint(HashAlg::Sha256))
}

/// The bring-up's report, if its own signature holds and is of one of the guest's keys.
fn bring_up(statement: &Statement) -> Result<Option<Report>, Refusal> {
    let Some(bring_up) = &statement.bring_up else { return Ok(None) };
    let opened = bring_up.envelope.open().map_err(|error| refused("the bring-up's report", &error))?;
    let keys = |keys: &[firstlight_shared::wire::HostKey]| {
        keys.iter().map(|key| key.fingerprint.clone()).collect::<Vec<_>>()
    };
    if opened.ephemeral_key || keys(&opened.report.identity.ssh_host_keys) != keys(&statement.host_keys) {
        let message = "the bring-up's report is not of the host keys that the file names";
        return Err(Refusal::new("evidence-foreign-key", message));
    }
    Ok(Some(opened.report))
}

impl Statement {
    /// Everything that does not hold, one line each.
    pub fn mismatches(&self, comparison: &[Compared]) -> Vec<String> {
        // A check that fails stands among the comparisons, with what it was.
        let compared = |one: &&Finding| one.code != "check-failed" || comparison.iter().all(|one| one.holds);
        let mut found: Vec<String> =
            self.problems.iter().filter(compared).map(|one| one.message.clone()).collect();
        found.extend(comparison.iter().filter(|one| !one.holds).map(told));
        if found.is_empty() && !self.holds {
            found.push("the companion found that it does not hold".to_owned());
        }
        found
    }
}

/// One comparison as a line for people.
fn told(one: &Compared) -> String {
    let is = one.is.as_deref().unwrap_or("not there");
    match &one.was {
        Some(was) => format!("{} {}: was {was}; is {is}", one.what, one.outcome.as_str()),
        None => format!("{} {}: {is}", one.what, one.outcome.as_str()),
    }
}
