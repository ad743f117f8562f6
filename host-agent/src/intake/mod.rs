//! Takes reports: proves them, stores them durably, answers. It can do nothing else. Everything goes through the store, so any
//! companion can take any report; whoever drives the guest's job hears of it from there.

mod beacon_alone;
mod evidence;
mod open;
mod pulled;
mod unclaimed;
mod verdict;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use firstlight_shared::error::{Chain, Code};
use firstlight_shared::text::escape;
use firstlight_shared::wire::{
    Ack, Envelope, EnvelopeError, HostKey, Opened, REPORT_VERSION, ReportState, Trust,
};

pub use beacon_alone::{BeaconView, failure, verdict_by_beacon};
pub use open::Chosen;
pub use pulled::Pulled;
pub use unclaimed::{COPIED, NO_CLAIM};
pub use verdict::{Delivered, Expected, Problem, verdict};

use crate::clock::now_ms;
use crate::store::{Answered, Refused, Store, StoreError, StoredClaim, StoredReport};

/// Why no acknowledgement was given.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Recorded and shown to the operator; final for the guest.
    #[error("{}", .0.message)]
    Refused(Refused),
    /// It answers a claim without a secret, and the guest's beacon has not named it yet: the guest shall try again. An
    /// acknowledgement would have it take the beacon down.
    #[error("the report is not yet known to be the guest's")]
    Unbound,
    /// Nothing was decided: the guest shall try again.
    #[error("the report could not be stored")]
    Store(#[from] StoreError),
}

/// Has guests' host keys certified: what is answered goes to the guest. Nothing, if there is no CA, or it fails.
#[async_trait]
pub trait Certify: std::fmt::Debug + Send + Sync {
    /// For these keys of a guest whose report is about to be taken.
    async fn for_report(&self, job: &str, guest: &str, keys: &[HostKey]) -> Vec<String>;
    /// For a guest that is ready; those that are not due yet come again.
    async fn for_evidence(&self, job: &str, guest: &str) -> Vec<String>;
}

/// The report listener's only collaborator.
#[derive(Debug, Clone)]
pub struct Intake {
    store: Store,
    /// None: no key is certified.
    certifier: Option<Arc<dyn Certify>>,
}

/// What is known of a report when it is refused.
#[derive(Default)]
struct Suspect<'a> {
    sha256: Option<String>,
    claim_id: Option<String>,
    claim: Option<&'a StoredClaim>,
}

impl Intake {
    pub fn new(store: Store) -> Self {
        Self { store, certifier: None }
    }

    /// The same, with certificates for guests.
    pub fn certifying(self, certifier: Arc<dyn Certify>) -> Self {
        Self { certifier: Some(certifier), ..self }
    }

    /// Takes the bytes of an envelope from `source`. The same bytes from the same source always get the same answer.
    pub async fn receive(&self, bytes: &[u8], source: IpAddr) -> Result<Ack, IntakeError> {
        let mut suspect = Suspect::default();
        let (envelope, opened) = match open(bytes, &mut suspect) {
            Ok(opened) => opened,
            Err(error) => {
                let (code, message) = (error.code(), Chain(&error).to_string());
                return Err(self.refuse(source, code, &message, suspect).await?);
            }
        };
        let Some(id) = suspect.claim_id.clone() else {
            return self.receive_unclaimed(envelope, opened, source, suspect).await;
        };
        let keys: Vec<String> =
            opened.report.identity.ssh_host_keys.iter().map(|key| key.fingerprint.clone()).collect();
        let Some(ground) = self.store.ground(&id, &keys).await? else {
            return self.receive_unclaimed(envelope, opened, source, suspect).await;
        };
        let claim = ground.claim;
        suspect.claim = Some(&claim);
        if let Some(known) = &ground.answered {
            return self.answer_again(known, &opened.sha256, source, suspect).await;
        }
        if claim.open && !claim.expired {
            let parcel = open::Parcel { envelope, opened, twin: ground.twin, source };
            return self.receive_open(&claim, parcel, suspect).await;
        }
        if let Some((code, message)) = objection(&claim, &envelope) {
            return Err(self.refuse(source, code, message, suspect).await?);
        }
        if let Some(other) = ground.twin {
            let message = format!("guest {other} has reported with the same SSH host key");
            // The claim was proved, so this is the guest itself: whoever waits for it need not wait on.
            let refused = refusal(source, "shared-host-key", &message, suspect);
            self.store.refuse_guest(&refused).await?;
            return Err(IntakeError::Refused(refused));
        }
        let (ack, taken) =
            self.take(envelope, opened, &claim, &source.to_string(), Trust::Claimed, &[]).await?;
        if taken { Ok(ack) } else { self.was_faster(&ack.report_sha256, &claim, source).await }
    }

    /// The claim was answered before: the same bytes from the same source get the same answer, also when the job has ended.
    async fn answer_again(
        &self,
        known: &Answered,
        sha256: &str,
        source: IpAddr,
        suspect: Suspect<'_>,
    ) -> Result<Ack, IntakeError> {
        if known.sha256 != sha256 {
            let message = "this claim has been answered by another report";
            return Err(self.refuse(source, "claim-used", message, suspect).await?);
        }
        // Of one that nobody had sent, the first who does is answered: the bytes are the guest's in any case.
        if known.source != source.to_string() && known.source != pulled::HYPERVISOR {
            let message = format!("these bytes were taken from {} before: a replay", known.source);
            return Err(self.refuse(source, "replayed", &message, suspect).await?);
        }
        Ok(known.ack.clone())
    }

    /// False: somebody else was faster with the same claim, between our look and this write.
    async fn take(
        &self,
        envelope: Envelope,
        opened: Opened,
        claim: &StoredClaim,
        source: &str,
        trust: Trust,
        others: &[Refused],
    ) -> Result<(Ack, bool), StoreError> {
        let accepted_at_ms = now_ms();
        let identities = crate::identities::identities(&claim.guest, &opened.report).values;
        let report = &opened.report;
        let host_certificates = match &self.certifier {
            Some(certifier) if trust <= Trust::Claimed && report.state == ReportState::Ready => {
                certifier.for_report(&claim.job, &claim.guest, &report.identity.ssh_host_keys).await
            }
            _ => Vec::new(),
        };
        let ack = Ack {
            version: REPORT_VERSION,
            report_sha256: opened.sha256.clone(),
            accepted_at_ms,
            host_certificates,
        };
        let stored = StoredReport {
            sha256: opened.sha256,
            claim_id: claim.id.clone(),
            job: claim.job.clone(),
            guest: claim.guest.clone(),
            received_at_ms: accepted_at_ms,
            source: source.to_owned(),
            trust,
            envelope,
            ack: ack.clone(),
        };
        let taken = match claim.open {
            true => self.store.choose_report(&stored, &identities, others).await?,
            false => self.store.take_report(&stored, &identities).await?,
        };
        if taken {
            tracing::info!(guest = %claim.guest, job = %claim.job, sha256 = %ack.report_sha256, "report taken");
        }
        Ok((ack, taken))
    }

    /// Perhaps it was the guest itself.
    async fn was_faster(
        &self,
        sha256: &str,
        claim: &StoredClaim,
        source: IpAddr,
    ) -> Result<Ack, IntakeError> {
        let suspect =
            Suspect { sha256: Some(sha256.to_owned()), claim_id: Some(claim.id.clone()), claim: Some(claim) };
        match self.store.ground(&claim.id, &[]).await?.and_then(|ground| ground.answered) {
            Some(known) => self.answer_again(&known, sha256, source, suspect).await,
            None => {
                Err(self.refuse(source, "replayed", "these bytes answered another claim", suspect).await?)
            }
        }
    }

    async fn refuse(
        &self,
        source: IpAddr,
        code: &str,
        message: &str,
        suspect: Suspect<'_>,
    ) -> Result<IntakeError, StoreError> {
        let refused = refusal(source, code, message, suspect);
        self.store.refuse_report(&refused).await?;
        Ok(IntakeError::Refused(refused))
    }
}

fn refusal(source: impl std::fmt::Display, code: &str, message: &str, suspect: Suspect<'_>) -> Refused {
    tracing::warn!(%source, code, "report refused");
    Refused {
        at_ms: now_ms(),
        source: source.to_string(),
        code: code.to_owned(),
        message: escape(message, 500),
        claim_id: suspect.claim_id.map(|id| escape(&id, 100)),
        guest: suspect.claim.map(|claim| claim.guest.clone()),
        job: suspect.claim.map(|claim| claim.job.clone()),
        sha256: suspect.sha256,
    }
}

/// Why a well-signed report may not answer this claim.
fn objection(claim: &StoredClaim, envelope: &Envelope) -> Option<(&'static str, &'static str)> {
    if claim.expired {
        return Some(("claim-expired", "the job of this claim has ended"));
    }
    let holds = !claim.open && envelope.binding_holds(&claim.secret);
    (!holds).then_some(("wrong-claim", "the report was not made with this claim's secret"))
}

/// Reads and proves the envelope, noting what can be said of it if that fails.
fn open(bytes: &[u8], suspect: &mut Suspect<'_>) -> Result<(Envelope, Opened), EnvelopeError> {
    let envelope = Envelope::parse(bytes)?;
    suspect.claim_id = envelope.binding.as_ref().map(|binding| binding.claim_id.clone());
    suspect.sha256 = Some(firstlight_shared::wire::sha256_hex(envelope.report.as_bytes()));
    let opened = envelope.open()?;
    Ok((envelope, opened))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
