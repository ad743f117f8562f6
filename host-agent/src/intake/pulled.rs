//! Reports that nobody sent: the hypervisor showed the guest's own file. No network was in between, so such a report is
//! attested, and whoever sends the same bytes later is answered.

use firstlight_shared::wire::{Envelope, Trust};

use super::{Chosen, Intake};
use crate::clock::now_ms;
use crate::store::{Candidate, StoreError, StoredClaim};

/// Stands for the sender's address.
pub(super) const HYPERVISOR: &str = "hypervisor";

/// What became of a file that was read in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    Chosen(Chosen),
    /// It is no report, or one that answers another claim. Why, in words for people.
    NotIts(String),
}

impl Intake {
    /// Takes the bytes of the file as the report that answers this claim.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn pulled(&self, claim: &StoredClaim, bytes: &[u8]) -> Result<Pulled, StoreError> {
        let envelope = match read(bytes, claim) {
            Ok(envelope) => envelope,
            Err(why) => return Ok(Pulled::NotIts(why)),
        };
        let sha256 = firstlight_shared::wire::sha256_hex(envelope.report.as_bytes());
        let came = self.store.candidates(&claim.id).await?;
        let came = came.into_iter().find(|one| one.sha256 == sha256);
        let source = came.map_or_else(|| HYPERVISOR.to_owned(), |one| one.source);
        let candidate = Candidate {
            sha256,
            claim_id: claim.id.clone(),
            job: claim.job.clone(),
            received_at_ms: now_ms(),
            source,
            envelope,
            refuted: false,
        };
        Ok(Pulled::Chosen(self.choose(&candidate, Trust::Attested).await?))
    }
}

fn read(bytes: &[u8], claim: &StoredClaim) -> Result<Envelope, String> {
    let envelope = Envelope::parse(bytes).map_err(|error| error.to_string())?;
    envelope.open().map_err(|error| error.to_string())?;
    match &envelope.binding {
        // It never saw its claim: the file is its own all the same.
        None => Ok(envelope),
        Some(binding) if binding.claim_id != claim.id => Err("it answers another claim".to_owned()),
        Some(_) if !claim.open && !envelope.binding_holds(&claim.secret) => {
            Err("it was not made with its claim's secret".to_owned())
        }
        Some(_) => Ok(envelope),
    }
}
