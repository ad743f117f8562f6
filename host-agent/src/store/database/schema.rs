//! The tables, and how older stores become today's.

use sqlx::{AnyConnection, AssertSqlSafe, Executor};

use super::dialect::Dialect;
use super::old;
use crate::store::error::{StoreError, failed};
use crate::store::rows;

/// Each entry is applied once, in order. Never change one that was released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE jobs (id TEXT PRIMARY KEY, guest TEXT NOT NULL, created_at_ms INTEGER NOT NULL) STRICT;
    CREATE TABLE events (
        job TEXT NOT NULL REFERENCES jobs(id), seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (job, seq)) STRICT, WITHOUT ROWID;
    CREATE TABLE claims (
        id TEXT PRIMARY KEY, job TEXT NOT NULL UNIQUE, guest TEXT NOT NULL, secret BLOB NOT NULL,
        expired INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE reports (
        sha256 TEXT PRIMARY KEY, claim_id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, guest TEXT NOT NULL,
        received_at_ms INTEGER NOT NULL, source TEXT NOT NULL, trust TEXT NOT NULL, envelope TEXT NOT NULL,
        ack TEXT NOT NULL) STRICT;
    CREATE INDEX reports_by_job ON reports(job);
    CREATE TABLE host_keys (
        fingerprint TEXT NOT NULL, job TEXT NOT NULL, guest TEXT NOT NULL, retired INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (fingerprint, job)) STRICT;
    CREATE TABLE refusals (
        id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, source TEXT NOT NULL, code TEXT NOT NULL,
        message TEXT NOT NULL, claim_id TEXT, guest TEXT, job TEXT, sha256 TEXT) STRICT;
    ",
    // Beside each journal, what lists, the queue and the limits need of it; leases; requests; identities of the fleet.
    "
    ALTER TABLE jobs ADD COLUMN backend TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN batch TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE jobs ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN phase TEXT NOT NULL DEFAULT 'queued';
    ALTER TABLE jobs ADD COLUMN step TEXT;
    ALTER TABLE jobs ADD COLUMN failure TEXT;
    ALTER TABLE jobs ADD COLUMN works INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN is_open INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN live INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN ended_at_ms INTEGER;
    ALTER TABLE jobs ADD COLUMN request TEXT;
    ALTER TABLE jobs ADD COLUMN companion TEXT;
    ALTER TABLE jobs ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE leases (
        job TEXT PRIMARY KEY REFERENCES jobs(id), fence INTEGER NOT NULL,
        until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE heartbeat (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE identities (
        kind TEXT NOT NULL, value TEXT NOT NULL, job TEXT NOT NULL, guest TEXT NOT NULL,
        retired INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (kind, value, job)) STRICT, WITHOUT ROWID;
    CREATE INDEX identities_by_job ON identities(job);
    ALTER TABLE refusals ADD COLUMN is_final INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE reservations (
        kind TEXT NOT NULL, value TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (kind, value)) STRICT, WITHOUT ROWID;
    CREATE INDEX reservations_by_job ON reservations(job);
    INSERT INTO identities (kind, value, job, guest, retired)
        SELECT 'ssh-host-key', fingerprint, job, guest, retired FROM host_keys;
    DROP TABLE host_keys;
    ",
    // Claims without a secret: what their guest's beacon was, and the reports that may be its guest's.
    "
    ALTER TABLE claims ADD COLUMN is_open INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE claims ADD COLUMN beacon TEXT;
    ALTER TABLE claims ADD COLUMN trust TEXT;
    CREATE TABLE candidates (
        claim_id TEXT NOT NULL, sha256 TEXT NOT NULL, job TEXT NOT NULL, received_at_ms INTEGER NOT NULL,
        source TEXT NOT NULL, envelope TEXT NOT NULL, refuted INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (claim_id, sha256)) STRICT, WITHOUT ROWID;
    CREATE INDEX candidates_by_job ON candidates(job);
    ",
    // Changes of guests that are ready, and how long guests live. The index is made anew: see below.
    "
    ALTER TABLE jobs ADD COLUMN change_of TEXT;
    ALTER TABLE jobs ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN due_at_ms INTEGER;
    ALTER TABLE jobs ADD COLUMN attend_at_ms INTEGER;
    DROP INDEX IF EXISTS jobs_one_per_guest;
    ",
    // Evidence: files that were signed; and what guests sent by themselves, the newest of each.
    "
    CREATE TABLE evidence (
        sha256 TEXT PRIMARY KEY, job TEXT NOT NULL, guest TEXT NOT NULL, at_ms INTEGER NOT NULL,
        holds INTEGER NOT NULL, asked_by TEXT NOT NULL, file TEXT NOT NULL) STRICT;
    CREATE INDEX evidence_by_job ON evidence(job);
    CREATE TABLE heard (
        job TEXT PRIMARY KEY, sha256 TEXT NOT NULL, guest TEXT NOT NULL, at_ms INTEGER NOT NULL,
        source TEXT NOT NULL, evidence TEXT NOT NULL) STRICT;
    ",
    // Host certificates that were issued. Revoked: their guest is gone.
    "
    CREATE TABLE ssh_certificates (
        serial INTEGER PRIMARY KEY, authority TEXT NOT NULL, job TEXT NOT NULL, guest TEXT NOT NULL,
        fingerprint TEXT NOT NULL, principals TEXT NOT NULL, valid_after INTEGER NOT NULL,
        valid_before INTEGER NOT NULL, issued_at_ms INTEGER NOT NULL, issued_by TEXT NOT NULL,
        certificate TEXT NOT NULL, revoked INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE INDEX ssh_certificates_by_job ON ssh_certificates(job);
    CREATE INDEX ssh_certificates_by_guest ON ssh_certificates(guest, issued_at_ms);
    CREATE INDEX ssh_certificates_revoked ON ssh_certificates(authority, serial) WHERE revoked = 1;
    ",
    // What is to be told elsewhere (webhooks, traces) of a job's event, until it is.
    "
    CREATE TABLE outbox (
        target TEXT NOT NULL, id TEXT NOT NULL, job TEXT NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        state TEXT NOT NULL, next_at_ms INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0, what TEXT, error TEXT,
        ended_at_ms INTEGER, PRIMARY KEY (target, id)) STRICT, WITHOUT ROWID;
    ",
    // What `golden lint` said of each golden, last.
    "
    CREATE TABLE golden_verdicts (
        backend TEXT NOT NULL, golden TEXT NOT NULL, mark TEXT NOT NULL, at_ms INTEGER NOT NULL,
        asked_by TEXT NOT NULL, look TEXT NOT NULL, PRIMARY KEY (backend, golden)) STRICT, WITHOUT ROWID;
    ",
];

/// Made after the old rows have their new columns.
const INDEXES: &str = "
    CREATE UNIQUE INDEX IF NOT EXISTS jobs_one_per_guest ON jobs(guest) WHERE live = 1 AND change_of IS NULL;
    CREATE UNIQUE INDEX IF NOT EXISTS jobs_one_change ON jobs(change_of) WHERE live = 1 AND change_of IS NOT NULL;
    CREATE INDEX IF NOT EXISTS jobs_to_attend ON jobs(attend_at_ms) WHERE attend_at_ms IS NOT NULL;
    CREATE INDEX IF NOT EXISTS jobs_by_guest ON jobs(guest, id);
    CREATE INDEX IF NOT EXISTS jobs_by_phase ON jobs(phase, id);
    CREATE INDEX IF NOT EXISTS jobs_by_batch ON jobs(batch, id);
    CREATE INDEX IF NOT EXISTS jobs_queued ON jobs(batch, resources, created_at_ms, id)
        WHERE held = 0 AND is_open = 1 AND phase = 'queued';
    CREATE INDEX IF NOT EXISTS jobs_begun ON jobs(id) WHERE held = 0 AND is_open = 1 AND phase <> 'queued';
    CREATE INDEX IF NOT EXISTS jobs_asked ON jobs(id) WHERE held = 0 AND request IS NOT NULL;
    CREATE INDEX IF NOT EXISTS jobs_at_work ON jobs(batch, resources) WHERE works = 1;
    CREATE INDEX IF NOT EXISTS jobs_of_guests ON jobs(backend, phase, id) WHERE live = 1 AND change_of IS NULL;
    CREATE INDEX IF NOT EXISTS reports_trust ON reports(job, trust);
    CREATE INDEX IF NOT EXISTS outbox_due ON outbox(next_at_ms, target) WHERE state = 'waiting';
    CREATE INDEX IF NOT EXISTS outbox_by_job ON outbox(job);
    CREATE INDEX IF NOT EXISTS refusals_of_guests ON refusals(claim_id) WHERE is_final = 1;
    CREATE INDEX IF NOT EXISTS reports_by_age ON reports(received_at_ms, sha256);
    CREATE INDEX IF NOT EXISTS reports_by_guest ON reports(guest, received_at_ms, sha256);
";

/// Brings the schema up to date. The connection is in no transaction.
pub(super) async fn migrate(
    sql: &mut AnyConnection,
    dialect: Dialect,
    shown: &str,
) -> Result<(), StoreError> {
    let found = version(sql, dialect).await?;
    let applied = usize::try_from(found).unwrap_or(usize::MAX);
    if applied > MIGRATIONS.len() {
        return Err(StoreError::Newer { store: shown.to_owned(), found, known: MIGRATIONS.len() });
    }
    if applied == MIGRATIONS.len() {
        return Ok(());
    }
    sql.execute("BEGIN").await.map_err(failed("begin a migration"))?;
    match apply(sql, dialect, applied).await {
        Ok(()) => sql.execute("COMMIT").await.map(drop).map_err(failed("commit a migration")),
        Err(error) => {
            let _ = sql.execute("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn apply(sql: &mut AnyConnection, dialect: Dialect, applied: usize) -> Result<(), StoreError> {
    let script = |text: &str| AssertSqlSafe(dialect.schema(text));
    for migration in &MIGRATIONS[applied..] {
        sqlx::raw_sql(script(migration)).execute(&mut *sql).await.map_err(failed("migrate"))?;
    }
    if applied == 1 {
        outline_old_jobs(sql).await?;
    }
    sqlx::raw_sql(script(INDEXES)).execute(&mut *sql).await.map_err(failed("make the indexes"))?;
    let reached = match dialect {
        Dialect::Sqlite => format!("PRAGMA user_version = {}", MIGRATIONS.len()),
        Dialect::Postgres => format!("UPDATE schema_version SET version = {}", MIGRATIONS.len()),
    };
    sqlx::raw_sql(AssertSqlSafe(reached)).execute(sql).await.map_err(failed("number the schema"))?;
    Ok(())
}

/// The same for a database that several companions open at once: the first migrates, the others wait.
pub(super) async fn migrate_shared(sql: &mut AnyConnection, shown: &str) -> Result<(), StoreError> {
    let lock = format!("SELECT pg_advisory_lock({LOCK})");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *sql).await.map_err(failed("lock the schema"))?;
    let migrated = async {
        let number = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL); \
                      INSERT INTO schema_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_version)";
        sqlx::raw_sql(number).execute(&mut *sql).await.map_err(failed("number the schema"))?;
        migrate(&mut *sql, Dialect::Postgres, shown).await
    };
    let migrated = migrated.await;
    let unlock = format!("SELECT pg_advisory_unlock({LOCK})");
    sqlx::raw_sql(AssertSqlSafe(unlock)).execute(sql).await.map_err(failed("unlock the schema"))?;
    migrated
}

/// Of the schema, among the advisory locks of the database.
const LOCK: i64 = 0x6669_7273_7401;

async fn version(sql: &mut AnyConnection, dialect: Dialect) -> Result<i64, StoreError> {
    let query = match dialect {
        Dialect::Sqlite => "PRAGMA user_version",
        Dialect::Postgres => "SELECT version FROM schema_version",
    };
    sqlx::query_scalar(query).fetch_one(sql).await.map_err(failed("read the schema's number"))
}

/// Only for stores that nobody shares: whoever held leases is dead.
pub(super) async fn end_all_leases(sql: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let end = "BEGIN IMMEDIATE; DELETE FROM leases; \
               UPDATE jobs SET held = 0, works = CASE WHEN phase IN ('queued', 'needs-operator') THEN 0 ELSE works END WHERE held = 1; COMMIT;";
    sqlx::raw_sql(end).execute(sql).await.map(drop)
}

/// Jobs of the first schema were folded at each start; now they are once.
async fn outline_old_jobs(sql: &mut AnyConnection) -> Result<(), StoreError> {
    let jobs: Vec<String> = sqlx::query_scalar("SELECT id FROM jobs ORDER BY created_at_ms, id")
        .fetch_all(&mut *sql)
        .await
        .map_err(failed("list the jobs"))?;
    for job in jobs {
        old::modernise(sql, &job).await?;
        rows::outline_again(sql, &job).await?;
    }
    Ok(())
}
