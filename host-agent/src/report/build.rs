//! The page, made of what the companion knows. Pure, and total: whatever a guest says, there is a page of bounded size.

use super::bound::{self, Cuts};
use super::page::{EvidenceLine, GuestReport, Head, RefusalLine, SecretLine, VERSION};
use super::timeline::timeline;
use super::{history, host_keys, identity, sections, trust};
use crate::bringup::{GuestView, ReportView};
use crate::job::{Event, Phase, Recorded};
use crate::outcome::Fault;
use crate::store::{Refused, StoredEvidence};

const LINES: usize = 50;

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    pub view: &'a GuestView,
    /// The job's journal.
    pub events: &'a [Recorded],
    /// The job's report.
    pub report: Option<&'a ReportView>,
    /// Reports of this and earlier guests of the name, newest first.
    pub reports: &'a [ReportView],
    /// Of the guest; those of other jobs are left out.
    pub refusals: &'a [Refused],
    /// Of the guest; that of other jobs is left out.
    pub evidence: &'a [StoredEvidence],
    pub now_ms: u64,
}

/// Makes the page.
pub fn build(sources: &Sources<'_>) -> GuestReport {
    let (view, now_ms) = (sources.view, sources.now_ms);
    let mut cuts = Cuts::default();
    let report = sources.report.map(|view| &view.report);
    let timeline = timeline(sources.events, sources.report, now_ms);
    // Without a report the beacon may have brought one.
    let keys = report.map_or(view.ssh_host_keys.as_slice(), |report| &report.identity.ssh_host_keys);
    let host_keys: Vec<_> = identity::keys(keys, &mut cuts).iter().map(host_keys::card).collect();
    let checks = report.map(|report| report.checks.as_slice()).unwrap_or_default();
    let ready_at_ms = timeline.ready_ms.map(|after| timeline.begins_at_ms.saturating_add(after));
    GuestReport {
        version: VERSION,
        made_at_ms: now_ms,
        head: head(sources, ready_at_ms),
        identity: report.map(|report| identity::section(&report.identity, &host_keys, &mut cuts)),
        host_keys,
        check_counts: sections::counts(checks),
        checks: sections::checks(checks, &mut cuts),
        network: report.map(|report| sections::network(&report.network, &mut cuts)).unwrap_or_default(),
        facts: report.map(sections::facts).unwrap_or_default(),
        secrets: secrets(view),
        refusals: refusals(sources, &mut cuts),
        evidence: evidence(sources, &mut cuts),
        history: history::history(report, &view.job, sources.reports, &mut cuts),
        timeline,
        left_out: cuts.told(),
    }
}

fn head(sources: &Sources<'_>, ready_at_ms: Option<u64>) -> Head {
    let view = sources.view;
    let report = sources.report;
    let lines = |texts: &[String]| texts.iter().take(LINES).map(|text| bound::line(text)).collect();
    let addresses = view.addresses.iter().take(LINES).map(ToString::to_string).collect::<Vec<_>>();
    let log_in = view.reach.as_ref().zip(addresses.first());
    Head {
        guest: bound::word(&view.name),
        job: bound::word(&view.job),
        backend: bound::word(&view.backend),
        golden: golden(sources.events),
        state: view.state,
        state_in_words: in_words(view.state, view.step.as_deref()),
        step: view.step.as_deref().map(bound::word),
        adopted: view.adopted,
        trust: trust::trust(view, report.is_some()),
        created_at_ms: view.created_at_ms,
        ended_at_ms: view.ended_at_ms,
        ready_after_ms: ready_at_ms.map(|at| at.saturating_sub(view.created_at_ms)),
        report_at_ms: report.map(|report| report.received_at_ms),
        report_age_ms: report.map(|report| sources.now_ms.saturating_sub(report.received_at_ms)),
        report_sha256: report.map(|report| bound::word(&report.sha256)),
        guest_says: report.map(|report| identity::word(&report.report.state)),
        agent: report.map(|report| {
            bound::word(&format!("{} {}", report.report.agent.name, report.report.agent.version))
        }),
        mac: view.mac.as_deref().map(bound::word),
        log_in: log_in.map(|(reach, address)| format!("{} ssh root@{address}", bound::line(reach))),
        addresses,
        by: bound::word(&view.by),
        due_at_ms: view.due_at_ms.filter(|_| view.state == Phase::Done),
        ephemeral: view.ephemeral,
        unproven: lines(&view.unproven),
        failure: view.failure.as_ref().map(fault),
        trouble: view.trouble.as_ref().map(|trouble| fault(&trouble.fault)),
        to_do: to_do(view),
        console: lines(&view.console_tail),
    }
}

fn fault(fault: &Fault) -> Fault {
    Fault {
        code: bound::word(&fault.code),
        message: bound::line(&fault.message),
        hint: fault.hint.as_deref().map(bound::line),
    }
}

fn golden(events: &[Recorded]) -> Option<String> {
    let Event::Created(spec) = &events.first()?.event else { return None };
    let golden = spec.spec.pointer("/plan/golden")?.as_str()?;
    Some(bound::line(golden)).filter(|golden| !golden.is_empty())
}

fn in_words(state: Phase, step: Option<&str>) -> String {
    match state {
        Phase::Queued => "waiting for its turn".to_owned(),
        Phase::Running => format!("at work: {}", bound::word(step.unwrap_or("?"))),
        Phase::Waiting => "waiting for the guest's report".to_owned(),
        Phase::Unwinding => "being undone".to_owned(),
        Phase::Done => "ready".to_owned(),
        Phase::RolledBack => "gone: everything was undone".to_owned(),
        Phase::NeedsOperator => "an operator is needed".to_owned(),
        Phase::Abandoned => "abandoned: left as it is".to_owned(),
    }
}

/// What is left, and then what the job can do.
fn to_do(view: &GuestView) -> Vec<String> {
    let mut commands: Vec<String> = view.leftovers.iter().take(LINES).map(|one| bound::line(one)).collect();
    if view.state == Phase::NeedsOperator {
        let name = bound::word(&view.name);
        let ways = [("retry", view.can_retry), ("destroy", !view.adopted), ("abandon", true)];
        let ways =
            ways.into_iter().filter(|(_, fits)| *fits).map(|(word, _)| format!("firstlight {word} {name}"));
        for way in ways {
            // What is left may begin with it.
            if !commands.contains(&way) {
                commands.push(way);
            }
        }
    }
    commands
}

fn secrets(view: &GuestView) -> Vec<SecretLine> {
    let one = |secret: &crate::bringup::SecretView| SecretLine {
        path: bound::line(&secret.delivered.path),
        mode: bound::word(&secret.delivered.mode),
        owner: bound::word(&secret.delivered.owner),
        sha256_prefix: bound::word(&secret.delivered.sha256_prefix),
        confirmed: secret.confirmed,
    };
    view.secrets.iter().map(one).collect()
}

fn refusals(sources: &Sources<'_>, cuts: &mut Cuts) -> Vec<RefusalLine> {
    let of_job = |refused: &&Refused| refused.job.as_ref() == Some(&sources.view.job);
    let refusals: Vec<&Refused> = sources.refusals.iter().filter(of_job).collect();
    let line = |refused: &&Refused| RefusalLine {
        at_ms: refused.at_ms,
        from: bound::word(&refused.source),
        code: bound::word(&refused.code),
        message: bound::line(&refused.message),
    };
    cuts.first("refused reports", &refusals, LINES).iter().map(line).collect()
}

fn evidence(sources: &Sources<'_>, cuts: &mut Cuts) -> Vec<EvidenceLine> {
    let of_job = |evidence: &&StoredEvidence| evidence.job == sources.view.job;
    let evidence: Vec<&StoredEvidence> = sources.evidence.iter().filter(of_job).collect();
    let line = |evidence: &&StoredEvidence| EvidenceLine {
        at_ms: evidence.at_ms,
        holds: evidence.holds,
        by: bound::word(&evidence.by),
        sha256: bound::word(&evidence.sha256),
    };
    cuts.first("files of evidence", &evidence, LINES).iter().map(line).collect()
}
