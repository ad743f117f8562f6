//! The peer: SQLite itself, as durable as the store, one insert per commit, with nothing around it.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

/// How long so many commits take, one after the other, each a row as large as a common event.
pub(crate) async fn commits(folder: &Path, count: usize) -> Duration {
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
        .unwrap();
    let table = "CREATE TABLE IF NOT EXISTS events (job TEXT NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, \
                 event TEXT NOT NULL, PRIMARY KEY (job, seq)) STRICT, WITHOUT ROWID";
    sqlx::query(table).execute(&mut connection).await.unwrap();
    let start = Instant::now();
    for number in 0..count {
        sqlx::query("INSERT INTO events VALUES (?, ?, 0, ?)")
            .bind(format!("{:016x}", number / 20))
            .bind(i64::try_from(number % 20).unwrap())
            .bind(r#"{"kind":"step-succeeded","step":"restore","output":{}}"#)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    start.elapsed()
}
