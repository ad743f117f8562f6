//! Reports that answer no claim: of guests that somebody else made, whom nobody could hand one. Such a report is taken if a
//! job waits for a guest with its MACs. That proves nothing, so it is kept as one that may be the guest's, like those for open
//! claims, until the hypervisor binds it.
//!
//! One that is signed with the host key of a guest that is known here comes from that guest, or from a copy of it. A copy has
//! another card, or reports from somewhere else: then it is refused as such, and listed among the shared identities.

use std::net::IpAddr;

use firstlight_shared::wire::{Ack, Envelope, HostKey, Opened, Report};
use ssh_key::PublicKey;

use super::open::Parcel;
use super::pulled::HYPERVISOR;
use super::{Intake, IntakeError, Suspect};
use crate::identities::identities;
use crate::store::Answered;

/// Of a report that came too early or that nobody waits for: the guest shall try again, for somebody may wait for it yet.
pub const NO_CLAIM: &str = "no-claim";
/// Of a report with the host key of a guest that is known, and with another card or from another address.
pub const COPIED: &str = "copied-guest";
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
            [] => return Err(self.not_waited_for(&envelope, &opened, source, suspect).await?),
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
    async fn not_waited_for(
        &self,
        envelope: &Envelope,
        opened: &Opened,
        source: IpAddr,
        mut suspect: Suspect<'_>,
    ) -> Result<IntakeError, IntakeError> {
        let copied = self.copied(envelope, opened, source).await?;
        let (code, message) = match (&copied, &suspect.claim_id) {
            (Some(copied), _) => (COPIED, copied.message()),
            (None, Some(_)) => ("unknown-claim", "no guest was given this claim".to_owned()),
            (None, None) => (NO_CLAIM, NOBODY_WAITS.to_owned()),
        };
        if copied.is_some() {
            // Somebody else's, or of no use: the entry is of the guest that was copied.
            suspect.claim_id = None;
        }
        let mut refused = super::refusal(source, code, &message, suspect);
        if let Some(copied) = copied {
            (refused.guest, refused.job) = (Some(copied.guest), Some(copied.job));
        }
        if let (NO_CLAIM | COPIED, Some(sha256)) = (code, &refused.sha256)
            && self.store.was_refused(sha256, code).await?
        {
            return Ok(IntakeError::Refused(refused));
        }
        self.store.refuse_report(&refused).await?;
        Ok(IntakeError::Refused(refused))
    }

    /// The guest that is known and whose host key signed this, unless it is that guest itself as far as can be seen: with one
    /// of its MACs, and from where it reported or with an address that it had.
    async fn copied(
        &self,
        envelope: &Envelope,
        opened: &Opened,
        source: IpAddr,
    ) -> Result<Option<Copied>, IntakeError> {
        if opened.ephemeral_key {
            return Ok(None);
        }
        let key = PublicKey::from_openssh(&envelope.signing_key).and_then(|key| HostKey::of(&key));
        let Ok(key) = key else { return Ok(None) };
        // Of strangers there are many: they cost one look.
        let known = self.store.sharing("", &[("ssh-host-key", key.fingerprint)]).await?;
        let Some(known) = known.first() else { return Ok(None) };
        let told = identities("", &opened.report).values;
        let shared = self.store.sharing("", &told).await?;
        let has = |kind: &str| shared.iter().any(|one| one.kind == kind && one.job == known.job);
        let tells = |kind: &str| told.iter().any(|(told, _)| *told == kind);
        let (guest, job) = (known.guest.clone(), known.job.clone());
        if tells("mac") && !has("mac") {
            return Ok(Some(Copied { guest, job, differs: "a card of its own" }));
        }
        let from = self.store.report_of_job(&job).await?.map(|report| report.source);
        let elsewhere = from.is_some_and(|from| from != source.to_string() && from != HYPERVISOR);
        if elsewhere && tells("address") && !has("address") {
            return Ok(Some(Copied { guest, job, differs: "addresses of its own" }));
        }
        Ok(None)
    }
}

const NOBODY_WAITS: &str =
    "the report answers no claim, and nobody waits for a guest with its MACs: `firstlight wait` does";

/// Whose key a report was signed with, and what it has that this guest has not.
struct Copied {
    guest: String,
    job: String,
    differs: &'static str,
}

impl Copied {
    fn message(&self) -> String {
        let Self { guest, differs, .. } = self;
        format!(
            "it is signed with the SSH host key of {guest}, and whoever sent it has {differs}: a copy of {guest}, unless that \
             was changed in {guest} itself"
        )
    }
}

/// Those of the report's interfaces, without the loopback's.
fn macs(report: &Report) -> Vec<String> {
    let macs = report.network.iter().filter_map(|interface| interface.mac);
    macs.filter(|mac| mac.0 != [0; 6]).take(MACS).map(|mac| mac.to_string()).collect()
}
