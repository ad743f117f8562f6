//! The end of a job as it was when it came, for those who are told of it later: webhooks and traces.

use firstlight_shared::text::escape;

use super::lists::opened;
use super::view::GuestView;
use crate::bringup::api::ReportView;
use crate::bringup::facts::{is_by_beacon_alone, spec_of};
use crate::bringup::service::Bringups;
use crate::ending::Ending;
use crate::job::{Recorded, State, ending_at};
use crate::store::StoreError;

/// What there is to tell of an end. However much later it is asked for, it is the same.
#[derive(Debug, Clone)]
pub struct Told {
    pub ending: Ending,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The job as it was then.
    pub view: GuestView,
    /// What the guest was made from, as the spec names it.
    pub golden: Option<String>,
    /// The journal up to then.
    pub events: Vec<Recorded>,
    pub report: Option<ReportView>,
}

impl Bringups {
    /// What the event of this number ended; none: nothing, or the job is forgotten, or its journal cannot be read.
    ///
    /// # Errors
    /// The store fails.
    pub async fn told_at(&self, job: &str, seq: u64) -> Result<Option<Told>, StoreError> {
        let mut events = self.store.events(job).await?;
        let Some((state, Some(ending))) = ending_at(&events, seq) else { return Ok(None) };
        events.retain(|recorded| recorded.seq <= seq);
        let at_ms = events.last().map_or(0, |recorded| recorded.at_ms);
        let report = self.store.report_of_job(job).await?.filter(|stored| stored.received_at_ms <= at_ms);
        let mut view = GuestView::of(job, &state, &events);
        match &report {
            Some(stored) => drop(view.add_report(stored)),
            None => drop(view.add_beacon(is_by_beacon_alone(&state))),
        }
        let (golden, report) = (golden(&state), report.and_then(opened));
        Ok(Some(Told { ending, at_ms, view, golden, events, report }))
    }
}

/// Guests that somebody else made are of no golden that is known, and changes make none.
pub(in crate::bringup) fn golden(state: &State) -> Option<String> {
    let spec = spec_of(state).ok().filter(|spec| spec.adopt.is_none())?;
    Some(escape(&spec.plan.golden, 300)).filter(|golden| !golden.is_empty())
}
