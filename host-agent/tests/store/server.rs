//! What only a server can do: be shared, go away and come back, ask for a password.

use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::{Duration, Instant};

use firstlight::job::{Change, Event, JobStore};
use firstlight::store::{Location, Store, Trouble};
use firstlight_shared::error::{Chain, Code};
use firstlight_shared::secret::Secret;

use crate::postgres::Cluster;
use crate::rig::{Driven, claimant, create};

/// One cluster for all cases that are at work, a database for each.
pub(crate) struct Shared {
    cluster: Mutex<Cluster>,
    /// The server ends with the thread that started it, which waits for the end of this.
    _alive: mpsc::Sender<()>,
}

static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

impl Shared {
    pub(crate) fn get() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap();
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let (started, start) = mpsc::channel();
        let (alive, until) = mpsc::channel();
        std::thread::spawn(move || {
            started.send(Cluster::start()).unwrap();
            let _ = until.recv();
        });
        let running = Arc::new(Self { cluster: Mutex::new(start.recv().unwrap()), _alive: alive });
        *shared = Arc::downgrade(&running);
        running
    }

    pub(crate) fn database(&self, name: &str) -> Location {
        self.cluster.lock().unwrap().database(name).parse().unwrap()
    }
}

async fn until_it_works<T, E: std::fmt::Debug>(call: impl AsyncFn() -> Result<T, E>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_go_away_and_come_back() {
    let mut cluster = Cluster::start();
    let location: Location = cluster.url().parse().unwrap();
    let (store, other) = (Store::connect(&location).await.unwrap(), Store::connect(&location).await.unwrap());
    create(&store, "j1").await;
    let mut job = Driven::claim(&store, "one").await;
    job.append(&store, Event::StepStarted { step: "make".into() }).await.unwrap();
    let mut changes = other.changes();

    cluster.stop();
    let began = Instant::now();
    let done = Event::StepSucceeded { step: "make".into(), output: serde_json::Value::Null };
    let error = job.append(&store, done.clone()).await.unwrap_err();
    assert_eq!(error.code(), "journal");
    assert!(Chain(&error).to_string().contains("did not"), "{}", Chain(&error));
    let error = other.job("j1").await.unwrap_err();
    assert_eq!((error.trouble(), error.code()), (Trouble::Away, "store-away"), "{}", Chain(&error));
    assert!(error.hint().is_some());
    assert_eq!(store.ping().await.unwrap_err().trouble(), Trouble::Away);
    assert!(began.elapsed() < Duration::from_secs(20), "calls fail in time: {:?}", began.elapsed());

    cluster.resume();
    until_it_works(async || store.ping().await).await;
    job.append(&store, done).await.unwrap();
    assert_eq!(until_it_works(async || JobStore::events(&other, "j1").await).await.len(), 3);
    // Whoever listens is told that something may have been missed, and then hears everything again.
    let missed = async { while !matches!(changes.recv().await, Ok(Change::Unknown)) {} };
    tokio::time::timeout(Duration::from_secs(20), missed).await.expect("nobody was told");
    create(&store, "j2").await;
    let heard = async { while changes.recv().await.unwrap() != Change::Job("j2".into()) {} };
    tokio::time::timeout(Duration::from_secs(60), heard).await.expect("the listener did not recover");
    store.close().await;
    assert!(store.ping().await.is_err(), "closed is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_holds_no_caller_for_ever() {
    let cluster = Cluster::start();
    let store = Store::connect(&cluster.url().parse().unwrap()).await.unwrap();
    create(&store, "j1").await;
    // Somebody holds the row: a lock that never ends is given up on our side.
    let holder = Store::connect(&cluster.url().parse().unwrap()).await.unwrap();
    let began = Instant::now();
    cluster.hold("BEGIN; UPDATE jobs SET batch = batch; SELECT pg_sleep(60)");
    let waiting = JobStore::claim(&store, &claimant("one", 1)).await.unwrap();
    assert!(waiting.is_empty(), "what is locked is passed over: {waiting:?}");
    let asked = firstlight::job::Request {
        kind: firstlight::job::RequestKind::Unwind,
        by: "me".into(),
        reason: "so".into(),
    };
    let error = store.ask("j1", &asked).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(error.code(), "journal", "{}", Chain(&error));
    holder.ping().await.unwrap();
}

/// A companion whose writes all wait keeps its leases: nobody else takes its jobs, and does the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_renewed_while_all_other_writes_wait() {
    let cluster = Cluster::start();
    let store = Store::connect(&cluster.url().parse().unwrap()).await.unwrap();
    create(&store, "j1").await;
    let job = Driven::claim(&store, "one").await;
    create(&store, "j2").await;
    cluster.hold("BEGIN; UPDATE jobs SET batch = batch WHERE id = 'j2'; SELECT pg_sleep(60)");
    let asked = firstlight::job::Request {
        kind: firstlight::job::RequestKind::Unwind,
        by: "me".into(),
        reason: "so".into(),
    };
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (store, asked) = (store.clone(), asked.clone());
        waiting.spawn(async move { store.ask("j2", &asked).await.unwrap_err() });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = [job.lease];
    let renewed = store.renew(&held, Duration::from_secs(9));
    let lost = tokio::time::timeout(Duration::from_secs(4), renewed).await.expect("the renewal waits");
    assert!(lost.unwrap().is_empty());
    assert_eq!(waiting.len(), 40, "they wait");
    while let Some(ended) = waiting.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_comes_from_elsewhere_and_is_never_shown() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE guarded LOGIN PASSWORD 'open&sesame?#'");
    cluster.sql("GRANT ALL ON DATABASE postgres TO guarded");
    cluster.sql("GRANT ALL ON SCHEMA public TO guarded");
    cluster.guard("guarded");
    let url = cluster.url().replace("postgres://postgres@", "postgres://guarded@");
    let location: Location = url.parse().unwrap();
    for wrong in [location.clone(), location.clone().with_password(Secret::new(b"shut".to_vec()))] {
        let error = Store::connect(&wrong).await.unwrap_err();
        let shown = format!("{} {error:?} {wrong:?}", Chain(&error));
        assert_eq!(error.code(), "store-denied", "{shown}");
        assert!(!shown.contains("shut") && error.hint().is_some(), "{shown}");
    }
    let right = location.with_password(Secret::new(b"open&sesame?#".to_vec()));
    let store = Store::connect(&right).await.unwrap();
    create(&store, "j1").await;
    let shown = format!("{store:?} {right:?} {right}");
    assert!(!shown.contains("sesame"), "{shown}");
    let error = store.backup(std::path::Path::new("/tmp/it's here")).await.unwrap_err();
    assert_eq!(error.code(), "store-backup-there");
    let shown = error.to_string();
    assert!(
        shown.contains("pg_dump") && shown.contains("'/tmp/it'\\''s here'") && !shown.contains("sesame"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn companions_that_start_at_once_make_one_schema_and_a_newer_one_is_refused() {
    let cluster = Cluster::start();
    let location: Location = cluster.url().parse().unwrap();
    let mut opened = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let location = location.clone();
        opened.spawn(async move { Store::connect(&location).await });
    }
    while let Some(store) = opened.join_next().await {
        store.unwrap().unwrap().ping().await.unwrap();
    }
    cluster.sql("UPDATE schema_version SET version = 99");
    assert_eq!(Store::connect(&location).await.unwrap_err().code(), "store-newer");
}
