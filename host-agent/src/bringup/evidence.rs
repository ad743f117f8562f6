//! Asks a guest that was found ready once more, and keeps what it says as evidence. Changes nothing in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::ids::MachineId;
use firstlight_shared::secret::Secret;
use firstlight_shared::text::escape;
use firstlight_shared::wire::{
    EVIDENCE_FILE_NAMESPACE, Evidence, HostKey, Report, Signed, Trust, sha256_hex, signing_key_line,
};
use serde::{Deserialize, Serialize};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use super::facts::{Allocated, beacon_of, is_adoption, spec_of};
use super::service::{Bringups, store_fault};
use super::spec::GuestSpec;
use crate::backend::{Backend, Placement, Ran};
use crate::clock::now_ms;
use crate::evidence::{
    Asked, BringUp, COMPANION, Challenge, Finding, Over, Refusal, STATEMENT_VERSION, Statement, compare,
    proved,
};
use crate::identities::identities;
use crate::intake::{Expected, verdict};
use crate::job::Phase;
use crate::outcome::Fault;
use crate::store::{Heard, JobRow, Refused, StoreError, StoredEvidence};

/// For all checks of a guest: one look of the slowest kind may take more than a minute.
const LIMIT: Duration = Duration::from_secs(180);
/// What the guest agent ends with when the evidence was made: the guest is ready, or it is not.
const MADE: [i32; 2] = [0, 7];
const COMPLAINT: usize = 300;

/// How asking a guest went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Verified {
    pub guest: String,
    pub job: String,
    pub state: VerifiedState,
    /// What the guest sends later than this counts. Ask with it again, to go on waiting.
    pub since_ms: u64,
    /// Whether the guest sends evidence by itself, as its last report says; none: it does not say.
    pub timer: Option<bool>,
    /// Everything holds. None: there is no evidence yet.
    pub holds: Option<bool>,
    /// Of the file's text, in hexadecimal.
    pub sha256: Option<String>,
    /// The evidence file, signed by the companion.
    #[schema(value_type = Option<Object>)]
    pub file: Option<Signed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifiedState {
    /// There is evidence.
    Made,
    /// Nothing can be run in the guest; its timer will send evidence.
    Waiting,
    /// Nothing can be run in the guest, and it has no timer: it sends evidence when it boots the next time.
    AtNextBoot,
}

/// Who signs evidence files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EvidenceKey {
    /// The public key line.
    pub public_key: String,
    /// The same as a line for allowed_signers.
    pub allowed_signers: String,
}

/// What is known of a guest from its bring-up.
struct Known {
    row: JobRow,
    backend: Arc<dyn Backend>,
    spec: GuestSpec,
    placement: Placement,
    host_keys: Vec<HostKey>,
    before: Option<Report>,
    bring_up: Option<BringUp>,
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
enum KeyTrouble {
    #[error("the store has none")]
    Store(#[from] StoreError),
    #[error("none can be made")]
    Key(#[from] ssh_key::Error),
}

/// One answer, and what was asked for it.
struct Answer {
    asked: Asked,
    answered_at_ms: u64,
    signed: Signed,
    source: String,
}

impl Bringups {
    /// Has the guest run its checks anew, or takes what it sent by itself since then. With `since_ms` nothing is run: it is
    /// looked whether the guest has sent something later than that.
    pub async fn verify(&self, guest: &str, since_ms: Option<u64>, by: &str) -> Result<Verified, Fault> {
        let known = self.known_guest(guest).await?;
        let asked_at_ms = now_ms();
        if since_ms.is_none() {
            match self.ask_guest(&known, by, asked_at_ms).await {
                Ok(answer) => return self.keep_answer(&known, answer).await,
                Err(fault) if fault.code == "no-commands" => {}
                Err(fault) => return Err(fault),
            }
        }
        let since_ms = since_ms.unwrap_or(asked_at_ms);
        let heard = self.store.heard(&known.row.id).await.map_err(store_fault)?;
        match heard.filter(|heard| heard.at_ms > since_ms) {
            Some(heard) => self.keep_answer(&known, answer_of(heard, by)?).await,
            None => Ok(known.not_yet(since_ms)),
        }
    }

    /// The key that signs evidence files; made when it is wanted first, and shared by all companions of the store.
    pub async fn evidence_key(&self) -> Result<EvidenceKey, Fault> {
        let key = self.signing_key().await?;
        let line = signing_key_line(key.public_key()).map_err(|error| no_key(&error))?;
        let allowed_signers = format!("{COMPANION} namespaces=\"{EVIDENCE_FILE_NAMESPACE}\" {line}");
        Ok(EvidenceKey { public_key: line, allowed_signers })
    }

    async fn signing_key(&self) -> Result<PrivateKey, Fault> {
        let make = || -> Result<Secret, KeyTrouble> {
            let made = PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?;
            Ok(Secret::new(made.to_openssh(LineEnding::LF)?.as_bytes().to_vec()))
        };
        let pem = self.store.evidence_key(make).await.map_err(|trouble| match trouble {
            KeyTrouble::Store(error) => store_fault(error),
            KeyTrouble::Key(error) => no_key(&error),
        })?;
        PrivateKey::from_openssh(pem.expose()).map_err(|error| no_key(&error))
    }

    async fn known_guest(&self, guest: &str) -> Result<Known, Fault> {
        let row = self.find(guest).await.map_err(store_fault)?.filter(|row| !row.phase.is_gone());
        let row = row.ok_or_else(|| {
            Fault::new("no-such-guest", format!("there is no guest `{}`", escape(guest, 80)))
                .with_hint("`firstlight jobs` lists what there is")
        })?;
        if row.phase != Phase::Done {
            let message = format!(
                "guest {} is {}: only one that was found ready is verified",
                row.guest,
                row.phase.as_str()
            );
            return Err(Fault::new("job-not-done", message)
                .with_hint(format!("`firstlight show {}` tells how far it is", row.guest)));
        }
        let state = self.state(&row.id).await.map_err(store_fault)?;
        let state = state.ok_or_else(|| {
            Fault::new("journal-unreadable", format!("the journal of job {} cannot be read", row.id))
        })?;
        let (spec, backend) = (spec_of(&state)?, self.backend(&row.backend)?);
        let allocated = Allocated::of(&state)
            .ok_or_else(|| Fault::new("not-allocated", "the journal does not say what was chosen"))?;
        let mut placement = allocated.placement(&row.id, spec.plan.clone(), &state);
        placement.adopted = is_adoption(&state);
        let uuid = placement.allocation.slot.as_ref().and_then(|slot| slot.uuid.as_deref());
        placement.claim.machine_id =
            uuid.and_then(|uuid| uuid.parse::<MachineId>().ok()).map(|id| id.derived());
        let stored = self.store.report_of_job(&row.id).await.map_err(store_fault)?;
        let stored = stored.filter(|stored| stored.trust <= Trust::Claimed);
        let before =
            stored.as_ref().and_then(|stored| stored.envelope.open().ok()).map(|opened| opened.report);
        let host_keys = match &before {
            Some(report) => report.identity.ssh_host_keys.clone(),
            None => beacon_of(&state).and_then(|beacon| beacon.host_key).into_iter().collect(),
        };
        if host_keys.is_empty() {
            let message = format!("no host key of guest {} was ever verified", row.guest);
            return Err(Fault::new("evidence-no-key", message));
        }
        let bring_up = stored.map(|stored| BringUp {
            received_at_ms: stored.received_at_ms,
            trust: stored.trust,
            envelope: stored.envelope,
        });
        Ok(Known { row, backend, spec, placement, host_keys, before, bring_up })
    }

    /// Has the hypervisor run the guest agent, with a challenge that nobody could know.
    async fn ask_guest(&self, known: &Known, by: &str, at_ms: u64) -> Result<Answer, Fault> {
        let nonce = hex::encode(rand::random::<[u8; 32]>());
        let command = ["firstlight-guest", "verify", "--json", "--nonce", &nonce];
        let ran = known.backend.run(&known.placement, &command, LIMIT).await?;
        let signed = printed(&ran, &known.row.guest)?;
        let asked = Asked { by: by.to_owned(), at_ms, nonce, over: Over::Command };
        Ok(Answer { asked, answered_at_ms: now_ms(), signed, source: known.row.backend.clone() })
    }

    /// Judges an answer, and keeps it signed.
    async fn keep_answer(&self, known: &Known, answer: Answer) -> Result<Verified, Fault> {
        let challenge = Challenge {
            nonce: &answer.asked.nonce,
            asked_at_ms: answer.asked.at_ms,
            answered_at_ms: answer.answered_at_ms,
            host_keys: &known.host_keys,
        };
        let evidence = match proved(&answer.signed, &challenge) {
            Ok(evidence) => evidence,
            Err(refusal) => return Err(self.refused(known, &answer, refusal).await?),
        };
        let statement = self.statement(known, &answer, &evidence).await?;
        let key = self.signing_key().await?;
        let file = Signed::sign(&statement, &key, EVIDENCE_FILE_NAMESPACE)
            .map_err(|error| Fault::new("evidence-unsigned", Chain(&error).to_string()))?;
        let stored = StoredEvidence {
            sha256: sha256_hex(file.text.as_bytes()),
            job: known.row.id.clone(),
            guest: known.row.guest.clone(),
            at_ms: statement.answered_at_ms,
            holds: statement.holds,
            by: statement.asked.by.clone(),
            file,
        };
        self.store.keep_evidence(&stored).await.map_err(store_fault)?;
        tracing::info!(guest = %stored.guest, job = %stored.job, holds = stored.holds, "guest verified anew");
        Ok(Verified {
            state: VerifiedState::Made,
            holds: Some(stored.holds),
            sha256: Some(stored.sha256),
            file: Some(stored.file),
            ..known.not_yet(statement.asked.at_ms)
        })
    }

    async fn statement(
        &self,
        known: &Known,
        answer: &Answer,
        evidence: &Evidence,
    ) -> Result<Statement, Fault> {
        let observed = known.backend.observe(&known.placement).await?;
        let own = identities(&known.row.guest, &evidence.report);
        let shared = self.store.sharing(&known.row.id, &own.values).await.map_err(store_fault)?;
        let mounts: Vec<PathBuf> = known.spec.plan.mounts.iter().map(|mount| mount.path.clone()).collect();
        let expected = Expected {
            guest: &known.row.guest,
            mac: known.placement.allocation.mac,
            machine_id: known.placement.claim.machine_id,
            mounts: &mounts,
            require: &known.spec.require,
            // They were looked at before the first unit, which this is not.
            secrets: &[],
        };
        // Signed with a key that was verified, for a challenge of ours.
        let found = verdict(&evidence.report, Trust::Attested, &expected, &observed, &shared);
        let problems: Vec<Finding> = found
            .into_iter()
            .map(|one| Finding { code: one.code.to_owned(), message: one.message })
            .collect();
        let comparison = compare(known.before.as_ref(), evidence);
        let holds = problems.is_empty() && comparison.iter().all(|one| one.holds);
        Ok(Statement {
            version: STATEMENT_VERSION,
            guest: known.row.guest.clone(),
            job: known.row.id.clone(),
            backend: known.row.backend.clone(),
            asked: answer.asked.clone(),
            answered_at_ms: answer.answered_at_ms,
            companion: concat!("firstlight ", env!("CARGO_PKG_VERSION")).to_owned(),
            evidence: answer.signed.clone(),
            bring_up: known.bring_up.clone(),
            host_keys: known.host_keys.clone(),
            observed,
            problems,
            comparison,
            holds,
        })
    }

    /// Whoever is in a guest may answer with anything: that is on record, and no evidence.
    async fn refused(&self, known: &Known, answer: &Answer, refusal: Refusal) -> Result<Fault, Fault> {
        let refused = Refused {
            at_ms: now_ms(),
            source: answer.source.clone(),
            code: refusal.code.to_owned(),
            message: escape(&refusal.message, 500),
            claim_id: None,
            guest: Some(known.row.guest.clone()),
            job: Some(known.row.id.clone()),
            sha256: Some(sha256_hex(answer.signed.text.as_bytes())),
        };
        self.store.refuse_report(&refused).await.map_err(store_fault)?;
        Ok(Fault::new(refusal.code, format!("guest {}: {}", known.row.guest, refusal.message))
            .with_hint("nothing that this guest says is proved: look at it from outside, or destroy it"))
    }
}

impl Known {
    fn not_yet(&self, since_ms: u64) -> Verified {
        let timer = self.before.as_ref().and_then(|report| report.evidence_timer);
        let state = if timer == Some(true) { VerifiedState::Waiting } else { VerifiedState::AtNextBoot };
        Verified {
            guest: self.row.guest.clone(),
            job: self.row.id.clone(),
            state,
            since_ms,
            timer,
            holds: None,
            sha256: None,
            file: None,
        }
    }
}

/// What a guest sent by itself. Its challenge was proved to be one of ours when it came.
fn answer_of(heard: Heard, by: &str) -> Result<Answer, Fault> {
    let said: Option<Evidence> = serde_json::from_str(&heard.evidence.text).ok();
    let nonce = said.and_then(|said| said.nonce);
    let nonce =
        nonce.ok_or_else(|| Fault::new("evidence-unreadable", "what the guest sent has no challenge"))?;
    let asked = Asked { by: by.to_owned(), at_ms: heard.at_ms, nonce, over: Over::Timer };
    Ok(Answer { asked, answered_at_ms: heard.at_ms, signed: heard.evidence, source: heard.source })
}

fn printed(ran: &Ran, guest: &str) -> Result<Signed, Fault> {
    let made = ran.status.is_some_and(|status| MADE.contains(&status));
    match Signed::parse(ran.stdout.trim_ascii()) {
        Ok(signed) if made => Ok(signed),
        _ => {
            let said = escape(String::from_utf8_lossy(&ran.stderr).trim(), COMPLAINT);
            let ended = match ran.status {
                Some(status) => format!("ended with {status}"),
                None => "was ended by a signal".to_owned(),
            };
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            let message = format!("guest {guest} gave no evidence: `firstlight-guest verify` {ended}{said}");
            Err(Fault::new("evidence-none", message).with_hint(
                "is firstlight-guest of this version in the guest? `firstlight-guest --version` tells",
            ))
        }
    }
}

fn no_key(error: &dyn std::error::Error) -> Fault {
    Fault::new("evidence-unsigned", format!("the key for evidence files cannot be used: {error}"))
}
