//! What `golden lint` found, kept for each golden together with what the backend sees of its content.

use std::collections::BTreeSet;

use firstlight_shared::text::escape;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::backend::GuestPlan;
use crate::bringup::facts::spec_of;
use crate::bringup::service::{Bringups, store_fault};
use crate::clock::now_ms;
use crate::outcome::Fault;
use crate::store::{GoldenRun, GoldenVerdict, LintLook, StoreError};

/// Bring-ups among which the newest one of a golden is looked for: it says on which server the golden is.
const RUNS: usize = 2000;
/// Bring-ups whose goldens the companion looks at by itself.
const NEWEST: usize = 200;
/// Findings that are kept of one golden.
const FINDINGS: usize = 50;
/// Characters of any text.
const TEXT: usize = 400;

/// A golden that can be read here, and was not looked at as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unseen {
    pub(crate) backend: String,
    /// An absolute path.
    pub(crate) golden: String,
    mark: String,
}

/// What somebody found in a golden.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictRequest {
    #[schema(example = "local")]
    pub backend: String,
    /// As specs name it: the absolute path of an archive (local), a volume (proxmox), an image (incus).
    pub golden: String,
    /// Of the file that was read; a golden of another size is another one. None: it was no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    pub look: LintLook,
}

impl Bringups {
    /// Keeps what was found, if the backend has such a golden, and of that size.
    ///
    /// # Errors
    /// There is no such golden, it is another one, or the hypervisor does not answer.
    pub async fn record_verdict(&self, request: VerdictRequest, by: &str) -> Result<GoldenVerdict, Fault> {
        let mark = self.mark_of_golden(&request.backend, &request.golden).await?;
        if let (Some(read), Some(there)) = (request.bytes, size_of(&mark))
            && read != there
        {
            let golden = escape(&request.golden, 160);
            let message =
                format!("golden {golden} has {there} bytes, what was looked at has {read}: it is another");
            return Err(Fault::new("golden-differs", message)
                .with_hint("look at the golden itself, or at a copy of it as it is now"));
        }
        let verdict = GoldenVerdict {
            backend: request.backend,
            golden: request.golden,
            mark,
            at_ms: now_ms(),
            by: by.to_owned(),
            look: bounded(request.look),
        };
        self.store.keep_verdict(&verdict).await.map_err(store_fault)?;
        Ok(verdict)
    }

    /// Goldens of the newest bring-ups that can be read here, and are still what those guests were made of. On another
    /// companion's machine the same path may be another file, or none: that one is left to the other.
    pub(crate) async fn unseen_goldens(&self) -> Result<Vec<Unseen>, StoreError> {
        let runs = self.store.golden_runs(NEWEST).await?;
        let verdicts = self.store.golden_verdicts().await?;
        let mut found = Vec::new();
        for unseen in unseen(&runs, &verdicts) {
            if self.mark_of_golden(&unseen.backend, &unseen.golden).await.ok().as_ref() == Some(&unseen.mark)
            {
                found.push(unseen);
            }
        }
        Ok(found)
    }

    /// Keeps what the companion found, unless the golden changed meanwhile.
    pub(crate) async fn seen(&self, unseen: &Unseen, look: LintLook) -> Result<(), Fault> {
        if self.mark_of_golden(&unseen.backend, &unseen.golden).await? != unseen.mark {
            return Ok(());
        }
        let (backend, golden, mark) = (unseen.backend.clone(), unseen.golden.clone(), unseen.mark.clone());
        let by = "companion".to_owned();
        let verdict = GoldenVerdict { backend, golden, mark, at_ms: now_ms(), by, look: bounded(look) };
        self.store.keep_verdict(&verdict).await.map_err(store_fault)
    }

    /// What the backend sees of a golden's content, where the newest guest was made of it.
    ///
    /// # Errors
    /// There is no such backend or golden, or no answer.
    pub(crate) async fn mark_of_golden(&self, backend: &str, golden: &str) -> Result<String, Fault> {
        let backend = self.hasty_backend(backend)?;
        let runs = self.store.golden_runs(RUNS).await.map_err(store_fault)?;
        let newest = runs.iter().find(|run| run.backend == backend.name() && run.golden == golden);
        let state = match newest {
            Some(run) => self.state(&run.job).await.map_err(store_fault)?,
            None => None,
        };
        let plan = match state.and_then(|state| spec_of(&state).ok()) {
            Some(spec) => spec.plan,
            None => plan_of(golden)?,
        };
        backend.golden_mark(&plan).await
    }
}

/// Those whose newest guest was made of something that no verdict is about. `runs`: newest first.
fn unseen(runs: &[GoldenRun], verdicts: &[GoldenVerdict]) -> Vec<Unseen> {
    let mut known = BTreeSet::new();
    let newest = runs.iter().filter(|run| known.insert((&run.backend, &run.golden)));
    let is_here =
        |run: &&GoldenRun| ["local", "incus"].contains(&&*run.backend) && run.golden.starts_with('/');
    newest
        .filter(is_here)
        .filter_map(|run| {
            let (backend, golden, mark) = (run.backend.clone(), run.golden.clone(), run.mark.clone()?);
            let told = |verdict: &GoldenVerdict| {
                verdict.backend == backend && verdict.golden == golden && verdict.mark == mark
            };
            (!verdicts.iter().any(told)).then_some(Unseen { backend, golden, mark })
        })
        .collect()
}

/// A guest that nobody makes.
fn plan_of(golden: &str) -> Result<GuestPlan, Fault> {
    let name = "golden".parse().map_err(|error| Fault::new("bad-request", format!("{error}")))?;
    Ok(GuestPlan::bare(name, golden))
}

/// The marks of files begin with it: `1234 bytes ...`. None: it is no file.
fn size_of(mark: &str) -> Option<u64> {
    let (size, rest) = mark.split_once(' ')?;
    rest.starts_with("bytes").then(|| size.parse().ok())?
}

fn bounded(look: LintLook) -> LintLook {
    let cut = |text: &mut String| {
        if let Some((end, _)) = text.char_indices().nth(TEXT) {
            text.truncate(end);
        }
    };
    let mut look = look;
    look.findings.truncate(FINDINGS);
    [&mut look.path, &mut look.shape, &mut look.target].into_iter().for_each(cut);
    look.refused.as_mut().map(cut);
    for finding in &mut look.findings {
        [&mut finding.severity, &mut finding.rule, &mut finding.path].into_iter().for_each(cut);
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Phase;
    use crate::store::LintFinding;

    fn look() -> LintLook {
        LintLook {
            path: "x".repeat(1000),
            shape: "tar".into(),
            target: "any".into(),
            errors: u64::MAX,
            warnings: 0,
            notes: 0,
            incomplete: false,
            refused: Some("y".repeat(1000)),
            findings: Vec::new(),
        }
    }

    #[test]
    fn a_golden_is_looked_at_once_for_each_content() {
        let run = |backend: &str, golden: &str, mark: Option<&str>| GoldenRun {
            job: "j".into(),
            golden: golden.into(),
            mark: mark.map(Into::into),
            backend: backend.into(),
            phase: Phase::Done,
            created_ms: 1,
            ready_ms: None,
            failed: false,
        };
        let told = |golden: &str, mark: &str| GoldenVerdict {
            backend: "local".into(),
            golden: golden.into(),
            mark: mark.into(),
            at_ms: 1,
            by: "x".into(),
            look: look(),
        };
        let runs = [
            run("local", "/a", Some("2")),
            run("local", "/a", Some("1")),
            run("local", "/b", Some("1")),
            run("local", "/c", None),
            run("proxmox", "local:backup/x", Some("1")),
            run("incus", "image", Some("1")),
            run("incus", "/export", Some("1")),
        ];
        let names = |verdicts: &[GoldenVerdict]| {
            let found = unseen(&runs, verdicts);
            found.into_iter().map(|one| format!("{} {}", one.golden, one.mark)).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["/a 2", "/b 1", "/export 1"]);
        assert_eq!(names(&[told("/a", "1"), told("/b", "1"), told("/export", "1")]), ["/a 2", "/export 1"]);
    }

    #[test]
    fn marks_of_files_tell_their_size() {
        for (mark, size) in [
            ("1234 bytes of 17.000000001", Some(1234)),
            ("9 bytes, written at 5", Some(9)),
            ("? bytes, written at 5", None),
            ("image 77aa", None),
            ("", None),
        ] {
            assert_eq!(size_of(mark), size, "{mark}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let finding = LintFinding { severity: "error".into(), rule: "ä".repeat(1000), path: "/".into() };
        let look = LintLook { findings: vec![finding; 200], ..look() };
        let kept = bounded(look);
        assert_eq!((kept.path.len(), kept.findings.len(), kept.refused.unwrap().len()), (400, 50, 400));
        assert_eq!(kept.findings[0].rule.chars().count(), 400);
    }
}
