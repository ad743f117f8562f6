//! What lists, matching and the search for duplicates cost when a hundred times as much is stored.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

/// Tables, and the columns whose values must differ from copy to copy: names, not contents.
const COPIED: [(&str, &[&str]); 5] = [
    ("jobs", &["id", "guest"]),
    ("events", &["job"]),
    ("claims", &["id", "job", "guest"]),
    ("reports", &["sha256", "claim_id", "job", "guest"]),
    ("identities", &["value", "job", "guest"]),
];

/// Makes so many stored jobs of each one that is there, with journal, claim, report and identities. The store is closed.
pub(crate) async fn multiply(path: &Path, times: u32) {
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
    let rows = sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA table_info({table})"))).fetch_all(sql).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("name")).collect()
}

/// The median of many calls.
pub(crate) async fn median(calls: usize, mut call: impl AsyncFnMut(usize)) -> Duration {
    let mut took = Vec::with_capacity(calls);
    for number in 0..calls {
        let start = Instant::now();
        call(number).await;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    took[calls / 2]
}
