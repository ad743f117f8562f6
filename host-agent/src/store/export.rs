//! Finished jobs as JSON lines, for archives and other tools.

use std::path::Path;

use firstlight_shared::wire::Signed;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::evidence::{Heard, StoredEvidence};
use super::lists::JobFilter;
use super::reports::StoredReport;
use super::{Store, StoreError};
use crate::job::{Phase, Recorded};
use crate::outcome::Fault;

/// One line of an export: one job, newest first. Claims' secrets are not in it.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// 1.
    pub version: u32,
    pub job: String,
    pub guest: String,
    pub backend: String,
    pub batch: String,
    /// `done`, `rolled-back`, `needs-operator` or `abandoned`.
    pub state: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Fault>,
    /// Milliseconds since the Unix epoch, like all times here.
    pub created_at_ms: u64,
    pub ended_at_ms: Option<u64>,
    /// The whole journal: `seq`, `at_ms`, `event`.
    pub events: Vec<Recorded>,
    pub report: Option<ExportedReport>,
    /// What `firstlight verify` made, newest first.
    pub evidence: Vec<ExportedEvidence>,
    /// What the guest sent by itself last, asked for or not.
    pub heard: Option<ExportedHeard>,
}

/// The report that the guest sent: as it was signed, and how it was bound to the guest.
#[derive(Debug, Serialize)]
pub struct ExportedReport {
    pub sha256: String,
    pub received_at_ms: u64,
    pub source: String,
    pub trust: firstlight_shared::wire::Trust,
    pub envelope: firstlight_shared::wire::Envelope,
}

/// An evidence file: `file` is what `firstlight verify --file` reads.
#[derive(Debug, Serialize)]
pub struct ExportedEvidence {
    pub sha256: String,
    pub at_ms: u64,
    pub holds: bool,
    /// Who asked for it.
    pub by: String,
    pub file: Signed,
}

impl From<StoredEvidence> for ExportedEvidence {
    fn from(stored: StoredEvidence) -> Self {
        let StoredEvidence { sha256, at_ms, holds, by, file, .. } = stored;
        Self { sha256, at_ms, holds, by, file }
    }
}

/// A guest's own words, signed with its host key.
#[derive(Debug, Serialize)]
pub struct ExportedHeard {
    pub sha256: String,
    pub at_ms: u64,
    pub source: String,
    pub evidence: Signed,
}

impl From<Heard> for ExportedHeard {
    fn from(heard: Heard) -> Self {
        let Heard { sha256, at_ms, source, evidence, .. } = heard;
        Self { sha256, at_ms, source, evidence }
    }
}

impl From<StoredReport> for ExportedReport {
    fn from(stored: StoredReport) -> Self {
        Self {
            sha256: stored.sha256,
            received_at_ms: stored.received_at_ms,
            source: stored.source,
            trust: stored.trust,
            envelope: stored.envelope,
        }
    }
}

impl Store {
    /// Writes every finished job as a line of JSON, see [`Exported`]; answers how many. Work goes on meanwhile.
    pub async fn export<W: AsyncWrite + Unpin + Send>(&self, to: &mut W) -> Result<u64, StoreError> {
        let writing = |error| StoreError::file(Path::new("the export"), error);
        let states = [Phase::Done, Phase::RolledBack, Phase::NeedsOperator, Phase::Abandoned];
        let mut filter = JobFilter { states: states.to_vec(), ..JobFilter::default() };
        let mut count = 0;
        loop {
            let (jobs, next) = self.list_jobs(&filter).await?;
            for job in jobs {
                let report = self.report_of_job(&job.id).await?;
                let evidence = self.list_evidence(None, Some(&job.id), usize::MAX).await?;
                let heard = self.heard(&job.id).await?;
                let line = Exported {
                    version: 1,
                    events: self.events(&job.id).await?,
                    job: job.id,
                    guest: job.guest,
                    backend: job.backend,
                    batch: job.batch,
                    state: job.phase,
                    failure: job.failure,
                    created_at_ms: job.created_ms,
                    ended_at_ms: job.ended_ms,
                    report: report.map(ExportedReport::from),
                    evidence: evidence.into_iter().map(ExportedEvidence::from).collect(),
                    heard: heard.map(ExportedHeard::from),
                };
                let mut line = super::rows::text("an exported job", &line)?;
                line.push('\n');
                to.write_all(line.as_bytes()).await.map_err(writing)?;
                count += 1;
            }
            if next.is_none() {
                to.flush().await.map_err(writing)?;
                return Ok(count);
            }
            filter.before = next;
        }
    }
}
