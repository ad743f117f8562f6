//! verify: is the guest that reported the one that was wanted, does the hypervisor agree, is it ready and unique.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::ids::{DerivedMachineId, MachineId};
use firstlight_shared::wire::{Envelope, Opened, Trust, sha256_hex};
use serde_json::{Value, json};

use super::{Common, FAST, UNSEEN, store_fault, unless_store};
use crate::backend::{LookBudget, Observed, Placement};
use crate::bringup::facts::{BEACON, UNPROVEN, VERIFY, beacon_of, delivered_by};
use crate::bringup::lookout::Sight;
use crate::clock::now_ms;
use crate::identities::identities;
use crate::intake::{BeaconView, Delivered, Expected, Problem, verdict, verdict_by_beacon};
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};
use crate::store::{Shared, StoredReport};

pub(super) struct Verify(pub(super) Arc<Common>);

#[async_trait]
impl Step for Verify {
    fn name(&self) -> &'static str {
        VERIFY
    }

    fn deadline(&self) -> Option<Duration> {
        Some(FAST)
    }

    async fn probe(&self, _: &Context<'_>) -> Result<Probe, Fault> {
        Ok(Probe::Absent)
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        match self.check(context).await {
            Ok(output) => Act::Applied(output),
            Err(fault) => unless_store(fault),
        }
    }

    async fn undo(&self, _: &Context<'_>) -> Undo {
        Undo::Absent
    }

    async fn evidence(&self, context: &Context<'_>) -> Vec<String> {
        self.0.console(context).await
    }
}

/// How long a guest's own agent may be silent before the guest is believed without it. It answers within seconds, or it is
/// not there.
const SILENCE: Duration = Duration::from_secs(45);

/// How a report is bound to its guest, and what would bind it better.
struct Bound {
    trust: Trust,
    missing: Option<String>,
}

impl Verify {
    async fn check(&self, context: &Context<'_>) -> Result<Value, Fault> {
        let service = self.0.service()?;
        let placement = self.0.placement(context).await?;
        let stored = service.store.report_of_job(context.job).await.map_err(store_fault)?;
        match (stored, beacon_of(context.state)) {
            (Some(stored), _) => self.check_report(context, &placement, stored).await,
            (None, Some(beacon)) => self.check_beacon(context, &placement, &beacon).await,
            (None, None) => Err(Fault::new("no-report", "the report is not in the store")),
        }
    }

    async fn check_report(
        &self,
        context: &Context<'_>,
        placement: &Placement,
        stored: StoredReport,
    ) -> Result<Value, Fault> {
        let service = self.0.service()?;
        let opened = stored.envelope.open().map_err(|error| Fault::new("bad-report", error.to_string()))?;
        let observed = self.observe(context, placement).await?;
        let bound = self.bind(placement, &stored, &opened, &observed).await?;
        let trust = bound.trust;
        if trust != stored.trust {
            service.store.set_trust(&stored.sha256, trust).await.map_err(store_fault)?;
        }
        let own = identities(placement.plan.name.as_str(), &opened.report);
        let shared = service.store.sharing(context.job, &own.values).await.map_err(store_fault)?;
        let (mounts, secrets) = (mounts(placement), delivered_by(context.state));
        let expected = self.expected(placement, &mounts, &secrets);
        let problems = verdict(&opened.report, trust, &expected, &observed, &shared);
        match fault(&problems) {
            None => Ok(output(placement, json!({ "trust": trust, "observed": observed }), &observed)),
            Some(fault) => Err(match bound.missing {
                Some(missing) if fault.code == "untrusted" => fault.with_hint(missing),
                _ => fault,
            }),
        }
    }

    /// The guest runs, and what it says of itself is surely its own; there is no report.
    async fn check_beacon(
        &self,
        context: &Context<'_>,
        placement: &Placement,
        beacon: &BeaconView,
    ) -> Result<Value, Fault> {
        let store = &self.0.service()?.store;
        let guest = placement.plan.name.as_str();
        let observed = self.observe(context, placement).await?;
        let own = beacon.identities();
        let mut shared = store.sharing(context.job, &own).await.map_err(store_fault)?;
        for (kind, value) in &own {
            // Guests that are gone count as well: a host key is never made twice.
            let holder = store.holder_of_key(value, context.job, guest).await.map_err(store_fault)?;
            let other = holder.filter(|holder| shared.iter().all(|shared| shared.guest != *holder));
            shared.extend(other.map(|guest| Shared {
                kind: (*kind).to_owned(),
                value: value.clone(),
                guest,
                job: String::new(),
            }));
        }
        let (mounts, secrets) = (mounts(placement), delivered_by(context.state));
        let expected = self.expected(placement, &mounts, &secrets);
        let problems = verdict_by_beacon(beacon, &expected, &observed, &shared);
        if let Some(fault) = fault(&problems) {
            let url = placement.claim.url.as_deref().unwrap_or("the companion");
            return Err(fault.with_hint(format!(
                "its report did not arrive: has the guest a route to {url}, and does a firewall let it through?"
            )));
        }
        store.vouch(context.job, guest, Trust::Attested, &own).await.map_err(store_fault)?;
        let found = json!({ "trust": Trust::Attested, "observed": observed, BEACON: beacon });
        Ok(output(placement, found, &observed))
    }

    /// An outage of the hypervisor says nothing about a guest that is ready: it is looked at again.
    /// So is one whose own agent is silent, for a while: what it has mounted is told by nobody else.
    async fn observe(&self, context: &Context<'_>, placement: &Placement) -> Result<Observed, Fault> {
        let observed =
            self.0.backend.observe(placement).await.map_err(|fault| match fault.code.as_str() {
                "foreign" => fault,
                _ => Fault { code: UNSEEN.to_owned(), ..fault },
            })?;
        let began = context.state.timings.get(VERIFY).map_or(0, |timing| timing.started_ms);
        let waited = Duration::from_millis(now_ms().saturating_sub(began));
        match still_to_be_seen(&observed, waited) {
            Some(why) => Err(Fault::new(UNSEEN, why)),
            None => Ok(observed),
        }
    }

    fn expected<'a>(
        &'a self,
        placement: &'a Placement,
        mounts: &'a [PathBuf],
        secrets: &'a [Delivered],
    ) -> Expected<'a> {
        Expected {
            guest: placement.plan.name.as_str(),
            mac: placement.allocation.mac,
            machine_id: predicted(placement),
            mounts,
            require: &self.0.spec.require,
            secrets,
        }
    }

    async fn bind(
        &self,
        placement: &Placement,
        stored: &StoredReport,
        opened: &Opened,
        observed: &Observed,
    ) -> Result<Bound, Fault> {
        if stored.trust == Trust::Attested {
            return Ok(Bound { trust: Trust::Attested, missing: None });
        }
        let budget = self.0.backend.look_budget();
        match (self.shows_report(placement, &stored.sha256).await, budget) {
            (Ok(true), _) => return Ok(Bound { trust: Trust::Attested, missing: None }),
            // A machine's agent may be away; its beacon may stand all the same.
            (Err(fault), Some(_)) if fault.code != MISMATCH => {
                tracing::warn!(job = %placement.job, error = %fault, "the guest's report cannot be read through the hypervisor");
            }
            (Err(fault), _) => return Err(fault),
            (Ok(false), _) => {}
        }
        let Some(budget) = budget else {
            let missing = "its claims carry no secret, and its guests' beacons cannot be read";
            let missing = format!("`{}`: {missing}", self.0.backend.name());
            return Ok(Bound { trust: stored.trust, missing: Some(missing) });
        };
        let sight = self.look(placement, budget).await?;
        if let Some(seen) = sight.seen.as_ref().filter(|seen| seen.names_report()) {
            return match seen.names(&stored.envelope, &stored.sha256) {
                true => Ok(Bound { trust: Trust::Attested, missing: None }),
                false => Err(mismatch()),
            };
        }
        let trust = match stored.trust {
            Trust::Unverified if is_observed(placement, &stored.source, opened, observed, &sight) => {
                Trust::Observed
            }
            trust => trust,
        };
        Ok(Bound { trust, missing: Some(missing(&sight)) })
    }

    /// Whether the hypervisor shows the very report that came over the network; false if it shows none.
    async fn shows_report(&self, placement: &Placement, sha256: &str) -> Result<bool, Fault> {
        let Some(bytes) = self.0.backend.read_report(placement).await? else { return Ok(false) };
        let seen = Envelope::parse(&bytes).ok().map(|envelope| sha256_hex(envelope.report.as_bytes()));
        if seen.as_deref() == Some(sha256) { Ok(true) } else { Err(mismatch()) }
    }

    async fn look(&self, placement: &Placement, budget: LookBudget) -> Result<Sight, Fault> {
        Ok(self.0.service()?.lookout.once(&self.0.backend, budget, placement.clone()).await)
    }
}

/// The output, with what the guest is believed without proof.
fn output(placement: &Placement, mut found: Value, observed: &Observed) -> Value {
    let Some(unseen) = &observed.mounts_unseen else { return found };
    let paths = mounts(placement);
    let unproven = paths.iter().map(|path| format!("mount {}: {}", path.display(), unseen.why));
    found[UNPROVEN] = json!(unproven.collect::<Vec<_>>());
    found
}

/// The machine-id that the guest was given with its UUID, whatever of it its claim had room for.
fn predicted(placement: &Placement) -> Option<DerivedMachineId> {
    let uuid = placement.allocation.slot.as_ref()?.uuid.as_deref()?;
    uuid.parse::<MachineId>().ok().map(|id| id.derived())
}

/// What another look may show.
fn still_to_be_seen(observed: &Observed, waited: Duration) -> Option<&str> {
    let unseen = observed.mounts_unseen.as_ref()?;
    (observed.running && unseen.passes && waited < SILENCE).then_some(unseen.why.as_str())
}

fn mounts(placement: &Placement) -> Vec<PathBuf> {
    placement.plan.mounts.iter().map(|mount| mount.path.clone()).collect()
}

/// The first one's code and all that was said; none: there is no problem.
fn fault(problems: &[Problem]) -> Option<Fault> {
    let all = || problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ");
    problems.first().map(|first| Fault::new(first.code, all()))
}

const MISMATCH: &str = "report-mismatch";

fn mismatch() -> Fault {
    Fault::new(MISMATCH, "the guest that runs here holds another report than the one that was sent")
}

/// The report came from an address that the hypervisor lists for this guest, and both know the same MAC.
fn is_observed(
    placement: &Placement,
    source: &str,
    opened: &Opened,
    observed: &Observed,
    sight: &Sight,
) -> bool {
    let mac = placement.allocation.mac;
    let macs_fit =
        observed.mac == Some(mac) && opened.report.network.iter().any(|interface| interface.mac == Some(mac));
    let source = source.parse::<IpAddr>();
    let listed = |source| observed.addresses.contains(&source) || sight.addresses.contains(&source);
    macs_fit && source.is_ok_and(listed)
}

/// Why no beacon bound the report, for the operator.
fn missing(sight: &Sight) -> String {
    match (&sight.fault, &sight.unreadable) {
        (Some(fault), _) => format!("the guest's addresses could not be read, and so its beacon: {fault}"),
        (None, Some(error)) => format!("its beacon does not bind it: {error}"),
        (None, None) => "no beacon stands among the guest's addresses: is its firstlight-guest too old, or its beacon off \
                         (`[beacon]` in /etc/firstlight/guest.toml)? Does the hypervisor list all addresses \
                         (pve-container 5.2.6 or newer)?"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Unseen;

    #[test]
    fn a_silent_agent_is_asked_again_for_a_while_and_one_that_is_not_there_is_not() {
        let seen = |running, passes: Option<bool>| Observed {
            running,
            mac: None,
            addresses: Vec::new(),
            mounts: Vec::new(),
            mounts_unseen: passes.map(|passes| Unseen { why: "silent".to_owned(), passes }),
            no_network: false,
        };
        let before = SILENCE - Duration::from_millis(1);
        for (running, passes, waited, again) in [
            (true, Some(true), Duration::ZERO, true),
            (true, Some(true), before, true),
            (true, Some(true), SILENCE, false),
            (true, Some(false), Duration::ZERO, false),
            (false, Some(true), Duration::ZERO, false),
            (true, None, Duration::ZERO, false),
        ] {
            let found = still_to_be_seen(&seen(running, passes), waited).is_some();
            assert_eq!(found, again, "{running} {passes:?} {waited:?}");
        }
    }
}
