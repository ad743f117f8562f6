//! Secrets: read when the guest is made, delivered before its start, compared with its report, and kept nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use firstlight_shared::wire::{SecretOutcome, secret_prefix};

use super::rig::Rig;
use crate::backend::Stage;
use crate::intake::testing::key;
use crate::job::{Event, Phase};

const CONTENT: &[u8] = b"AGE-SECRET-KEY-1QQQQ";

fn source(folder: &Path, content: &[u8]) -> PathBuf {
    let path = folder.join("web-01.txt");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn guest(folder: &Path) -> String {
    let file = folder.join("{name}.txt");
    format!("name = \"web-01\"\nsecrets = [{{ path = \"/etc/key\", file = {file:?}, owner = \"root:adm\" }}]")
}

fn found(content: &[u8]) -> SecretOutcome {
    SecretOutcome {
        path: "/etc/key".into(),
        sha256_prefix: Some(secret_prefix(content)),
        mode: Some("0400".into()),
        owner: Some("root:adm".into()),
        problem: None,
    }
}

#[tokio::test]
async fn a_secret_is_delivered_before_the_start_and_its_digest_is_all_that_is_kept() {
    let (rig, folder) = (Rig::new().await, tempfile::tempdir().unwrap());
    source(folder.path(), CONTENT);
    let job = rig.up_one(&guest(folder.path())).await;
    rig.until(&job, Phase::Waiting).await;
    let deliveries = rig.paper.world().deliveries.clone();
    assert_eq!(deliveries.len(), 1);
    assert!(!deliveries[0].running);
    assert_eq!(deliveries[0].files, [("/etc/key".to_owned(), "root:adm".to_owned(), CONTENT.to_vec())]);
    assert_eq!(deliveries[0].claimed, ["/etc/key"]);
    assert_eq!(rig.service.view(&job).await.unwrap().unwrap().secrets[0].confirmed, None);

    let report = rig.report_with(&job, &key(), |report| report.secrets = vec![found(CONTENT)]).await;
    rig.send(&report).await.unwrap();
    rig.until(&job, Phase::Done).await;
    let view = rig.service.view(&job).await.unwrap().unwrap();
    assert_eq!((view.secrets.len(), view.secrets[0].confirmed), (1, Some(true)));
    let journal = serde_json::to_string(&rig.store.events(&job).await.unwrap()).unwrap();
    assert!(journal.contains(&secret_prefix(CONTENT)) && journal.contains("web-01.txt"), "{journal}");
    assert!(!journal.contains("AGE-SECRET"), "{journal}");
}

#[tokio::test]
async fn a_guest_that_does_not_find_it_as_delivered_is_not_ready() {
    let (rig, folder) = (Rig::new().await, tempfile::tempdir().unwrap());
    source(folder.path(), CONTENT);
    for (secrets, code) in [(vec![], "secret-missing"), (vec![found(b"another")], "secret-differs")] {
        let job = rig.up_one(&guest(folder.path())).await;
        rig.until(&job, Phase::Waiting).await;
        let report = rig.report_with(&job, &key(), |report| report.secrets = secrets).await;
        rig.send(&report).await.unwrap();
        let state = rig.until(&job, Phase::RolledBack).await;
        assert_eq!(state.failure.map(|fault| fault.code).as_deref(), Some(code));
        rig.assert_clean().await;
    }
}

#[tokio::test]
async fn a_delivery_of_which_nobody_knows_is_done_again() {
    let (rig, folder) = (Rig::new().await, tempfile::tempdir().unwrap());
    source(folder.path(), CONTENT);
    rig.paper.world().lose_deliveries = 1;
    rig.paper.hold.send_replace(Some(Stage::Start));
    let job = rig.up_one(&guest(folder.path())).await;
    while rig.paper.world().deliveries.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let begun = |event: &Event| matches!(event, Event::StepStarted { step } if step == "start");
    while !rig.has_event(&job, begun).await {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(rig.paper.world().deliveries.len(), 2);
    rig.paper.hold.send_replace(None);
    rig.until(&job, Phase::Waiting).await;
}

#[tokio::test]
async fn a_source_that_goes_away_ends_the_job_and_says_whose_it_was() {
    let (rig, folder) = (Rig::new().await, tempfile::tempdir().unwrap());
    let fault = rig.refused(&guest(folder.path())).await;
    assert_eq!(fault.code, "secret-unreadable");
    let path = source(folder.path(), CONTENT);
    rig.paper.hold.send_replace(Some(Stage::Mounts));
    let job = rig.up_one(&guest(folder.path())).await;
    fs::remove_file(path).unwrap();
    rig.paper.hold.send_replace(None);
    let failure = rig.until(&job, Phase::RolledBack).await.failure.unwrap();
    assert_eq!(failure.code, "secret-unreadable");
    assert!(
        failure.message.contains("/etc/key") && failure.message.contains("companion (user "),
        "{failure:?}"
    );
    assert!(rig.paper.world().deliveries.is_empty());
    rig.assert_clean().await;
}
