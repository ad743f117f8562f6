use firstlight_shared::secret::Secret;
use serde_json::json;

use firstlight_shared::error::Code;

use super::*;
use crate::job::{Event, Recorded, StepInfo};

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
    (folder, store)
}

fn created() -> Recorded {
    let event = Event::Created(crate::job::JobSpec {
        guest: "web-01".into(),
        backend: "local".into(),
        spec: json!({}),
        steps: vec![StepInfo { name: "a".into(), waits: false, deadline_ms: None }],
        keep_on_failure: false,
        batch: "b1".into(),
        resources: vec![],
        deadline_ms: None,
        retry_of: None,
        by: "test".into(),
    });
    Recorded { seq: 0, at_ms: 5, event }
}

#[tokio::test]
async fn a_journal_comes_back_and_no_number_is_taken_twice() {
    let (folder, store) = store().await;
    let started = Recorded { seq: 1, at_ms: 6, event: Event::StepStarted { step: "a".into() } };
    store.append("j1", &created()).await.unwrap();
    store.append("j1", &started).await.unwrap();
    assert!(store.append("j1", &started).await.is_err());
    assert!(store.append("unknown", &started).await.is_err(), "events belong to a job");
    store.close().await;

    let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
    let jobs = store.jobs().await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].events, [created(), started]);
}

#[tokio::test]
async fn a_claim_is_made_once_per_job_and_its_secret_is_wiped() {
    let (_folder, store) = store().await;
    let first = store.claim_for("j1", "web-01", "id1", &Secret::new(vec![1; 32])).await.unwrap();
    let again = store.claim_for("j1", "web-01", "id2", &Secret::new(vec![2; 32])).await.unwrap();
    assert_eq!((again.id.as_str(), &again.secret), ("id1", &first.secret));
    store.expire_claim("j1").await.unwrap();
    let claim = store.claim("id1").await.unwrap().unwrap();
    assert!(claim.expired && claim.secret.expose().is_empty());
    for entry in std::fs::read_dir(_folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(32).any(|window| window == [1; 32]), "the secret is still on the disk");
    }
}

#[tokio::test]
async fn a_damaged_or_newer_store_is_not_opened() {
    let (folder, store) = store().await;
    let path = folder.path().join("firstlight.db");
    store
        .write(|writing| {
            Box::pin(async move {
                sqlx::query("PRAGMA user_version = 99")
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(error::failed("x"))?;
                Ok::<(), StoreError>(())
            })
        })
        .await
        .unwrap();
    store.close().await;
    assert_eq!(Store::open(&path).await.unwrap_err().code(), "store-newer");

    std::fs::write(&path, vec![7u8; 8192]).unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error.code(), "store-open" | "store-damaged"), "{error}");
}
