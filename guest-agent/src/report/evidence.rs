//! Evidence: the checks run anew, now, and what they say signed for whoever asked. Changes nothing, needs no claim.

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;
use firstlight_shared::wire::{
    EVIDENCE_NAMESPACE, EVIDENCE_VERSION, EnvelopeError, Evidence, Identity, Report, ReportState, Signed,
    SystemNow,
};

use super::{boot, build, kept_envelope};
use crate::bus::Bus;
use crate::checks;
use crate::config;
use crate::golden;
use crate::identity;
use crate::keys::{self, KeyType};
use crate::sshd;
use crate::sys::{Machine, Stopwatch, millis};

/// How a check that does not pass at once may still come right: what runs for long is there or is not.
pub(crate) const WITHIN: Duration = Duration::from_secs(2);
const MOST_UNITS: usize = 100;

/// What was found, and the same signed.
#[derive(Debug)]
pub(crate) struct Proof {
    pub evidence: Evidence,
    pub signed: Signed,
}

/// Runs the checks and signs what they say, with `nonce` as it came.
///
/// # Errors
/// It could not be signed.
pub(crate) async fn make(
    machine: &Machine,
    nonce: Option<String>,
    within: Duration,
) -> Result<Proof, EnvelopeError> {
    let mut problems = Vec::new();
    let settings = config::load(&machine.root, &mut problems);
    let outcome = identity::load_outcome(&machine.root);
    let golden = golden::load(&machine.root, &mut problems);
    let mut checks = checks::load(&machine.root, &settings, &mut problems);
    checks::hasten(&mut checks, within);
    let bus = Bus::default();
    let context = checks::Context {
        machine,
        settings: &settings,
        golden: golden.as_ref(),
        outcome: outcome.as_ref(),
        bus: &bus,
    };
    let watch = Stopwatch::start();
    let (checks, differences, system) =
        tokio::join!(checks::run(&context, &checks), sshd::differences(machine), system_now(&bus));
    problems.extend(differences);
    let parts = build::Parts {
        machine,
        outcome: outcome.as_ref(),
        claim: None,
        checks,
        checks_ms: watch.elapsed_ms(),
        boot: boot::observe(&bus).await,
        evidence_timer: boot::evidence_timer(&bus).await,
        pending: identity::PendingOutcome::default(),
        problems,
    };
    let (mut report, key) = build::build(parts);
    let pending = outcome.map(|outcome| outcome.identity.pending).unwrap_or_default();
    bring_up_to_date(&mut report.identity, said_at_boot(machine), still_missing(machine, pending));
    let evidence = Evidence {
        version: EVIDENCE_VERSION,
        nonce,
        uptime_ms: machine.age_of_boot().map(millis),
        system,
        report,
    };
    let signed = Signed::sign(&evidence, &key, EVIDENCE_NAMESPACE)?;
    Ok(Proof { evidence, signed })
}

/// What the report phase did to the identity after the early one, as this boot's report tells it.
fn said_at_boot(machine: &Machine) -> Option<Identity> {
    let report = serde_json::from_str::<Report>(&kept_envelope(machine)?.report);
    report.ok().map(|report| report.identity)
}

fn bring_up_to_date(now: &mut Identity, at_boot: Option<Identity>, missing: Vec<String>) {
    now.pending = missing;
    let Some(at_boot) = at_boot else { return };
    now.items = at_boot.items;
    // Items have no other sign of themselves.
    now.pending.extend(at_boot.pending.into_iter().filter(|name| KeyType::parse(name).is_none()));
}

fn still_missing(machine: &Machine, mut pending: Vec<String>) -> Vec<String> {
    let found = keys::scan(&machine.root);
    pending.retain(|name| {
        let Some(kind) = KeyType::parse(name) else { return false };
        let is_there = |found: &keys::HostKeys| found.of_type(kind).is_some_and(keys::KeyFile::is_usable);
        !found.as_ref().is_ok_and(is_there)
    });
    pending
}

async fn system_now(bus: &Bus) -> SystemNow {
    let state = bus.system_state().await.ok();
    let failed_units = bus.failed_units().await.ok().map(|mut units| {
        units.sort_unstable();
        units.truncate(MOST_UNITS);
        units
    });
    SystemNow { state, failed_units }
}

/// For people.
pub(crate) fn render(evidence: &Evidence) -> String {
    let report = &evidence.report;
    let state = match report.state {
        ReportState::Ready => "ready",
        ReportState::Degraded => "degraded",
        ReportState::Failed => "failed",
    };
    let mut lines = vec![format!("this guest is {state}")];
    if let Some(system) = &evidence.system.state {
        lines.push(format!("systemd: {}", escape(system, 40)));
    }
    for unit in evidence.system.failed_units.iter().flatten() {
        lines.push(format!("failed unit: {}", escape(unit, 100)));
    }
    for check in &report.checks {
        lines.push(format!("  {} {}: {}", check.id, check.verdict.as_str(), check.reason));
    }
    lines.extend(report.identity.problems.iter().map(|problem| format!("problem: {problem}")));
    lines.join("\n")
}

/// Says why there is none.
pub(crate) fn said(error: &EnvelopeError) -> String {
    format!("the evidence could not be signed: {}", Chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(nonce: Option<&str>) -> (Proof, std::path::PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("usr/sbin")).unwrap();
        std::fs::write(folder.path().join("usr/sbin/sshd"), "").unwrap();
        let machine = Machine::open(folder.path()).unwrap();
        identity::save_outcome(&machine.root, &identity::run(&machine)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let proof =
            runtime.block_on(make(&machine, nonce.map(str::to_owned), Duration::from_millis(1))).unwrap();
        (proof, folder.path().to_owned(), folder)
    }

    #[test]
    fn evidence_is_signed_with_the_host_key_and_holds_the_challenge() {
        let nonce = "ab".repeat(16);
        let (proof, _, _folder) = made(Some(&nonce));
        let (read, key) = proof.signed.open::<Evidence>(EVIDENCE_NAMESPACE).unwrap();
        assert_eq!(read, proof.evidence);
        assert_eq!(read.nonce.as_deref(), Some(nonce.as_str()));
        assert_eq!(read.report.claim_id, None);
        let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        let keys = &read.report.identity.ssh_host_keys;
        assert!(keys.iter().any(|key| key.fingerprint == fingerprint), "{keys:?}");
        // RSA was left to the report phase, which did not run here: that it is missing is said, and nothing is made.
        assert_eq!(read.report.identity.pending, ["rsa"]);
    }

    #[test]
    fn asking_changes_nothing() {
        let (proof, path, _folder) = made(None);
        let list = || {
            let found =
                std::process::Command::new("find").arg(&path).args(["-printf", "%p %s %T@\n"]).output();
            String::from_utf8(found.unwrap().stdout).unwrap()
        };
        let before = list();
        let machine = Machine::open(&path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let again = runtime.block_on(make(&machine, None, Duration::from_millis(1))).unwrap();
        assert_eq!(list(), before);
        assert_ne!(again.evidence.report.report_id, proof.evidence.report.report_id);
    }
}
