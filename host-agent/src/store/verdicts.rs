//! What `golden lint` said of each golden, the newest of each.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::failed;
use super::rows::{parsed, signed, text, unsigned};
use super::{Store, StoreError};

/// Goldens beyond this number are forgotten, those first that were looked at longest ago.
const KEPT: i64 = 1000;

/// What a look at one golden found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GoldenVerdict {
    pub backend: String,
    /// As specs name it.
    pub golden: String,
    /// What changes when its content does, as the backend saw it when it was looked at.
    pub mark: String,
    pub at_ms: u64,
    /// Who asked for it; the companion, if it looked by itself.
    pub by: String,
    pub look: LintLook,
}

/// The look itself. Every text may be of whoever made the golden: whoever shows it escapes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LintLook {
    /// The file or folder that was read.
    pub path: String,
    /// What it turned out to be: `tar`, `vzdump-lxc` and so on; empty, if it could not be read.
    pub shape: String,
    /// What it was judged for: `proxmox-lxc`, `incus`, `local` or `any`.
    pub target: String,
    pub errors: u64,
    pub warnings: u64,
    pub notes: u64,
    /// A part of it is in a format that is not read: nothing is proven about that.
    pub incomplete: bool,
    /// Why it could not be read at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The worst first; not all, if there are many.
    pub findings: Vec<LintFinding>,
}

/// One finding, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LintFinding {
    /// `error`, `warning` or `note`.
    pub severity: String,
    pub rule: String,
    /// Where it is, in the golden.
    pub path: String,
}

impl Store {
    /// Keeps a verdict in the place of an older one of the same golden.
    pub async fn keep_verdict(&self, verdict: &GoldenVerdict) -> Result<(), StoreError> {
        let verdict = verdict.clone();
        let look = text("what was found in a golden", &verdict.look)?;
        let put = "INSERT INTO golden_verdicts (backend, golden, mark, at_ms, asked_by, look) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (backend, golden) DO UPDATE SET mark = excluded.mark, at_ms = excluded.at_ms, \
                   asked_by = excluded.asked_by, look = excluded.look";
        let forget = "DELETE FROM golden_verdicts WHERE at_ms < (SELECT min(at_ms) FROM (SELECT at_ms FROM golden_verdicts \
                      ORDER BY at_ms DESC LIMIT $1) AS newest)";
        self.write(move |writing| {
            Box::pin(async move {
                sqlx::query(put)
                    .bind(&verdict.backend)
                    .bind(&verdict.golden)
                    .bind(&verdict.mark)
                    .bind(signed(verdict.at_ms))
                    .bind(&verdict.by)
                    .bind(&look)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("keep what was found in a golden"))?;
                sqlx::query(forget)
                    .bind(KEPT)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("forget what was found in goldens long ago"))
                    .map(drop)
            })
        })
        .await
    }

    /// All that are kept, newest first.
    pub async fn golden_verdicts(&self) -> Result<Vec<GoldenVerdict>, StoreError> {
        let list = "SELECT backend, golden, mark, at_ms, asked_by, look FROM golden_verdicts \
                    ORDER BY at_ms DESC, backend, golden";
        let rows = sqlx::query(list)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("list what was found in goldens"))?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &AnyRow) -> Result<GoldenVerdict, StoreError> {
    Ok(GoldenVerdict {
        backend: row.get(0),
        golden: row.get(1),
        mark: row.get(2),
        at_ms: unsigned(row.get(3)),
        by: row.get(4),
        look: parsed("what was found in a golden", row.get(5))?,
    })
}
