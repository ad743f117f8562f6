//! Reports for open claims. The claim's id is no secret where others may read it, so whoever sends a report for it proves
//! nothing. Those that come are kept; the one that the guest's beacon names is taken, and is attested by that.

use std::net::IpAddr;

use firstlight_shared::beacon::decode;
use firstlight_shared::wire::{Ack, Envelope, Opened, Trust};

use super::{Intake, IntakeError, Suspect, refusal};
use crate::clock::now_ms;
use crate::store::{Added, Candidate, Refused, StoreError, StoredClaim};

pub(super) const MISMATCH: &str = "report-mismatch";

/// A report, as it came.
pub(super) struct Parcel {
    pub(super) envelope: Envelope,
    pub(super) opened: Opened,
    /// The other guest with one of its host keys.
    pub(super) twin: Option<String>,
    pub(super) source: IpAddr,
}

/// What became of a candidate that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// It is the report that answered its claim; the others are refused.
    Taken,
    /// It is the guest's, and has a host key of another guest: the guest can never be taken.
    Refused(Refused),
    /// The claim has been answered by another one, or has ended.
    TooLate,
}

impl Intake {
    pub(super) async fn receive_open(
        &self,
        claim: &StoredClaim,
        parcel: Parcel,
        mut suspect: Suspect<'_>,
    ) -> Result<Ack, IntakeError> {
        let Parcel { envelope, opened, twin, source } = parcel;
        suspect.claim = Some(claim);
        if envelope.binding.as_ref().is_some_and(|binding| binding.hmac.is_some()) {
            let message = "this claim has no secret, and the report was made with one";
            return Err(self.refuse(source, "wrong-claim", message, suspect).await?);
        }
        let beacon = decode(&claim.beacon).ok().flatten();
        if beacon.is_some_and(|beacon| beacon.names(&envelope, &opened.sha256)) {
            if let Some(other) = twin {
                let refused = refusal(source, "shared-host-key", &shared_key(&other), suspect);
                self.store.refuse_guest(&refused).await?;
                return Err(IntakeError::Refused(refused));
            }
            let others = self.others(claim, &opened.sha256).await?;
            let (ack, taken) =
                self.take(envelope, opened, claim, &source.to_string(), Trust::Attested, &others).await?;
            return if taken { Ok(ack) } else { self.was_faster(&ack.report_sha256, claim, source).await };
        }
        if claim.vouched {
            return Err(self.refuse(source, MISMATCH, NOT_NAMED, suspect).await?);
        }
        let candidate = Candidate {
            sha256: opened.sha256,
            claim_id: claim.id.clone(),
            job: claim.job.clone(),
            received_at_ms: now_ms(),
            source: source.to_string(),
            envelope,
            refuted: false,
        };
        match self.store.add_candidate(&candidate).await? {
            Added::Added => {
                tracing::info!(guest = %claim.guest, job = %claim.job, sha256 = %candidate.sha256, %source,
                    "a report came that is not bound to its guest yet");
                Err(IntakeError::Unbound)
            }
            Added::Known { source: known, .. } if known != candidate.source => {
                let message = format!("these bytes came from {} before: a replay", known);
                Err(self.refuse(source, "replayed", &message, suspect).await?)
            }
            // Recorded when it was refuted.
            Added::Known { refuted: true, .. } => {
                Err(IntakeError::Refused(refusal(source, MISMATCH, NOT_NAMED, suspect)))
            }
            Added::Known { .. } => Err(IntakeError::Unbound),
            Added::Full => {
                let message = "too many reports came for this claim, which anybody may know";
                self.refuse(source, "too-many-reports", message, suspect).await?;
                // It may be the guest's all the same: once its beacon is seen, there is room for it.
                Err(IntakeError::Unbound)
            }
        }
    }

    /// Takes one of a claim's candidates as the report of its guest.
    pub async fn choose(&self, candidate: &Candidate, trust: Trust) -> Result<Chosen, StoreError> {
        let Ok(opened) = candidate.envelope.open() else { return Ok(Chosen::TooLate) };
        let source = candidate.source.as_str();
        let keys: Vec<String> =
            opened.report.identity.ssh_host_keys.iter().map(|key| key.fingerprint.clone()).collect();
        let ground = self.store.ground(&candidate.claim_id, &keys).await?;
        let Some(ground) = ground.filter(|ground| ground.answered.is_none() && !ground.claim.expired) else {
            return Ok(Chosen::TooLate);
        };
        if let (Some(other), Trust::Attested) = (&ground.twin, trust) {
            let suspect = Suspect {
                sha256: Some(candidate.sha256.clone()),
                claim_id: Some(candidate.claim_id.clone()),
                claim: Some(&ground.claim),
            };
            let refused = refusal(source, "shared-host-key", &shared_key(other), suspect);
            self.store.refuse_guest(&refused).await?;
            return Ok(Chosen::Refused(refused));
        }
        let others = self.others(&ground.claim, &candidate.sha256).await?;
        let envelope = candidate.envelope.clone();
        let (_, taken) = self.take(envelope, opened, &ground.claim, source, trust, &others).await?;
        Ok(if taken { Chosen::Taken } else { Chosen::TooLate })
    }

    /// Records that these candidates are not the guest's.
    pub async fn refute(&self, claim: &StoredClaim, candidates: &[&Candidate]) -> Result<(), StoreError> {
        let refused: Vec<Refused> = candidates.iter().map(|one| mismatch(claim, one)).collect();
        self.store.refute(&claim.id, &refused).await
    }

    async fn others(&self, claim: &StoredClaim, sha256: &str) -> Result<Vec<Refused>, StoreError> {
        let candidates = self.store.candidates(&claim.id).await?;
        let others = candidates.iter().filter(|one| one.sha256 != sha256 && !one.refuted);
        Ok(others.map(|one| mismatch(claim, one)).collect())
    }
}

const NOT_NAMED: &str = "the guest that runs here has named another report than this one";

fn shared_key(other: &str) -> String {
    format!("guest {other} has reported with the same SSH host key")
}

fn mismatch(claim: &StoredClaim, candidate: &Candidate) -> Refused {
    Refused {
        at_ms: now_ms(),
        source: candidate.source.clone(),
        code: MISMATCH.to_owned(),
        message: NOT_NAMED.to_owned(),
        claim_id: Some(claim.id.clone()),
        guest: Some(claim.guest.clone()),
        job: Some(claim.job.clone()),
        sha256: Some(candidate.sha256.clone()),
    }
}
