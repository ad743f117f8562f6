//! The report phase: makes what identity left pending, runs the checks, signs a report, hands it to the host.
//!
//! One thread and a runtime on it; only the search for RSA primes has threads of its own. The signed bytes are made
//! once per boot and stand in /run/firstlight/report.json before anything is sent.

mod boot;
mod build;
mod companion;
mod deliver;
pub(crate) mod evidence;
mod facts;
mod send;

pub(crate) use deliver::{ChannelState, Delivery, DeliveryState, load as load_delivery};
#[cfg(feature = "fuzzing")]
pub(crate) use facts::pretty_name;
pub(crate) use send::send;

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::wire::{Envelope, ReportState};

use crate::bus::Bus;
use crate::channel;
use crate::checks;
use crate::config;
use crate::golden;
use crate::hostnamed;
use crate::identity::{self, PendingOutcome};
use crate::keys;
use crate::paths;
use crate::sshd;
use crate::sys::{Machine, Stopwatch, SysError};

/// So long a virtual machine's port may take to come, where it may be the only way to the host.
const PORT_LIMIT: Duration = Duration::from_secs(10);

/// So long the claim may take to come: nobody is kept waiting but the host, which may be what is down.
const CLAIM_PATIENCE: Duration = Duration::from_secs(120);

/// How the phase ended; `cli` gives each an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportEnd {
    /// The host has it, or there is no host to send it to.
    Done,
    /// Not even the file could be written.
    NotWritten,
    Refused,
    GaveUp,
}

/// Makes and delivers the report; `again` makes a new one although this boot has one.
pub(crate) async fn run(machine: &Machine, again: bool) -> ReportEnd {
    let mut problems = Vec::new();
    let settings = config::load(&machine.root, &mut problems);
    let found = crate::claim::find(machine, CLAIM_PATIENCE, &mut problems);
    let claim = found.as_ref().map(|found| &found.claim);
    let is_there = |path: &str| channel::is_there(machine, path);
    let (_, unusable) = channel::choose(claim, &settings, is_there);
    for error in &unusable {
        eprintln!("error: {}", Chain(error));
        problems.push(Chain(error).to_string());
    }
    // After a crash the same bytes go out again: other bytes for a used claim would be refused.
    let kept = if again { None } else { kept_envelope(machine) };
    if kept.is_some() && load_delivery(&machine.root).is_some_and(|delivery| delivery.is_final()) {
        eprintln!("the report of this boot was delivered already");
        delivered(machine);
        return ReportEnd::Done;
    }
    let mut unwritten = false;
    let envelope = match kept {
        Some(envelope) => envelope,
        None => match make(machine, &settings, claim, problems).await {
            Ok(envelope) => {
                // The host must hear of a machine that cannot even write this.
                if let Err(error) = write(machine, &envelope) {
                    unwritten = true;
                    eprintln!("error: {}", Chain(&error));
                    machine.tell_console(&Chain(&error).to_string());
                }
                envelope
            }
            Err(error) => {
                eprintln!("error: {}", Chain(&error));
                machine.tell_console(&Chain(&error).to_string());
                crate::beacon::without_report(machine, &settings);
                return ReportEnd::NotWritten;
            }
        },
    };
    crate::beacon::after_report(machine, &settings, &envelope, again);
    let state = state_of(&envelope);
    let channels = channels_now(machine, claim, &settings, state).await;
    let has_host = channels.iter().any(channel::Channel::acknowledges);
    // Of an earlier boot: its claim is answered, and a report counts no more.
    let known_before = companion::known(machine).is_some();
    let ways = channels.clone();
    let parcel = deliver::Parcel {
        ready: state == Some(ReportState::Ready),
        envelope: &envelope,
        claim_source: found.as_ref().map(|found| found.source),
        give_up_after: settings.give_up_after,
    };
    let end = deliver::deliver(machine, channels, parcel).await;
    delivered(machine);
    match (end, load_delivery(&machine.root).and_then(|log| log.acknowledged_by().map(str::to_owned))) {
        (_, Some(by)) => companion::remember(machine, &ways, &by),
        (_, None) if known_before && !again => {
            send(machine, evidence::WITHIN).await;
        }
        _ => {}
    }
    match (end, unusable.first()) {
        _ if unwritten => ReportEnd::NotWritten,
        (ReportEnd::Done, Some(error)) if !has_host => {
            machine.tell_console(&format!("the report was not delivered: {}", Chain(error)));
            ReportEnd::GaveUp
        }
        (end, _) => end,
    }
}

fn state_of(envelope: &Envelope) -> Option<ReportState> {
    let report = serde_json::from_slice::<firstlight_shared::wire::Report>(envelope.report.as_bytes());
    report.ok().map(|report| report.state)
}

/// The channels as they are after the checks. A report of a failed identity waits for no check, and is made before the
/// kernel has found a virtual machine's ports: where one may be the only way, it is waited for.
async fn channels_now(
    machine: &Machine,
    claim: Option<&firstlight_shared::wire::Claim>,
    settings: &config::Settings,
    state: Option<ReportState>,
) -> Vec<channel::Channel> {
    let watch = Stopwatch::start();
    let may_come =
        machine.live && settings.channels.is_none() && !crate::virtualization::is_container(machine);
    loop {
        let (channels, _) = channel::choose(claim, settings, |path| channel::is_there(machine, path));
        let has_port = channels.iter().any(|one| matches!(one, channel::Channel::VirtioPort(_)));
        let has_host = channels.iter().any(channel::Channel::acknowledges);
        let enough = has_port || has_host && state != Some(ReportState::Failed);
        if enough || !may_come || watch.elapsed() >= PORT_LIMIT {
            return channels;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// # Errors
/// The file could not be written.
fn write(machine: &Machine, envelope: &Envelope) -> Result<(), SysError> {
    let text = serde_json::to_vec(envelope)
        .map_err(|error| SysError::new("write", paths::REPORT, std::io::Error::other(error)))?;
    machine.root.replace(paths::REPORT, 0o600, &text)
}

fn kept_envelope(machine: &Machine) -> Option<Envelope> {
    Envelope::parse(&machine.root.read(paths::REPORT).ok()??).ok()
}

/// Where the host has acknowledged, the beacon has done its work.
fn delivered(machine: &Machine) {
    if load_delivery(&machine.root).is_some_and(|log| log.state == DeliveryState::Acknowledged) {
        crate::beacon::acknowledged(machine);
    }
}

/// # Errors
/// The report could not be signed.
async fn make(
    machine: &Machine,
    settings: &config::Settings,
    claim: Option<&firstlight_shared::wire::Claim>,
    mut problems: Vec<String>,
) -> Result<Envelope, SysError> {
    let outcome = identity::load_outcome(&machine.root);
    let golden = golden::load(&machine.root, &mut problems);
    let checks = checks::load(&machine.root, settings, &mut problems);
    let bus = Bus::default();
    let context =
        checks::Context { machine, settings, golden: golden.as_ref(), outcome: outcome.as_ref(), bus: &bus };
    let pending = match &outcome {
        Some(outcome) if outcome.failure.is_none() => outcome.identity.pending.clone(),
        _ => Vec::new(),
    };
    let watch = Stopwatch::start();
    let (checks, pending, differences, hostname) = tokio::join!(
        checks::run(&context, &checks),
        finish_pending(machine, pending, &bus),
        sshd::differences(machine),
        settle_hostname(outcome.as_ref())
    );
    problems.extend(differences);
    problems.extend(hostname);
    let parts = build::Parts {
        machine,
        outcome: outcome.as_ref(),
        claim,
        checks,
        checks_ms: watch.elapsed_ms(),
        boot: boot::observe(&bus).await,
        evidence_timer: boot::evidence_timer(&bus).await,
        pending,
        problems,
    };
    let (report, key) = build::build(parts);
    let envelope = Envelope::seal(&report, &key, claim)
        .map_err(|error| SysError::new("make", paths::REPORT, std::io::Error::other(error)))?;
    if outcome.is_none() {
        machine.tell_console("identity FAILED: it left no outcome in this boot; ssh stays down");
    }
    let word = match report.state {
        ReportState::Ready => "ready",
        ReportState::Degraded => "degraded",
        ReportState::Failed => "failed",
    };
    eprintln!("this guest is {word}");
    for check in report.checks.iter().filter(|check| check.blocks_readiness()) {
        eprintln!("  {} {}: {}", check.id, check.verdict.as_str(), check.reason);
    }
    Ok(envelope)
}

/// Tells hostnamed the name that the early phase set or could not set; returns what went wrong.
async fn settle_hostname(outcome: Option<&identity::Outcome>) -> Option<String> {
    let outcome = outcome.filter(|outcome| outcome.failure.is_none() && outcome.hostname_changed)?;
    let expected = outcome.identity.hostname.expected.as_deref()?;
    let settled = hostnamed::settle(hostnamed::SYSTEM_BUS, hostnamed::TIME_LIMIT, expected).await;
    // Files and kernel are right without it, too.
    settled.err().filter(|_| !outcome.identity.hostname.ok).map(|error| Chain(&error).to_string())
}

/// Makes the pending keys off the runtime's thread, then lets a running sshd read them.
async fn finish_pending(machine: &Machine, pending: Vec<String>, bus: &Bus) -> PendingOutcome {
    if pending.is_empty() {
        return PendingOutcome::default();
    }
    let left = pending.clone();
    let made = tokio::task::spawn_blocking(move || {
        // The report phase works on the running root only.
        let machine = Machine::open(std::path::Path::new("/")).map_err(|error| Chain(&error).to_string())?;
        Ok::<_, String>(identity::make_pending(&machine, &pending))
    });
    let mut outcome = match made.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(problem)) => {
            PendingOutcome { left: left.clone(), problems: vec![problem], ..PendingOutcome::default() }
        }
        Err(_) => PendingOutcome {
            left: left.clone(),
            problems: vec!["the thread that makes keys ended".to_owned()],
            ..PendingOutcome::default()
        },
    };
    let made: Vec<_> = left.iter().filter(|kind| !outcome.left.contains(kind)).collect();
    let made: Vec<_> = made.into_iter().filter_map(|kind| keys::KeyType::parse(kind)).collect();
    if outcome.made
        && let Err(error) = sshd::let_sshd_read_keys(machine, bus, &made).await
    {
        outcome.problems.push(format!("sshd does not know the new key yet: {}", Chain(&error)));
    }
    outcome
}
