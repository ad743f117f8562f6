//! Lists, page by page, as the store keeps them: no journal is folded for a list.

use firstlight_shared::error::Chain;

use crate::backend::Trouble;
use crate::bringup::api::{JobFilter, JobLine, JobPage, ReportFilter, ReportPage, ReportView};
use crate::bringup::hosts::{KnownHost, host_of};
use crate::bringup::service::Bringups;
use crate::job::{Limits, Phase, Recorded, Taken};
use crate::store::{JobRow, StoreError, StoredReport};

impl Bringups {
    /// One page of jobs, newest first.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<JobPage, StoreError> {
        let (rows, next) = self.store.list_jobs(filter).await?;
        Ok(JobPage { jobs: self.lines(rows).await?, next })
    }

    /// How many jobs are in which state.
    pub async fn counts(&self) -> Result<Vec<(Phase, u64)>, StoreError> {
        self.store.count_jobs().await
    }

    /// One job as lists show it; none if there is no such job.
    pub async fn line(&self, job: &str) -> Result<Option<JobLine>, StoreError> {
        let row = self.store.job(job).await?;
        Ok(self.lines(row.into_iter().collect()).await?.pop())
    }

    pub(in crate::bringup) async fn lines(&self, rows: Vec<JobRow>) -> Result<Vec<JobLine>, StoreError> {
        let queued = rows.iter().filter(|row| row.phase == Phase::Queued);
        let queued: Vec<String> = queued.map(|row| row.id.clone()).collect();
        let (taken, wanted) = match queued.as_slice() {
            [] => Default::default(),
            queued => self.store.queue_of(queued).await?,
        };
        let limits = self.limits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let reason = |job: &str| {
            wanted.iter().find(|(id, _)| id == job).map(|(_, wanted)| waits_for(wanted, &taken, &limits))
        };
        let with_reasons = |row: JobRow| {
            let trouble = if row.phase.is_at_work() { self.trouble_of(&row.backend) } else { None };
            JobLine { waits_for: reason(&row.id), trouble, ..line(row) }
        };
        Ok(rows.into_iter().map(with_reasons).collect())
    }

    /// What keeps this backend's hypervisor from answering now.
    pub(in crate::bringup) fn trouble_of(&self, backend: &str) -> Option<Trouble> {
        self.backends.iter().find(|known| known.name() == backend)?.trouble()
    }

    /// The same of all backends: when it changes, jobs at work look different.
    pub fn troubles(&self) -> Vec<Option<Trouble>> {
        self.backends.iter().map(|backend| backend.trouble()).collect()
    }

    /// One page of reports, newest first; the first page has the newest refusals beside them.
    pub async fn reports(&self, filter: &ReportFilter) -> Result<ReportPage, StoreError> {
        let (stored, next) = self.store.list_reports(filter).await?;
        let (refusals, evidence) = match &filter.before {
            None => (
                self.store.list_refusals(filter.guest.as_ref(), filter.limit).await?,
                self.store.list_evidence(filter.guest.as_ref(), None, filter.limit).await?,
            ),
            Some(_) => Default::default(),
        };
        Ok(ReportPage { reports: stored.into_iter().filter_map(opened).collect(), refusals, evidence, next })
    }

    /// The report of one job, if one was taken and can be read.
    pub async fn report_of(&self, job: &str) -> Result<Option<ReportView>, StoreError> {
        Ok(self.store.report_of_job(job).await?.and_then(opened))
    }

    /// Whether a job was ever for a guest of this name, and is still kept.
    pub async fn knows(&self, guest: &str) -> Result<bool, StoreError> {
        Ok(self.store.job_of_guest(guest).await?.is_some())
    }

    /// The journal of one job, for people.
    pub async fn events(&self, job: &str) -> Result<Vec<Recorded>, StoreError> {
        self.store.events(job).await
    }

    /// Verified keys of guests that are ready; all if `guests` is empty.
    pub async fn known_hosts(&self, guests: &[String]) -> Result<Vec<KnownHost>, StoreError> {
        let mut hosts = Vec::new();
        if guests.is_empty() {
            let mut filter = JobFilter { states: vec![Phase::Done], limit: usize::MAX, ..Default::default() };
            loop {
                let (rows, next) = self.store.list_jobs(&filter).await?;
                for row in rows {
                    hosts.extend(host_of(&self.store, row).await?);
                }
                if next.is_none() {
                    break;
                }
                filter.before = next;
            }
            hosts.sort_by(|one, other| one.guest.cmp(&other.guest));
        }
        for guest in guests {
            if let Some(row) = self.store.job_of_guest(guest).await? {
                hosts.extend(host_of(&self.store, row).await?);
            }
        }
        Ok(hosts)
    }
}

/// Why a queued job has not begun, for people.
fn waits_for(wanted: &[String], taken: &Taken, limits: &Limits) -> String {
    let full = wanted.iter().find_map(|resource| {
        let (used, limit) = (taken.resources.get(resource).copied().unwrap_or(0), limits.of(resource)?);
        (used >= limit).then(|| format!("{resource}: {used} of {limit} places are taken"))
    });
    full.unwrap_or_else(|| "its turn".to_owned())
}

fn line(row: JobRow) -> JobLine {
    JobLine {
        id: row.id,
        guest: row.guest,
        backend: row.backend,
        batch: row.batch,
        state: row.phase,
        step: row.step,
        trust: row.trust,
        failure: row.failure,
        waits_for: None,
        trouble: None,
        change_of: row.change_of,
        due_at_ms: row.due_ms,
        ephemeral: row.ephemeral,
        created_at_ms: row.created_ms,
        ended_at_ms: row.ended_ms,
    }
}

pub(in crate::bringup) fn opened(stored: StoredReport) -> Option<ReportView> {
    match stored.envelope.open() {
        Ok(opened) => Some(ReportView {
            sha256: stored.sha256,
            guest: stored.guest,
            job: stored.job,
            claim_id: stored.claim_id,
            received_at_ms: stored.received_at_ms,
            source: stored.source,
            trust: stored.trust,
            report: opened.report,
        }),
        Err(error) => {
            tracing::error!(sha256 = %stored.sha256, error = %Chain(&error), "a stored report no longer opens");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_job_waits_for_the_resource_that_is_full() {
        let limits = Limits { at_once: [("node".to_owned(), 2), ("storage:a".to_owned(), 0)].into() };
        let taken = Taken { resources: [("node:one".to_owned(), 2)].into(), ..Taken::default() };
        for (wanted, reason) in [
            (&["node:one"][..], "node:one: 2 of 2 places are taken"),
            (&["node:two"], "its turn"),
            (&["node:two", "storage:a"], "storage:a: 0 of 0 places are taken"),
            (&["other:x"], "its turn"),
            (&[], "its turn"),
        ] {
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            assert_eq!(waits_for(&wanted, &taken, &limits), reason);
        }
    }
}
