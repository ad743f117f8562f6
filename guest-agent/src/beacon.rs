//! Raises the beacon on `lo`: each phase says how far it has come, until the host has acknowledged the report.
//!
//! The kernel removes it `[beacon] for` after it was last raised: its clock is monotonic, while the wall clock of an
//! early boot may be years off. So every boot raises it anew, however long ago the first one was, until the host has
//! acknowledged; only that is remembered (/var/lib/firstlight/beacon.json), for one identity: a clone starts anew. A
//! machine without a host gets no acknowledgement and has its beacon in each boot, since the hypervisor may be the only
//! one who reads it. An adopted machine, on which nobody waits, counts as acknowledged. A failed identity is told always.

mod memory;
mod show;

pub(crate) use show::{Shown, shown};

use std::net::IpAddr;
use std::time::Duration;

use firstlight_shared::beacon::{
    Beacon, Form, Key, Reason, Seen, State, decode, encode, free_generation, is_piece,
};
use firstlight_shared::error::Chain;
use firstlight_shared::wire::{Envelope, HostKey, Identity};
use ssh_key::{Algorithm, PublicKey};

use crate::config::{self, Settings};
use crate::identity::{self, Outcome};
use crate::paths;
use crate::sys::{Loopback, LoopbackAddress, Machine, NetlinkError};
use memory::Memory;

/// Ends the identity phase: says that it is done, or failed and why.
///
/// # Errors
/// One line that says what could not be done.
pub(crate) fn after_identity(machine: &Machine, outcome: &Outcome) -> Result<(), String> {
    if !machine.live {
        return Ok(());
    }
    // The phase itself has said already what is wrong with the configuration.
    let settings = config::load(&machine.root, &mut Vec::new());
    let beacon = match &outcome.failure {
        // A key that may be the golden's must not vouch for anything.
        Some(failure) => {
            let reason = Reason::of_code(&failure.code);
            Beacon { state: State::Failed, reason, report: None, key: None }
        }
        None => identity_done(machine, &outcome.identity),
    };
    raise_or_clear(machine, &settings, &beacon, Some(outcome), false)
}

/// Of an identity that succeeded. A second run in a boot that has its report already does not take that back.
fn identity_done(machine: &Machine, identity: &Identity) -> Beacon {
    let key = host_key(identity);
    let envelope =
        machine.root.read(paths::REPORT).ok().flatten().and_then(|bytes| Envelope::parse(&bytes).ok());
    let made = envelope.and_then(|envelope| Beacon::of_report(&envelope, Reason::Other));
    let told = made.filter(|beacon| key.is_some() && beacon.key == key && beacon.state != State::Failed);
    told.unwrap_or(Beacon { state: State::IdentityDone, reason: Reason::None, report: None, key })
}

/// Says which report stands, before it is sent. `again`: somebody asked for a new one, whatever was acknowledged.
pub(crate) fn after_report(machine: &Machine, settings: &Settings, envelope: &Envelope, again: bool) {
    let outcome = identity::load_outcome(&machine.root);
    let failure = outcome.as_ref().map_or(Reason::NoOutcome, |outcome| {
        outcome.failure.as_ref().map_or(Reason::Other, |failure| Reason::of_code(&failure.code))
    });
    let raised = Beacon::of_report(envelope, failure)
        .ok_or_else(|| "no beacon: the report of this boot cannot be read".to_owned())
        .and_then(|beacon| raise_or_clear(machine, settings, &beacon, outcome.as_ref(), again));
    warn(raised);
}

/// Says that no report could be made.
pub(crate) fn without_report(machine: &Machine, settings: &Settings) {
    let outcome = identity::load_outcome(&machine.root);
    let beacon = Beacon { state: State::Failed, reason: Reason::NoReport, report: None, key: None };
    warn(raise_or_clear(machine, settings, &beacon, outcome.as_ref(), false));
}

/// The host has this machine's report: remembers it and takes the beacon down. Remembered first: a crash then leaves a
/// beacon that ends by itself.
pub(crate) fn acknowledged(machine: &Machine) {
    let outcome = identity::load_outcome(&machine.root);
    let remembered = match outcome {
        // What failed may succeed at the next boot, and that is news.
        Some(outcome) if outcome.failure.is_none() => memory::remember(machine, subject(&outcome.identity)),
        _ => Ok(()),
    };
    warn(remembered.and(clear(machine).map_err(|error| format!("the beacon stays: {}", Chain(&error)))));
}

/// For `adopt`: nobody waits for a machine that lives already, so it raises no beacon until its identity changes.
///
/// # Errors
/// One line; the machine then has a beacon at its next boot.
pub(crate) fn adopted(machine: &Machine, keys: &[HostKey]) -> Result<(), String> {
    memory::remember(machine, memory::subject_of(keys, None))
}

fn subject(identity: &Identity) -> Option<String> {
    memory::subject_of(&identity.ssh_host_keys, identity.machine_id.derived)
}

fn warn(done: Result<(), String>) {
    if let Err(problem) = done {
        eprintln!("warning: {problem}");
    }
}

fn raise_or_clear(
    machine: &Machine,
    settings: &Settings,
    beacon: &Beacon,
    outcome: Option<&Outcome>,
    again: bool,
) -> Result<(), String> {
    let subject = outcome.and_then(|outcome| subject(&outcome.identity));
    let (memory, problem) = match memory::load(&machine.root) {
        Ok(memory) => (memory, Ok(())),
        Err(problem) => (None, Err(problem)),
    };
    match settings.beacon_for {
        Some(valid_for) if again || is_wanted(memory.as_ref(), subject.as_deref(), beacon.state) => {
            raise(machine, beacon, valid_for).map_err(|error| format!("no beacon: {}", Chain(&error)))?;
        }
        // A crash may have left one; where addresses cannot be changed, none was made.
        _ => drop(clear(machine)),
    }
    problem
}

/// Whether there is anything to tell that the host does not know.
fn is_wanted(memory: Option<&Memory>, subject: Option<&str>, state: State) -> bool {
    let known = memory.zip(subject).is_some_and(|(memory, subject)| memory.subject == subject);
    !known || state == State::Failed
}

fn host_key(identity: &Identity) -> Option<Key> {
    let keys = identity.ssh_host_keys.iter().filter_map(|key| PublicKey::from_openssh(&key.public_key).ok());
    keys.into_iter().find(|key| key.algorithm() == Algorithm::Ed25519).and_then(|key| Key::host(&key))
}

/// Replaces what stands: the new generation is whole before the old one goes.
fn raise(machine: &Machine, beacon: &Beacon, valid_for: Duration) -> Result<(), NetlinkError> {
    let Some(lo) = machine.loopback()? else { return Ok(()) };
    let standing = lo.addresses()?;
    let added = match add(&lo, &standing, beacon, Form::Ipv6, valid_for) {
        Err(NetlinkError::Ipv6Off) => add(&lo, &standing, beacon, Form::Ipv4, valid_for),
        done => done,
    };
    // Also when nothing could be added: what an earlier phase said is no longer true.
    added.and(lo.remove(&ours(&standing)))
}

fn add(
    lo: &Loopback,
    standing: &[LoopbackAddress],
    beacon: &Beacon,
    form: Form,
    valid_for: Duration,
) -> Result<(), NetlinkError> {
    let generation = match next_generation(standing, form) {
        Some(generation) => generation,
        None => {
            // Only leftovers of many crashes fill all generations: nothing of it counts.
            lo.remove(&ours(standing))?;
            next_generation(&[], form).unwrap_or_default()
        }
    };
    lo.add(&encode(beacon, form, generation), valid_for)
}

fn next_generation(standing: &[LoopbackAddress], form: Form) -> Option<u8> {
    let addresses: Vec<IpAddr> = standing.iter().map(|one| one.address).collect();
    let newest = read(standing).ok().flatten().filter(|seen| seen.form == form);
    free_generation(&addresses, form, newest.map(|seen| seen.generation))
}

/// Takes down whatever of ours stands.
fn clear(machine: &Machine) -> Result<(), NetlinkError> {
    let Some(lo) = machine.loopback()? else { return Ok(()) };
    lo.remove(&ours(&lo.addresses()?))
}

fn read(standing: &[LoopbackAddress]) -> Result<Option<Seen>, firstlight_shared::beacon::BeaconError> {
    decode(&ours(standing))
}

/// Pieces of beacons that we raised: others' addresses are neither deprecated nor end by themselves.
fn ours(standing: &[LoopbackAddress]) -> Vec<IpAddr> {
    let is_ours = |one: &&LoopbackAddress| {
        let whole = if one.address.is_ipv6() { Form::Ipv6 } else { Form::Ipv4 }.prefix();
        is_piece(one.address) && one.prefix == whole && one.deprecated && one.valid_for.is_some()
    };
    standing.iter().filter(is_ours).map(|one| one.address).collect()
}

#[cfg(test)]
mod tests;
