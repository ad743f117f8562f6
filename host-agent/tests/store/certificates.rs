//! Host certificates that were issued.

use std::time::Duration;

use firstlight::store::StoredCertificate;

use crate::reports::claimed;
use crate::rig::Rig;

fn certificate(serial: u64, job: &str, valid_before: u64) -> StoredCertificate {
    StoredCertificate {
        serial,
        authority: "ssh-ed25519 AAAA".to_owned(),
        job: job.to_owned(),
        guest: format!("guest-{job}"),
        fingerprint: "SHA256:x".to_owned(),
        principals: vec!["web-01".to_owned(), "10.0.0.5".to_owned()],
        valid_after: 1,
        valid_before,
        issued_at_ms: serial,
        by: "report".to_owned(),
        certificate: "ssh-ed25519-cert-v01@openssh.com AAAA".to_owned(),
        revoked: false,
    }
}

pub(crate) async fn certificates_are_revoked_with_their_guest(rig: &Rig) {
    let far = 4_000_000_000;
    for job in ["j1", "j2"] {
        claimed(&rig.store, job, job).await;
    }
    let (one, two) = (certificate(1, "j1", far), certificate((1 << 53) - 1, "j2", far));
    rig.store.keep_certificates(&[one.clone(), certificate(3, "j1", 50), two.clone()]).await.unwrap();
    assert_eq!(rig.other.list_certificates(None, 0).await.unwrap().len(), 3);
    assert_eq!(rig.other.list_certificates(Some(&two.guest), 1).await.unwrap(), [two]);
    assert!(rig.store.revoked_certificates(100).await.unwrap().is_empty());
    // All or none: a serial number is given once.
    let again = [certificate(4, "j1", far), one.clone()];
    assert!(rig.store.keep_certificates(&again).await.is_err());
    assert_eq!(rig.store.certificates_of_job("j1").await.unwrap().len(), 2);

    rig.store.retire_keys("j1").await.unwrap();
    // What has ended by itself needs no revocation.
    assert_eq!(rig.other.revoked_certificates(100).await.unwrap(), [(one.authority.clone(), 1)]);
    let of_job = rig.other.certificates_of_job("j1").await.unwrap();
    assert!(of_job.iter().all(|one| one.revoked) && of_job[0].serial == 3, "{of_job:?}");
    rig.store.prune(Duration::from_secs(1), Duration::from_secs(1)).await.unwrap();
    let left = rig.store.certificates_of_job("j1").await.unwrap();
    assert_eq!(left, [StoredCertificate { revoked: true, ..one }]);
}
