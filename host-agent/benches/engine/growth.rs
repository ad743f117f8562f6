//! What lists, matching and the search for duplicates cost when a hundred times as much is stored.

use std::path::Path;
use std::time::{Duration, Instant};

use firstlight::bringup::JobFilter;
use firstlight::job::Phase;
use firstlight_shared::wire::{Claim, Envelope};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

use crate::backend::InstantGuest;
use crate::fleet::Fleet;
use firstlight_tests::figures::{Row, Table};

/// Tables, and the columns whose values must differ from copy to copy: names, not contents.
const COPIED: [(&str, &[&str]); 6] = [
    ("jobs", &["id", "guest"]),
    ("events", &["job"]),
    ("claims", &["id", "job", "guest"]),
    ("reports", &["sha256", "claim_id", "job", "guest"]),
    ("identities", &["value", "job", "guest"]),
    ("reservations", &["value", "job"]),
];

/// Makes so many stored jobs of each one that is there, with journal, claim, report and identities. The store is closed.
async fn multiply(path: &Path, times: u32) {
    let mut sql = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("PRAGMA synchronous = OFF; BEGIN").execute(&mut sql).await.unwrap();
    for (table, renamed) in COPIED {
        let columns = columns(&mut sql, table).await;
        let copied = columns.iter().map(|column| match renamed.contains(&column.as_str()) {
            true => format!("{column} || '-' || copy.number"),
            false => column.clone(),
        });
        let (into, from) = (columns.join(", "), copied.collect::<Vec<_>>().join(", "));
        let statement = format!(
            "WITH RECURSIVE copy(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM copy WHERE number < {}) \
             INSERT INTO {table} ({into}) SELECT {from} FROM copy, (SELECT * FROM {table}) AS old",
            times - 1
        );
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut sql).await.unwrap();
    }
    sqlx::raw_sql("COMMIT; ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut sql).await.unwrap();
    sqlx::Connection::close(sql).await.unwrap();
}

async fn columns(sql: &mut SqliteConnection, table: &str) -> Vec<String> {
    let rows =
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA table_info({table})"))).fetch_all(sql).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("name")).collect()
}

/// Jobs before and after.
const FEW: usize = 1000;
const TIMES: u32 = 100;
const CALLS: usize = 400;

/// What is measured: its name, and the median of many calls.
type Figures = Vec<(&'static str, Duration)>;

pub(crate) async fn measure(table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(folder.path()).await;
    fleet.bring_up(FEW).await;
    let reports = fleet.sign().await;
    fleet.finish(reports.iter().map(|(_, report)| report.clone()).collect()).await;
    let few = figures(&fleet, &reports).await;
    fleet.companion.stop().await;

    eprintln!("making {} stored jobs of {FEW}", FEW * TIMES as usize);
    multiply(&folder.path().join("state/firstlight.db"), TIMES).await;
    let start = Instant::now();
    let fleet = Fleet::start(folder.path()).await;
    let started = start.elapsed();
    let many = figures(&fleet, &reports).await;
    fleet.companion.stop().await;

    for ((name, few), (_, many)) in few.into_iter().zip(many) {
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        table.add(Row {
            figure: format!("{name}, {} stored jobs", FEW * TIMES as usize),
            ours: format!("{:.2} ms: {ratio:.2} x", many.as_secs_f64() * 1e3),
            beside: format!("the same with {FEW}: {:.2} ms", few.as_secs_f64() * 1e3),
            aim: "<= 2 x".into(),
            met: Some(ratio <= 2.0),
        });
    }
    table.add(Row {
        figure: format!("start with {} stored jobs, the check of the whole file in it", FEW * TIMES as usize),
        ours: format!("{:.1} s", started.as_secs_f64()),
        beside: String::new(),
        aim: "".into(),
        met: None,
    });
}

async fn figures(fleet: &Fleet, reports: &[(String, String)]) -> Figures {
    let (service, store) = (&fleet.companion.service, &fleet.companion.service.store);
    let page = JobFilter { limit: 50, ..JobFilter::default() };
    let done = JobFilter { states: vec![Phase::Done], ..page.clone() };
    let old = JobFilter { before: Some(reports[reports.len() / 2].0.clone()), ..page.clone() };
    let guests: Vec<(String, InstantGuest)> = known(fleet, reports).await;
    let guest = |number: usize| &guests[number % guests.len()];
    vec![
        ("list the newest 50 jobs", median(async |_| drop(service.jobs(&page).await.unwrap())).await),
        (
            "list the newest 50 that are done",
            median(async |_| drop(service.jobs(&done).await.unwrap())).await,
        ),
        ("list a page from the middle", median(async |_| drop(service.jobs(&old).await.unwrap())).await),
        (
            "find a guest's newest job",
            median(async |n| assert!(service.resolve(&guest(n).1.name).await.unwrap().is_some())).await,
        ),
        (
            "match a report with its job",
            median(async |n| {
                let claim = store.claim(&guest(n).1.claim.id).await.unwrap().unwrap();
                assert!(store.report_of_job(&claim.job).await.unwrap().is_some());
            })
            .await,
        ),
        (
            "search the fleet for a guest's identities",
            median(async |n| {
                let (job, guest) = guest(n);
                let values = [("mac", guest.mac.to_string()), ("address", guest.address.to_string())];
                assert!(store.sharing(job, &values).await.unwrap().is_empty());
                assert!(store.holder_of_key("SHA256:nobody", job, &guest.name).await.unwrap().is_none());
            })
            .await,
        ),
    ]
}

/// The guests of the first jobs, as their journals tell.
async fn known(fleet: &Fleet, reports: &[(String, String)]) -> Vec<(String, InstantGuest)> {
    let mut guests = Vec::new();
    for (job, report) in reports {
        let opened = Envelope::parse(report.as_bytes()).unwrap().open().unwrap().report;
        let view = fleet.companion.service.resolve(job).await.unwrap();
        assert!(view.is_some(), "job {job} is gone");
        let network = &opened.network[0];
        guests.push((
            job.clone(),
            InstantGuest {
                name: opened.identity.hostname.current.clone(),
                mac: network.mac.unwrap(),
                address: network.addresses[0].address,
                claim: claim(&opened.claim_id.unwrap()),
                moved_on: None,
            },
        ));
    }
    guests
}

fn claim(id: &str) -> Claim {
    Claim::new(id, None)
}

/// The median of many calls; the first ones warm what can be warmed.
async fn median(mut call: impl AsyncFnMut(usize)) -> Duration {
    let mut took = Vec::with_capacity(CALLS);
    for number in 0..CALLS + CALLS / 10 {
        let start = Instant::now();
        call(number).await;
        took.push(start.elapsed());
    }
    let mut took = took.split_off(CALLS / 10);
    took.sort_unstable();
    took[CALLS / 2]
}
