//! What the store costs, printed. Run by hand: `cargo test --release -p firstlight --test store -- --ignored figures --nocapture`.

use std::time::{Duration, Instant};

use firstlight::job::{Event, JobStore, Limits, NewJob};
use firstlight::store::{JobFilter, Store};

use crate::reports::report;
use crate::rig::{Driven, claimant, new_job, spec};

async fn open() -> (tempfile::TempDir, Store) {
    // Where the target folder is: `/tmp` may be in memory, and then nothing is durable.
    let folder = std::env::var("FIRSTLIGHT_FIGURES").unwrap_or(env!("CARGO_TARGET_TMPDIR").to_owned());
    let folder = tempfile::tempdir_in(folder).unwrap();
    let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
    (folder, store)
}

fn jobs(range: std::ops::Range<usize>) -> Vec<NewJob> {
    let job = |number: usize| {
        let mut spec = spec(&format!("g{number:06}"));
        spec.batch = format!("b{}", number / 100);
        new_job(&format!("j{number:06}"), spec)
    };
    range.map(job).collect()
}

fn per_second(count: usize, began: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn figures_of_commits() {
    const COMMITS: usize = 2000;
    let (folder, store) = open().await;
    let bare = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.path().join("bare.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let bare = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(bare).await.unwrap();
    sqlx::query("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)").execute(&bare).await.unwrap();
    let began = Instant::now();
    for _ in 0..COMMITS {
        sqlx::query("INSERT INTO t (body) VALUES (?)").bind("x".repeat(100)).execute(&bare).await.unwrap();
    }
    println!("bare durable commits, one row each: {:.0}/s", per_second(COMMITS, began));

    store.create(&jobs(0..100)).await.unwrap();
    let mut driven: Vec<Driven> =
        JobStore::claim(&store, &claimant("here", 100)).await.unwrap().iter().map(Driven::of).collect();
    for job in &mut driven {
        job.append(&store, Event::StepStarted { step: "make".into() }).await.unwrap();
    }
    let task = |number: usize| Event::StepProgress { step: "make".into(), task: format!("UPID:{number}") };
    let began = Instant::now();
    for number in 0..COMMITS {
        driven[number % 100].append(&store, task(number)).await.unwrap();
    }
    println!("events appended, one writer: {:.0}/s", per_second(COMMITS, began));

    let began = Instant::now();
    let mut hands = tokio::task::JoinSet::new();
    for mut job in driven.drain(..32) {
        let store = store.clone();
        hands.spawn(async move {
            for number in 0..COMMITS / 4 {
                job.append(&store, task(number)).await.unwrap();
            }
        });
    }
    hands.join_all().await;
    println!("events appended, 32 writers: {:.0}/s", per_second(COMMITS * 8, began));

    let began = Instant::now();
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..32 {
        let store = store.clone();
        hands.spawn(async move {
            for number in 0..200 {
                let id = format!("{hand}-{number}");
                let identities: Vec<_> = ["hostname", "machine-id", "mac", "address", "ssh-host-key"]
                    .iter()
                    .map(|kind| (*kind, format!("{kind} of {id}")))
                    .collect();
                let mut report = report(&id, &id, &id);
                report.envelope.report = "x".repeat(6000);
                assert!(store.take_report(&report, &identities).await.unwrap());
            }
        });
    }
    hands.join_all().await;
    println!("reports taken (6 kB, 5 identities), 32 at once: {:.0}/s", per_second(6400, began));
}

/// The middle of many runs.
async fn median(call: impl AsyncFn(usize)) -> Duration {
    let mut times = Vec::new();
    for number in 0..201 {
        let began = Instant::now();
        call(number).await;
        times.push(began.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn figures_of_growth() {
    let (folder, store) = open().await;
    let mut made = 0;
    let mut before: Option<Vec<(&str, Duration)>> = None;
    for size in [1_000, 100_000] {
        while made < size {
            let some = jobs(made..made + 500);
            store.create(&some).await.unwrap();
            while let claimed @ [_, ..] = &JobStore::claim(&store, &claimant("here", 500)).await.unwrap()[..]
            {
                let mut hands = tokio::task::JoinSet::new();
                for claimed in claimed {
                    let (store, mut job) = (store.clone(), Driven::of(claimed));
                    hands.spawn(async move {
                        job.finish(&store).await;
                        let id = &job.lease.job;
                        let identities =
                            [("mac", format!("mac {id}")), ("ssh-host-key", format!("key {id}"))];
                        store.take_report(&report(id, id, id), &identities).await.unwrap();
                        job.lease
                    });
                }
                store.release(&hands.join_all().await).await.unwrap();
            }
            made += 500;
        }
        let page = JobFilter::default();
        let of_batch = JobFilter { batch: Some("b3".into()), ..JobFilter::default() };
        let id = |number: usize| format!("j{:06}", number * 7 % made);
        let now = vec![
            ("first page", median(async |_| drop(store.list_jobs(&page).await.unwrap())).await),
            ("a batch", median(async |_| drop(store.list_jobs(&of_batch).await.unwrap())).await),
            (
                "job of a guest",
                median(async |n| {
                    store.job_of_guest(&format!("g{:06}", n * 7 % made)).await.unwrap().unwrap();
                })
                .await,
            ),
            (
                "report of a job",
                median(async |n| {
                    store.report_of_job(&id(n)).await.unwrap().unwrap();
                })
                .await,
            ),
            (
                "duplicates",
                median(async |n| {
                    let identities =
                        [("mac", format!("mac {}", id(n))), ("ssh-host-key", format!("key {}", id(n)))];
                    assert_eq!(store.sharing("other", &identities).await.unwrap().len(), 2);
                })
                .await,
            ),
            (
                "an empty claim",
                median(async |_| {
                    assert!(JobStore::claim(&store, &claimant("here", 10)).await.unwrap().is_empty());
                })
                .await,
            ),
        ];
        for (index, (what, time)) in now.iter().enumerate() {
            let ratio = before.as_ref().map(|before| time.as_secs_f64() / before[index].1.as_secs_f64());
            println!(
                "{size} jobs: {what}: {time:.1?}{}",
                ratio.map_or(String::new(), |ratio| format!(" ({ratio:.2} x)"))
            );
        }
        before = Some(now);
    }
    let bytes = std::fs::metadata(folder.path().join("firstlight.db")).unwrap().len();
    store.close().await;
    let began = Instant::now();
    let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
    println!("opened with its integrity check, {} MB: {:.1?}", bytes >> 20, began.elapsed());

    let began = Instant::now();
    store
        .create(
            &(0..10_000).map(|n| new_job(&format!("q{n:05}"), spec(&format!("q{n:05}")))).collect::<Vec<_>>(),
        )
        .await
        .unwrap();
    println!("10000 jobs made: {:.1?}", began.elapsed());
    let mut limited = claimant("here", 1000);
    limited.limits = Limits { at_once: [("node".to_owned(), 4)].into() };
    let began = Instant::now();
    let claimed = JobStore::claim(&store, &limited).await.unwrap();
    println!("{} of 10000 queued jobs claimed: {:.1?}", claimed.len(), began.elapsed());
    println!(
        "an empty claim, 10000 queued: {:.1?}",
        median(async |_| drop(JobStore::claim(&store, &limited).await.unwrap())).await
    );
    let began = Instant::now();
    let mut claimed = JobStore::claim(&store, &claimant("here", 10_000)).await.unwrap();
    println!("{} claimed at once: {:.1?}", claimed.len(), began.elapsed());
    while claimed.len() < 9_000 {
        let more = JobStore::claim(&store, &claimant("here", 10_000)).await.unwrap();
        assert!(!more.is_empty());
        claimed.extend(more);
    }
    println!("{} claimed: {:.1?}", claimed.len(), began.elapsed());
    let leases: Vec<_> = claimed.into_iter().map(|claimed| claimed.lease).collect();
    let began = Instant::now();
    assert!(store.renew(&leases, Duration::from_secs(60)).await.unwrap().is_empty());
    println!("{} leases renewed: {:.1?}", leases.len(), began.elapsed());
    println!(
        "an empty claim, as many leased: {:.1?}",
        median(async |_| drop(JobStore::claim(&store, &limited).await.unwrap())).await
    );
}
