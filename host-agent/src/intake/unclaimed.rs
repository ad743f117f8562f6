//! Reports that answer no claim: of guests that somebody else made, whom nobody could hand one. Such a report is taken if a
//! job waits for a guest with its MACs. That proves nothing, so it is kept as one that may be the guest's, like those for open
//! claims, until the hypervisor binds it.

use std::net::IpAddr;

use firstlight_shared::wire::{Ack, Envelope, Opened, Report};

use super::open::Parcel;
use super::{Intake, IntakeError, Suspect};
use crate::store::Answered;

/// Of a report that came too early or that nobody waits for: the guest shall try again, for somebody may wait for it yet.
pub const NO_CLAIM: &str = "no-claim";
/// Interfaces of a report that are looked at; a guest that runs containers has many.
const MACS: usize = 64;

impl Intake {
    pub(super) async fn receive_unclaimed(
        &self,
        envelope: Envelope,
        opened: Opened,
        source: IpAddr,
        mut suspect: Suspect<'_>,
    ) -> Result<Ack, IntakeError> {
        if let Some(known) = self.store.report(&opened.sha256).await? {
            let known = Answered { sha256: known.sha256, source: known.source, ack: known.ack };
            return self.answer_again(&known, &opened.sha256, source, suspect).await;
        }
        let claims = self.store.adoptions_of(&macs(&opened.report)).await?;
        let claim = match claims.as_slice() {
            [claim] => claim,
            [] => return Err(self.not_waited_for(source, suspect).await?),
            several => {
                let guests: Vec<&str> = several.iter().map(|claim| claim.guest.as_str()).collect();
                let message = format!("its MACs are those of several guests: {}", guests.join(", "));
                return Err(self.refuse(source, "several-guests", &message, suspect).await?);
            }
        };
        let keys: Vec<String> =
            opened.report.identity.ssh_host_keys.iter().map(|key| key.fingerprint.clone()).collect();
        let ground = self.store.ground(&claim.id, &keys).await?;
        if let Some(known) = ground.as_ref().and_then(|ground| ground.answered.as_ref()) {
            suspect.claim = Some(claim);
            return self.answer_again(known, &opened.sha256, source, suspect).await;
        }
        let twin = ground.and_then(|ground| ground.twin);
        self.receive_open(claim, Parcel { envelope, opened, twin, source }, suspect).await
    }

    /// Recorded once for the same bytes: the guest sends them again and again.
    async fn not_waited_for(&self, source: IpAddr, suspect: Suspect<'_>) -> Result<IntakeError, IntakeError> {
        let (code, message) = match &suspect.claim_id {
            Some(_) => ("unknown-claim", "no guest was given this claim"),
            None => (
                NO_CLAIM,
                "the report answers no claim, and nobody waits for a guest with its MACs: `firstlight wait` does",
            ),
        };
        if let (NO_CLAIM, Some(sha256)) = (code, &suspect.sha256)
            && self.store.was_refused(sha256, code).await?
        {
            return Ok(IntakeError::Refused(super::refusal(source, code, message, suspect)));
        }
        Ok(self.refuse(source, code, message, suspect).await?)
    }
}

/// Those of the report's interfaces, without the loopback's.
fn macs(report: &Report) -> Vec<String> {
    let macs = report.network.iter().filter_map(|interface| interface.mac);
    macs.filter(|mac| mac.0 != [0; 6]).take(MACS).map(|mac| mac.to_string()).collect()
}
