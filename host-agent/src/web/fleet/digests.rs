//! What reports say of their checks, in three numbers each. A report never changes, so that each is read once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use firstlight_shared::check::{CheckResult, Verdict};
use serde::Deserialize;

use crate::bringup::FleetLine;
use crate::store::{Store, StoreError};

/// Reports remembered; beyond it all are read again.
const REMEMBERED: usize = 20_000;

/// How a guest's checks went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::web) struct Checks {
    pub(in crate::web) passed: usize,
    /// Required ones that did not pass.
    pub(in crate::web) failed: usize,
    /// Others that did not pass.
    pub(in crate::web) warnings: usize,
}

/// By the SHA-256 of the report.
#[derive(Debug, Default)]
pub(in crate::web) struct Digests(Mutex<HashMap<String, Checks>>);

impl Digests {
    /// The checks of these guests' reports.
    pub(in crate::web) async fn of(
        &self,
        store: &Store,
        lines: &[FleetLine],
    ) -> Result<HashMap<String, Checks>, StoreError> {
        let wanted: Vec<(&String, &String)> = lines
            .iter()
            .filter_map(|line| line.report.as_ref().map(|(sha, _)| (sha, &line.line.id)))
            .collect();
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (sha256, job) in wanted {
                match known.get(sha256) {
                    Some(checks) => drop(found.insert(sha256.clone(), *checks)),
                    None => missing.push(job.clone()),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let texts = store.report_texts(&missing).await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + texts.len() > REMEMBERED {
            known.clear();
        }
        for (sha256, text) in texts {
            let checks = count(&text);
            known.insert(sha256.clone(), checks);
            found.insert(sha256, checks);
        }
        Ok(found)
    }
}

/// Pure. What cannot be read has no checks; it was read when it was taken.
fn count(report: &str) -> Checks {
    #[derive(Deserialize)]
    struct Part {
        checks: Vec<CheckResult>,
    }
    let mut checks = Checks::default();
    for check in serde_json::from_str::<Part>(report).map(|part| part.checks).unwrap_or_default() {
        match check.verdict {
            Verdict::Pass => checks.passed += 1,
            Verdict::Skip => {}
            Verdict::Fail | Verdict::Unknown if check.blocks_readiness() => checks.failed += 1,
            Verdict::Fail | Verdict::Unknown => checks.warnings += 1,
        }
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted_by_what_they_mean() {
        let check = |severity: &str, verdict: &str| {
            format!(
                r#"{{"id":"a","severity":"{severity}","verdict":"{verdict}","reason":"","elapsed_ms":1}}"#
            )
        };
        let checks = [
            check("required", "pass"),
            check("advisory", "pass"),
            check("required", "fail"),
            check("required", "unknown"),
            check("advisory", "fail"),
            check("required", "skip"),
        ];
        let report = format!(r#"{{"checks":[{}],"more":1}}"#, checks.join(","));
        assert_eq!(count(&report), Checks { passed: 2, failed: 2, warnings: 1 });
        assert_eq!(count("{"), Checks::default());
    }
}
