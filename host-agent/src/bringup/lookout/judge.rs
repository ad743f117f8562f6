//! What follows from a guest's beacon and the reports that came for its open claim. Pure.
//!
//! | beacon | a report that it names | another report | none |
//! |---|---|---|---|
//! | failed | fails at once | fails at once | fails at once |
//! | ready, degraded | taken, attested | refuted by the next look | a grace, then by the beacon alone |
//! | ready, and only a report shows what is required | the same | the same | waits |
//! | alive | taken, attested | kept | waits |
//! | none | | kept: whoever is in the guest can send one from its address, and its beacon may still come | waits |
//!
//! When the time is over, what is left of the reports is taken, unverified: that makes no guest ready, and says why not.

use std::net::IpAddr;
use std::time::Duration;

use firstlight_shared::beacon::{Seen, State};
use firstlight_shared::wire::Trust;
use tokio::time::Instant;

use super::Sight;
use crate::intake::failure;
use crate::outcome::Fault;
use crate::store::Candidate;

/// How long a report may take over the network once the beacon has named it.
const GRACE: Duration = Duration::from_secs(10);

/// A report that may be the guest's.
#[derive(Debug, Clone)]
pub(in crate::bringup) struct Came {
    pub(in crate::bringup) candidate: Candidate,
    /// When this companion saw it first: looks begun later have seen the guest after it had sent this.
    pub(in crate::bringup) noticed: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bringup) enum Verdict {
    /// The report at this index is the guest's.
    Take(usize, Trust),
    /// The beacon is all there is.
    Alone,
    Fail(Fault),
    /// For something to change, or until then.
    Wait(Option<Instant>),
}

/// What to do now, and the indices of reports that are surely not the guest's. `needs_report`: a guest that is ready by its
/// beacon alone would not be enough.
pub(in crate::bringup) fn judge(
    sight: &Sight,
    came: &[Came],
    needs_report: bool,
    now: Instant,
) -> (Verdict, Vec<usize>) {
    let Some(seen) = &sight.seen else { return (Verdict::Wait(None), Vec::new()) };
    if seen.state() == State::Failed {
        return (Verdict::Fail(failed(seen)), Vec::new());
    }
    let looked_since = |one: &Came| sight.looked.is_some_and(|looked| looked > one.noticed);
    let refuted = came.iter().enumerate().filter(|(_, one)| {
        !one.candidate.refuted && seen.names_report() && !is_named(seen, one) && looked_since(one)
    });
    let refuted = refuted.map(|(index, _)| index).collect();
    let named = came.iter().position(|one| is_named(seen, one));
    let verdict = match (named, seen.state()) {
        (Some(index), _) => Verdict::Take(index, Trust::Attested),
        (None, State::Ready) if needs_report => Verdict::Wait(None),
        (None, State::Ready | State::Degraded) => {
            let ends = sight.since.map_or(now, |since| since + GRACE);
            if ends <= now { Verdict::Alone } else { Verdict::Wait(Some(ends)) }
        }
        (None, State::IdentityDone | State::Failed) => Verdict::Wait(None),
    };
    (verdict, refuted)
}

/// The same when the time is over; none: nothing speaks for the guest.
pub(in crate::bringup) fn last_resort(sight: &Sight, came: &[Came]) -> Option<Verdict> {
    match &sight.seen {
        Some(seen) if matches!(seen.state(), State::Ready | State::Degraded) => return Some(Verdict::Alone),
        Some(seen) if seen.names_report() => return None,
        _ => {}
    }
    let from_home = came.iter().position(|one| !one.candidate.refuted && is_from_home(sight, one));
    let any = || came.iter().position(|one| !one.candidate.refuted);
    from_home.or_else(any).map(|index| Verdict::Take(index, Trust::Unverified))
}

fn is_from_home(sight: &Sight, one: &Came) -> bool {
    let source = one.candidate.source.parse::<IpAddr>();
    source.is_ok_and(|source| sight.addresses.contains(&source))
}

fn is_named(seen: &Seen, one: &Came) -> bool {
    seen.names(&one.candidate.envelope, &one.candidate.sha256)
}

fn failed(seen: &Seen) -> Fault {
    let reason = seen.reason();
    let code = match reason.as_str() {
        "none" | "other" => "identity-failed",
        code => code,
    };
    Fault::new(code, format!("the guest's beacon says that it failed: {}", failure(reason)))
        .with_hint("ssh stays down in it; its console shows more")
}

#[cfg(test)]
mod tests;
