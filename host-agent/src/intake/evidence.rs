//! Evidence that guests send by themselves: taken if it answers a challenge of ours, and is signed by the host key of a guest
//! that is there. Whether all is well in it is not judged here: `verify` does, with what the hypervisor shows.

use std::net::IpAddr;

use firstlight_shared::wire::{Ack, ChallengeText, REPORT_VERSION, ReportState, Signed, sha256_hex};

use super::{Intake, IntakeError, Suspect, refusal};
use crate::clock::now_ms;
use crate::evidence::{Challenge, Refusal, issue, issued_at, opened, proved};
use crate::store::{Heard, StoreError};

/// So long a challenge may be answered: checks take their time.
const ANSWER_WITHIN_MS: u64 = 10 * 60 * 1000;

impl Intake {
    /// A challenge for whoever asks: it proves nothing but when it was given out.
    pub async fn challenge(&self) -> Result<ChallengeText, StoreError> {
        Ok(ChallengeText { nonce: issue(&self.store.challenge_key().await?, now_ms()) })
    }

    /// Takes what a guest sent by itself.
    pub async fn receive_evidence(&self, bytes: &[u8], source: IpAddr) -> Result<Ack, IntakeError> {
        match self.heard(bytes, source).await? {
            Ok(heard) => {
                let ack = Ack {
                    version: REPORT_VERSION,
                    report_sha256: heard.sha256.clone(),
                    accepted_at_ms: heard.at_ms,
                    host_certificates: vec![],
                };
                if self.store.hear(&heard).await? {
                    tracing::info!(guest = %heard.guest, job = %heard.job, "evidence taken");
                    return Ok(self.with_certificates(ack, &heard).await);
                }
                let known = self.store.heard(&heard.job).await?;
                match known.filter(|known| known.sha256 == heard.sha256 && known.source == heard.source) {
                    // Its acknowledgement was lost.
                    Some(known) => {
                        let ack = Ack { accepted_at_ms: known.at_ms, ..ack };
                        Ok(self.with_certificates(ack, &heard).await)
                    }
                    None => {
                        let message = "newer evidence of this guest is here already: a replay";
                        Err(self.refuse(source, "evidence-replayed", message, Suspect::default()).await?)
                    }
                }
            }
            Err(why) => {
                let refused = refusal(source, why.code, &why.message, Suspect::default());
                self.store.refuse_report(&refused).await?;
                Err(IntakeError::Refused(refused))
            }
        }
    }

    /// A guest that fails is given nothing that vouches for it any longer.
    async fn with_certificates(&self, ack: Ack, heard: &Heard) -> Ack {
        let Some(certifier) = &self.certifier else { return ack };
        match opened(&heard.evidence) {
            Ok((evidence, _)) if evidence.report.state != ReportState::Failed => {
                let host_certificates = certifier.for_evidence(&heard.job, &heard.guest).await;
                Ack { host_certificates, ..ack }
            }
            _ => ack,
        }
    }

    async fn heard(&self, bytes: &[u8], source: IpAddr) -> Result<Result<Heard, Refusal>, StoreError> {
        let unreadable = |why: String| Refusal { code: "evidence-unreadable", message: why };
        let signed = match Signed::parse(bytes) {
            Ok(signed) => signed,
            Err(error) => return Ok(Err(unreadable(error.to_string()))),
        };
        let (evidence, key) = match opened(&signed) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        let Some((job, guest)) = self.store.guest_of_key(&fingerprint).await? else {
            let message = "it is signed with a key that is no host key of a guest that is there".to_owned();
            return Ok(Err(Refusal { code: "evidence-foreign-key", message }));
        };
        let (nonce, now) = (evidence.nonce.unwrap_or_default(), now_ms());
        let issued = issued_at(&self.store.challenge_key().await?, &nonce);
        let fresh = |issued: &u64| {
            *issued <= now.saturating_add(1000) && now - (*issued).min(now) <= ANSWER_WITHIN_MS
        };
        let Some(asked_at_ms) = issued.filter(fresh) else {
            let message = "it answers no challenge of ours, or an old one: a replay".to_owned();
            return Ok(Err(Refusal { code: "evidence-replayed", message }));
        };
        let host_keys = firstlight_shared::wire::HostKey::of(&key).into_iter().collect::<Vec<_>>();
        let challenge = Challenge { nonce: &nonce, asked_at_ms, answered_at_ms: now, host_keys: &host_keys };
        if let Err(refusal) = proved(&signed, &challenge) {
            return Ok(Err(refusal));
        }
        let sha256 = sha256_hex(signed.text.as_bytes());
        Ok(Ok(Heard { job, sha256, guest, at_ms: now, source: source.to_string(), evidence: signed }))
    }
}

#[cfg(test)]
mod tests {
    use firstlight_shared::wire::{EVIDENCE_NAMESPACE, EVIDENCE_VERSION, Evidence, Report, SystemNow};
    use ssh_key::PrivateKey;

    use super::super::testing::{key, report};
    use super::*;
    use crate::store::Store;

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn evidence(nonce: &str, by: &PrivateKey) -> Vec<u8> {
        let evidence = Evidence {
            version: EVIDENCE_VERSION,
            nonce: Some(nonce.to_owned()),
            uptime_ms: None,
            system: SystemNow::default(),
            report: Report { made_at_ms: now_ms(), ..report(None, by) },
        };
        serde_json::to_vec(&Signed::sign(&evidence, by, EVIDENCE_NAMESPACE).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_a_guest_sends_counts_only_for_a_challenge_of_ours_and_a_guest_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let intake = Intake::new(Store::open(&folder.path().join("store.db")).await.unwrap());
        let key = key();
        let code = async |bytes: Vec<u8>| match intake.receive_evidence(&bytes, SOURCE).await {
            Ok(_) => "taken".to_owned(),
            Err(IntakeError::Refused(refused)) => refused.code,
            Err(error) => error.to_string(),
        };
        let nonce = intake.challenge().await.unwrap().nonce;
        assert_eq!(code(evidence(&nonce, &key)).await, "evidence-foreign-key", "no guest has that key");
        assert_eq!(code(b"{}".to_vec()).await, "evidence-unreadable");
        let mut changed: Signed = serde_json::from_slice(&evidence(&nonce, &key)).unwrap();
        changed.text.push(' ');
        assert_eq!(code(serde_json::to_vec(&changed).unwrap()).await, "evidence-bad-signature");
        let refusals = intake.store.list_refusals(None, 0).await.unwrap();
        assert_eq!(refusals.len(), 3, "{refusals:?}");
    }
}
