//! Reports of earlier guests of the same name, beside the present one.

use firstlight_shared::wire::Report;

use super::bound::{self, Cuts};
use super::identity::word;
use super::page::HistoryLine;
use crate::bringup::ReportView;
use crate::identities::identities;

const LINES: usize = 50;

/// Newest first, as they come. What a later guest of the same name may share (its name, its addresses, its MAC) is not told.
pub(super) fn history(
    present: Option<&Report>,
    job: &str,
    others: &[ReportView],
    cuts: &mut Cuts,
) -> Vec<HistoryLine> {
    let own = present.map(|report| identities("", report).values).unwrap_or_default();
    let own: Vec<_> =
        own.into_iter().filter(|(kind, _)| matches!(*kind, "machine-id" | "ssh-host-key")).collect();
    let others: Vec<&ReportView> = others.iter().filter(|other| other.job != job).collect();
    let line = |other: &&ReportView| {
        let theirs = identities("", &other.report).values;
        let shared = own.iter().filter(|one| theirs.contains(one));
        HistoryLine {
            job: bound::word(&other.job),
            received_at_ms: other.received_at_ms,
            trust: other.trust.as_str().to_owned(),
            guest_says: word(&other.report.state),
            sha256: bound::word(&other.sha256),
            shares: shared.take(20).map(|(kind, value)| format!("{kind} {}", bound::word(value))).collect(),
        }
    };
    cuts.first("earlier reports", &others, LINES).iter().map(line).collect()
}
