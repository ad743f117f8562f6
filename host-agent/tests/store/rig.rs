//! A store to try, and jobs to put into it.

use std::time::Duration;

use firstlight::job::{
    Claimant, Claimed, Event, JobSpec, JobStore, JournalError, Lease, Limits, NewJob, Recorded, State,
    StepInfo,
};
use firstlight::store::Store;
use serde_json::json;

/// A store, and another way to the same rows: on a server a second companion's.
pub(crate) struct Rig {
    pub(crate) store: Store,
    pub(crate) other: Store,
    #[cfg(feature = "e2e")]
    _cluster: Option<std::sync::Arc<crate::server::Shared>>,
    _folder: Option<tempfile::TempDir>,
}

impl Rig {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
        Self {
            other: store.clone(),
            store,
            #[cfg(feature = "e2e")]
            _cluster: None,
            _folder: Some(folder),
        }
    }

    #[cfg(feature = "e2e")]
    pub(crate) async fn postgresql(case: &str) -> Self {
        let cluster = tokio::task::spawn_blocking(crate::server::Shared::get).await.unwrap();
        let location = cluster.database(case);
        Self {
            store: Store::connect(&location).await.unwrap(),
            other: Store::connect(&location).await.unwrap(),
            _cluster: Some(cluster),
            _folder: None,
        }
    }
}

pub(crate) fn spec(guest: &str) -> JobSpec {
    let step = |name: &str, waits| StepInfo { name: name.into(), waits, deadline_ms: None };
    JobSpec {
        guest: guest.into(),
        backend: "paper".into(),
        spec: json!({"any": "thing"}),
        steps: vec![step("make", false), step("await", true), step("finish", false)],
        keep_on_failure: false,
        batch: "b1".into(),
        resources: vec!["node:a".into()],
        deadline_ms: None,
        retry_of: None,
        by: "the suite".into(),
        change_of: None,
        destroy_after_ms: None,
        ephemeral: false,
    }
}

pub(crate) fn new_job(id: &str, spec: JobSpec) -> NewJob {
    let at_ms = 1_000 + u64::try_from(id.len()).unwrap();
    NewJob { id: id.into(), created: Recorded { seq: 0, at_ms, event: Event::Created(spec) } }
}

/// Makes one job for a guest of the same name.
pub(crate) async fn create(store: &Store, id: &str) {
    store.create(&[new_job(id, spec(id))]).await.unwrap();
}

pub(crate) fn claimant(companion: &str, room: usize) -> Claimant {
    Claimant {
        companion: companion.into(),
        room,
        limits: Limits::default(),
        lease: Duration::from_secs(60),
        grace: Duration::from_secs(60),
    }
}

/// A job that is driven.
pub(crate) struct Driven {
    pub(crate) lease: Lease,
    pub(crate) state: State,
}

impl Driven {
    pub(crate) fn of(claimed: &Claimed) -> Self {
        Self { lease: claimed.lease.clone(), state: firstlight::job::fold(&claimed.events).unwrap() }
    }

    /// The only job that can be claimed.
    pub(crate) async fn claim(store: &Store, companion: &str) -> Self {
        Self::claim_with(store, &claimant(companion, 10)).await
    }

    pub(crate) async fn claim_with(store: &Store, claimant: &Claimant) -> Self {
        let claimed = JobStore::claim(store, claimant).await.unwrap();
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        Self::of(&claimed[0])
    }

    pub(crate) async fn append(&mut self, store: &Store, event: Event) -> Result<(), JournalError> {
        let recorded = Recorded { seq: self.state.events, at_ms: 2_000 + self.state.events, event };
        let mut after = self.state.clone();
        after.apply(&recorded).unwrap();
        JobStore::append(store, &self.lease, &recorded, &after.outline()).await?;
        self.state = after;
        Ok(())
    }

    pub(crate) async fn step(&mut self, store: &Store, name: &str) {
        self.append(store, Event::StepStarted { step: name.into() }).await.unwrap();
        self.append(store, Event::StepSucceeded { step: name.into(), output: json!(null) }).await.unwrap();
    }

    pub(crate) async fn finish(&mut self, store: &Store) {
        for step in ["make", "await", "finish"] {
            self.step(store, step).await;
        }
    }

    pub(crate) async fn roll_back(&mut self, store: &Store) {
        let fault = firstlight::outcome::Fault::new("operator", "enough");
        let unwind = Event::UnwindRequested { by: "me".into(), fault, successor: None };
        self.append(store, unwind).await.unwrap();
        for step in self.state.to_undo.clone().into_iter().rev() {
            self.append(store, Event::UndoStarted { step: step.clone() }).await.unwrap();
            self.append(store, Event::UndoFinished { step }).await.unwrap();
        }
    }
}

pub(crate) fn jobs_of(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|claimed| claimed.lease.job.as_str()).collect()
}
