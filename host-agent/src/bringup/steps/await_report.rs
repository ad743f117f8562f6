//! await-report: wait until the guest's report is in the store, its beacon says enough, its deadline ends, or the guest is
//! known never to be ready. It waits for a wake-up and for its deadline, and asks nobody in between; looks at the guest are
//! the lookout's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::beacon::{Seen, State as BeaconState};
use firstlight_shared::wire::{Envelope, Trust, sha256_hex};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{Common, START, store_fault};
use crate::backend::ClaimChannel;
use crate::bringup::facts::{AWAIT_REPORT, Allocated, BEACON, TOLD_AT, id_of};
use crate::bringup::lookout::{Came, Sight, Spot, Verdict, judge, last_resort};
use crate::bringup::service::Bringups;
use crate::bringup::waiters::Place;
use crate::clock::now_ms;
use crate::intake::{BeaconView, Chosen, Pulled};
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

/// This step ends its wait itself, and can say more about it than the engine, whose deadline is so much later.
const SLACK: Duration = Duration::from_secs(30);

/// Reports for an open claim ask for so many looks at most: anybody can send one.
const HURRIES: u32 = 4;

/// A report that the beacon names may be on its way for so long before it is read through the hypervisor.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
const PULL_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct AwaitReport(pub(super) Arc<Common>);

#[async_trait]
impl Step for AwaitReport {
    fn name(&self) -> &'static str {
        AWAIT_REPORT
    }

    fn waits(&self) -> bool {
        true
    }

    fn deadline(&self) -> Option<Duration> {
        Duration::from_millis(self.0.spec.timeout_ms).checked_add(SLACK)
    }

    async fn probe(&self, context: &Context<'_>) -> Result<Probe, Fault> {
        Ok(self.stored(context, None).await?.map_or(Probe::Absent, Probe::Present))
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        let Some(allocated) = Allocated::of(context.state) else {
            return Act::Refused(Fault::new("not-allocated", "nothing was chosen for this guest"));
        };
        match self.wait(context, &allocated.claim_id).await {
            Ok(Ok(output)) => Act::Applied(output),
            Ok(Err(failure)) => Act::Refused(failure),
            Err(doubt) => Act::Unknown(doubt),
        }
    }

    async fn undo(&self, _: &Context<'_>) -> Undo {
        Undo::Absent
    }

    async fn evidence(&self, context: &Context<'_>) -> Vec<String> {
        self.0.console(context).await
    }
}

/// What is known while one waits.
#[derive(Default)]
struct Known {
    sight: Sight,
    /// Reports for an open claim.
    came: Vec<Came>,
    /// The beacon that the store has.
    named: Vec<IpAddr>,
    /// Looks that were asked for because of a report.
    hurried: u32,
    /// When the hypervisor's word of the guest woke this job, if it did. Milliseconds since the Unix epoch.
    told_at_ms: Option<u64>,
}

impl Known {
    /// The beacon names a report, and nobody has sent it.
    fn is_report_missing(&self) -> bool {
        let names = |seen: &Seen| {
            let came = |one: &Came| seen.names(&one.candidate.envelope, &one.candidate.sha256);
            seen.names_report() && !self.came.iter().any(came)
        };
        self.sight.seen.as_ref().is_some_and(names)
    }
}

/// When the report is read through the hypervisor, where that is done.
#[derive(Debug, Default)]
struct Pull {
    due: Option<Instant>,
    last: Option<Instant>,
}

impl Pull {
    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    fn done(&mut self, now: Instant) {
        (self.due, self.last) = (None, Some(now));
    }

    /// What the network may bring is given a moment; what could not be read is tried again.
    fn plan(&mut self, missing: bool, sight: &Sight) {
        let first = sight.since.map(|since| since + ON_ITS_WAY);
        let again = self.last.map(|last| last + PULL_AGAIN);
        self.due = if missing { first.max(again) } else { None };
    }
}

impl AwaitReport {
    fn enter(&self, service: &Bringups, claim: &str, context: &Context<'_>) -> Place {
        let guest = self.0.spec.plan.name.as_str();
        let place = service.waiters.enter(claim, context.job, guest, self.surveyed_at());
        place.known_as(id_of(context.state))
    }

    /// A beacon that names a report that does not count any more says nothing of what is waited for.
    fn overlook_old(&self, sight: &mut Sight) {
        if sight.seen.as_ref().and_then(Seen::report_sha256).is_some_and(|named| self.is_old(&named)) {
            (sight.seen, sight.since) = (None, None);
            sight.pieces.clear();
        }
    }

    fn is_old(&self, sha256: &str) -> bool {
        let is_it = |old: &String| old.starts_with(sha256) || sha256.starts_with(old.as_str());
        self.0.spec.newer_than.iter().any(is_it)
    }

    /// Reads the guest's report through the hypervisor. Whether the store may know more now.
    async fn pull(
        &self,
        context: &Context<'_>,
        claim: &str,
        spot: Option<&Spot>,
        told: bool,
    ) -> Result<bool, Fault> {
        let placement = self.0.placement(context).await?;
        let read = match self.0.backend.pulls_reports(&self.0.spec.plan) {
            true => self.0.backend.read_report(&placement).await,
            false => Ok(None),
        };
        let sha256 = |bytes: &Vec<u8>| Some(sha256_hex(Envelope::parse(bytes).ok()?.report.as_bytes()));
        let is_old = |bytes: &Vec<u8>| sha256(bytes).is_some_and(|sha256| self.is_old(&sha256));
        let read = read.map(|bytes| bytes.filter(|bytes| !is_old(bytes)));
        match read {
            Ok(Some(bytes)) => {
                let service = self.0.service()?;
                let Some(claim) = service.store.claim(claim).await.map_err(store_fault)? else {
                    return Ok(true);
                };
                let pulled = service.intake().pulled(&claim, &bytes).await.map_err(store_fault)?;
                if let Pulled::NotIts(why) = &pulled {
                    tracing::warn!(job = context.job, %why, "what was read in the guest is not its report");
                }
                return Ok(true);
            }
            Ok(None) => {}
            Err(fault) => {
                tracing::debug!(job = context.job, error = %fault, "the guest's report could not be read");
            }
        }
        if told {
            spot.iter().for_each(|spot| spot.hurry());
        }
        Ok(false)
    }

    async fn stored(&self, context: &Context<'_>, known: Option<&Known>) -> Result<Option<Value>, Fault> {
        let came = self.0.service()?.store.report_came(context.job).await.map_err(store_fault)?;
        Ok(came.map(|(sha256, at_ms)| {
            let mut output = json!({ "sha256": sha256, "received_at_ms": at_ms });
            if let Some(told_at_ms) = known.and_then(|known| known.told_at_ms) {
                output[TOLD_AT] = json!(told_at_ms);
            }
            let seen = known.and_then(|known| known.sight.seen.as_ref());
            if let Some(seen) = seen.filter(|seen| seen.matches_report(&sha256)) {
                output[BEACON] = json!(BeaconView::from(seen));
            }
            output
        }))
    }

    /// The report (or the beacon instead), or why there will be none. An error: the store does not tell.
    async fn wait(&self, context: &Context<'_>, claim: &str) -> Result<Result<Value, Fault>, Fault> {
        let service = self.0.service()?;
        // Before the first look: nothing that comes after it is missed.
        let place = self.enter(&service, claim, context);
        let mut spot = self.spot(context).await?;
        let deadline = self.ends(context);
        let mut known = Known::default();
        let mut pull = Pull::default();
        let mut ask = true;
        loop {
            let told = place.take_told();
            if told {
                known.told_at_ms.get_or_insert_with(now_ms);
            }
            if told || pull.is_due(Instant::now()) {
                pull.done(Instant::now());
                ask |= self.pull(context, claim, spot.as_ref(), told).await?;
            }
            known.sight = spot.as_ref().map(Spot::sight).unwrap_or_default();
            self.overlook_old(&mut known.sight);
            ask |= self.name_report(claim, &mut known).await?;
            if ask {
                if let Some(output) = self.stored(context, Some(&known)).await? {
                    return Ok(Ok(output));
                }
                let refused = service.store.refusal_of_claim(claim).await;
                if let Some(refused) = refused.map_err(store_fault)? {
                    return Ok(Err(Fault::new(&refused.code, refused.message)));
                }
                if self.look_for_candidates(claim, &mut known).await? && known.hurried < HURRIES {
                    known.hurried += 1;
                    spot.iter().for_each(Spot::hurry);
                }
                ask = false;
            }
            if let Some(failure) = place.failure() {
                return Ok(Err(failure));
            }
            let late = Instant::now() >= deadline;
            let until = match self.judge(claim, &mut known, late).await? {
                Verdict::Take(index, trust) => return self.take(context, &known, index, trust).await,
                Verdict::Alone => {
                    return Ok(Ok(json!({ BEACON: known.sight.seen.as_ref().map(BeaconView::from) })));
                }
                Verdict::Fail(failure) => return Ok(Err(failure)),
                Verdict::Wait(_) if late => return Ok(Err(self.too_late(&known.sight))),
                Verdict::Wait(until) => until.map_or(deadline, |until| until.min(deadline)),
            };
            pull.plan(
                self.0.backend.pulls_reports(&self.0.spec.plan) && known.is_report_missing(),
                &known.sight,
            );
            let until = pull.due.map_or(until, |due| until.min(due));
            tokio::select! {
                () = place.woken() => ask = true,
                () = looked(&mut spot) => {}
                // Woken or not: the store is asked again.
                () = sleep_until(until) => ask = true,
            }
        }
    }

    /// A place at the lookout, where the backend shows beacons.
    async fn spot(&self, context: &Context<'_>) -> Result<Option<Spot>, Fault> {
        let Some(budget) = self.0.backend.look_budget() else { return Ok(None) };
        let placement = self.0.placement(context).await?;
        let started = context.state.timings.get(START).and_then(|timing| timing.ended_ms);
        let ago = started.map(|started| Duration::from_millis(now_ms().saturating_sub(started)));
        let started = ago.and_then(|ago| Instant::now().checked_sub(ago));
        Ok(Some(self.0.service()?.lookout.enter(&self.0.backend, budget, placement, started)))
    }

    /// Whether the store learned of a report's name that it did not have: then it is read again, since what came before
    /// was kept, and what comes later is taken.
    async fn name_report(&self, claim: &str, known: &mut Known) -> Result<bool, Fault> {
        let sight = &known.sight;
        let names = sight.seen.as_ref().is_some_and(Seen::names_report);
        if !names || known.named == sight.pieces {
            return Ok(false);
        }
        self.0.service()?.store.name_report(claim, &sight.pieces).await.map_err(store_fault)?;
        known.named.clone_from(&sight.pieces);
        Ok(true)
    }

    /// Whether a report is among them that was not there before.
    async fn look_for_candidates(&self, claim: &str, known: &mut Known) -> Result<bool, Fault> {
        // A guest that somebody else made was given no secret, whatever the channel.
        if self.0.backend.claim_channel() == ClaimChannel::Secret && self.0.spec.adopt.is_none() {
            return Ok(false);
        }
        let found = self.0.service()?.store.candidates(claim).await.map_err(store_fault)?;
        let before = std::mem::take(&mut known.came);
        let noticed = |sha256: &str| before.iter().find(|one| one.candidate.sha256 == sha256);
        let mut more = false;
        let found = found.into_iter().filter(|candidate| !self.is_old(&candidate.sha256));
        let came = found.map(|candidate| {
            let noticed = noticed(&candidate.sha256).map(|one| one.noticed);
            more |= noticed.is_none();
            Came { candidate, noticed: noticed.unwrap_or_else(Instant::now) }
        });
        known.came = came.collect();
        Ok(more)
    }

    async fn judge(&self, claim: &str, known: &mut Known, late: bool) -> Result<Verdict, Fault> {
        let needs_report = !self.0.spec.require.is_empty() || !self.0.spec.plan.secrets.is_empty();
        let (verdict, refuted) = judge(&known.sight, &known.came, needs_report, Instant::now());
        if !refuted.is_empty() {
            let service = self.0.service()?;
            let mut wrong = Vec::new();
            for index in refuted {
                if let Some(one) = known.came.get_mut(index) {
                    wrong.push(one.candidate.clone());
                    one.candidate.refuted = true;
                }
            }
            if let Some(claim) = service.store.claim(claim).await.map_err(store_fault)? {
                let wrong: Vec<_> = wrong.iter().collect();
                service.intake().refute(&claim, &wrong).await.map_err(store_fault)?;
            }
        }
        let has_eyes = self.0.backend.look_budget().is_some();
        Ok(match verdict {
            // Where nobody can look, waiting brings no more.
            Verdict::Wait(_) if late || !has_eyes => {
                last_resort(&known.sight, &known.came).unwrap_or(verdict)
            }
            verdict => verdict,
        })
    }

    async fn take(
        &self,
        context: &Context<'_>,
        known: &Known,
        index: usize,
        trust: Trust,
    ) -> Result<Result<Value, Fault>, Fault> {
        let service = self.0.service()?;
        if let Some(one) = known.came.get(index) {
            let chosen = service.intake().choose(&one.candidate, trust).await;
            if let Chosen::Refused(refused) = chosen.map_err(store_fault)? {
                return Ok(Err(Fault::new(&refused.code, refused.message)));
            }
        }
        // If it was too late, another one is there.
        let stored = self.stored(context, Some(known)).await?;
        stored
            .map(Ok)
            .ok_or_else(|| Fault::new("report-vanished", "the report that was chosen is not in the store"))
    }

    /// Counted from when the step began, whoever began it.
    fn ends(&self, context: &Context<'_>) -> Instant {
        let began = context.state.timings.get(AWAIT_REPORT).map_or_else(now_ms, |timing| timing.started_ms);
        let gone = now_ms().saturating_sub(began);
        let left = Duration::from_millis(self.0.spec.timeout_ms.saturating_sub(gone));
        Instant::now().checked_add(left).unwrap_or_else(Instant::now)
    }

    /// The backend whose surveys see the guest: they see ours only.
    fn surveyed_at(&self) -> &'static str {
        if self.0.spec.adopt.is_some() { "" } else { self.0.backend.name() }
    }

    fn too_late(&self, sight: &Sight) -> Fault {
        let seconds = self.0.spec.timeout_ms / 1000;
        let alive = sight.seen.as_ref().is_some_and(|seen| seen.state() == BeaconState::IdentityDone);
        let fault = |message: String, hint: String| Fault::new("report-timeout", message).with_hint(hint);
        match (alive, &sight.unreadable, &sight.fault) {
            (true, ..) => fault(
                format!("the guest lives and has its identity, but was not ready within {seconds} s"),
                "its checks may need more time: see `firstlight-guest status` in it, or raise readiness.timeout"
                    .to_owned(),
            ),
            (false, Some(error), _) => fault(
                format!("the guest did not report within {seconds} s, and its beacon cannot be read"),
                error.to_string(),
            ),
            (false, None, Some(trouble)) => fault(
                format!("the guest did not report within {seconds} s, and could not be looked at"),
                format!("the last look at it failed: {trouble}"),
            ),
            (false, None, None) if self.0.spec.adopt.is_some() => fault(
                format!("the guest did not report within {seconds} s"),
                "does `firstlight-guest status` in it say that it has reported, and to whom? its \
                 /etc/firstlight/guest.toml must name this companion's address, and the pin that `firstlight pin` prints"
                    .to_owned(),
            ),
            (false, None, None) => fault(
                format!("the guest did not report within {seconds} s"),
                "the console lines show how far it came; is firstlight-guest baked into the golden and enabled?"
                    .to_owned(),
            ),
        }
    }
}

async fn looked(spot: &mut Option<Spot>) {
    match spot {
        Some(spot) => spot.changed().await,
        None => std::future::pending().await,
    }
}
