//! What the question costs which identities two guests ever shared.

use std::time::{Duration, Instant};

use firstlight::store::{SharedFilter, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use firstlight_tests::figures::{Row, Table};

const JOBS: u32 = 100_000;
/// One in so many shares all of its identities with the one before it.
const TWINS: u32 = 10_000;
/// The median of so many questions counts.
const ROUNDS: usize = 9;
/// The page is looked at, not polled.
const AIM: Duration = Duration::from_secs(1);

pub(crate) async fn measure(table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("firstlight.db");
    Store::open(&path).await.unwrap().close().await;
    let mut sql = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
                INSERT INTO identities (kind, value, job, guest) \
                SELECT kind, kind || (i - (i % $2 = 1)), 'j' || i, 'g' || i \
                FROM n, (SELECT 'mac' AS kind UNION SELECT 'address' UNION SELECT 'hostname' UNION SELECT 'machine-id' \
                UNION SELECT 'ssh-host-key')";
    let filled = sqlx::query(fill).bind(JOBS).bind(TWINS).execute(&mut sql).await.unwrap().rows_affected();
    sql.close().await.unwrap();
    let store = Store::open(&path).await.unwrap();
    let (mut took, mut shared) = (Vec::with_capacity(ROUNDS), 0);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        shared = store.shared_identities(&SharedFilter::default()).await.unwrap().total;
        took.push(start.elapsed());
    }
    store.close().await;
    took.sort_unstable();
    let median = took[ROUNDS / 2];
    table.add(Row {
        figure: format!("identities shared: query at {filled} identities of {JOBS} jobs"),
        ours: format!("{:.0} ms, {shared} shared", median.as_secs_f64() * 1e3),
        beside: format!("median of {ROUNDS}; the longest {:.0} ms", took[ROUNDS - 1].as_secs_f64() * 1e3),
        aim: "<= 1 s".into(),
        met: Some(median <= AIM),
    });
}
