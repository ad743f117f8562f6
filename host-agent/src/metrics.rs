//! What the companion counts, for Prometheus. One struct; a field's doc comment is its HELP text.
//!
//! Units are in the names, labels are bounded: phases, backends, steps of the saga, operations, codes of our own. No label
//! ever holds a guest's name, a job's id or a word of a guest. The registry is a value: two companions in one process do not mix.

mod classic;
mod labels;
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use firstlight_shared::wire::Trust;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::ending::Ending;
use crate::job::Phase;
use crate::store::GuestCount;
use labels::tame;
pub use labels::{
    BackendLabel, CallErrorLabels, CallLabels, CodeLabel, DeliveryLabels, EndingLabels, GuestLabels,
    OperationLabel, PhaseLabel, StepLabel, StepLabels, TargetLabel,
};
pub use process::Figures;
use process::Process;

/// Seconds of a durable write.
const WRITES: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Seconds of a step: restores take minutes, waits longer.
const STEPS: [f64; 12] = [0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0, 3600.0];
/// Seconds until a guest is ready: a copy of a small container, or of a large disk over a slow network.
const READY: [f64; 12] = [1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 7200.0];
/// Seconds of a call to a hypervisor.
const CALLS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0];

/// Stands for a backend that is not configured (any more).
const OTHER: &str = "other";

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $kind:ty = $name:literal $(in $unit:ident)? $(as $make:expr)?;)*) => {
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: $kind,)*
            /// Of the process itself.
            process: Process,
            /// What the label `backend` may say.
            backends: Vec<&'static str>,
            /// The kinds of guests that are shown.
            counted: Mutex<BTreeSet<GuestLabels>>,
            registry: Registry,
        }

        impl Metrics {
            fn registered(mut registry: Registry, backends: Vec<&'static str>) -> Self {
                $(let $field: $kind = metrics!(@make $($make)?);
                metrics!(@register registry, $name, $help, $field $(, $unit)?);)*
                Self { $($field,)* process: Process::default(), backends, counted: Mutex::default(), registry }
            }
        }

        /// The names as `/metrics` shows them, without the suffixes of counters and histograms.
        #[cfg(test)]
        const NAMES: &[&str] = &[$(concat!("firstlight_", $name)),*];
        #[cfg(test)]
        const FIELDS: &[&str] = &[$(stringify!($field)),*];
    };
    (@make) => { Default::default() };
    (@make $make:expr) => { $make };
    (@register $registry:ident, $name:literal, $help:literal, $field:ident) => {
        $registry.register($name, help($help), $field.clone())
    };
    (@register $registry:ident, $name:literal, $help:literal, $field:ident, $unit:ident) => {
        $registry.register_with_unit($name, help($help), Unit::$unit, $field.clone())
    };
}

metrics! {
    /// Jobs in the store by phase.
    jobs: Family<PhaseLabel, Gauge> = "jobs";
    /// Guests that are there or in the making, by backend, state of their job and trust in their report.
    guests: Family<GuestLabels, Gauge> = "guests";
    /// How long ago the oldest job that is in this phase was asked for; 0 if there is none.
    oldest_job_age: Family<PhaseLabel, Gauge<f64, AtomicU64>> = "oldest_job_age" in Seconds;
    /// Time from the wish for a guest until it was ready.
    time_to_ready: Histograms<BackendLabel> = "time_to_ready" in Seconds as Family::new_with_constructor(ready_times);
    /// Jobs that came to an end here, by how.
    jobs_ended: Family<EndingLabels, Counter> = "jobs_ended";
    /// Jobs that wait for their turn.
    queue_length: Gauge = "queue_length";
    /// Jobs that this companion took to drive.
    claims: Counter = "claims";
    /// Jobs that this companion took over from another one.
    take_overs: Counter = "take_overs";
    /// Jobs that this companion drives now.
    leases_held: Gauge = "leases_held";
    /// Jobs that another companion took from this one.
    leases_lost: Counter = "leases_lost";
    /// Events that were written to journals.
    journal_appends: Counter = "journal_appends";
    /// Time until an event was durable.
    journal_append: Histogram = "journal_append" in Seconds as Histogram::new(WRITES);
    /// Time that steps took, by step and how they ended.
    steps: Histograms<StepLabels> = "step" in Seconds as Family::new_with_constructor(step_times);
    /// Steps of which nobody knew whether they were done, or whose undo failed, so that they were looked at again.
    step_retries: Family<StepLabel, Counter> = "step_retries";
    /// Time of calls to hypervisors, by method.
    backend_call: Histograms<CallLabels> = "backend_call" in Seconds as Family::new_with_constructor(call_times);
    /// Calls to hypervisors that did not end well, by code.
    backend_call_errors: Family<CallErrorLabels, Counter> = "backend_call_errors";
    /// Reports that came in, taken or refused, by code.
    reports: Family<CodeLabel, Counter> = "reports";
    /// Time from a report's arrival until its job had moved on.
    report_moved_on: Histogram = "report_moved_on" in Seconds as Histogram::new(WRITES);
    /// Time of the store's operations.
    store_operation: Histograms<OperationLabel> = "store_operation" in Seconds as Family::new_with_constructor(write_times);
    /// Operations that the store did not carry out.
    store_errors: Family<OperationLabel, Counter> = "store_errors";
    /// Messages that were sent, by whom they are for and how that went.
    deliveries: Family<DeliveryLabels, Counter> = "deliveries";
    /// Messages that wait to be sent, or to be sent again.
    deliveries_waiting: Family<TargetLabel, Gauge> = "deliveries_waiting";
    /// Requests to the API that were not let in.
    api_denied: Counter = "api_denied";
}

fn step_times() -> Histogram {
    Histogram::new(STEPS)
}

fn ready_times() -> Histogram {
    Histogram::new(READY)
}

fn call_times() -> Histogram {
    Histogram::new(CALLS)
}

fn write_times() -> Histogram {
    Histogram::new(WRITES)
}

/// The encoder adds the full stop itself.
fn help(comment: &str) -> &str {
    comment.trim().trim_end_matches('.')
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Metrics {
    /// Of a companion with these backends. What they count begins at 0: a rate knows the first event, too.
    pub fn new(backends: &[&'static str]) -> Self {
        let mut registry = Registry::with_prefix("firstlight");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
        let metrics = Self::registered(registry, backends.to_vec());
        for backend in backends {
            drop(metrics.time_to_ready.get_or_create(&BackendLabel { backend }));
            for ending in Ending::ALL {
                metrics
                    .jobs_ended
                    .get_or_create(&EndingLabels { backend, ending: ending.as_str() })
                    .inc_by(0);
            }
        }
        metrics.reports.get_or_create(&CodeLabel { code: "taken".to_owned() }).inc_by(0);
        metrics
    }

    /// Everything in the OpenMetrics text format.
    pub fn expose(&self) -> String {
        let mut text = String::new();
        let written = text::encode_registry(&mut text, &self.registry)
            .and_then(|()| self.process.encode(&mut text))
            .and_then(|()| text::encode_eof(&mut text));
        // Writing to a string cannot fail, but the encoder's trait says it may.
        if let Err(error) = written {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }

    /// The same in the older text format (0.0.4), for whoever does not read OpenMetrics.
    pub fn expose_classic(&self) -> String {
        classic::classic(&self.expose())
    }

    pub fn step(&self, step: &str, result: &'static str, took: Duration) {
        let labels = StepLabels { step: tame(step), result };
        self.steps.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub fn step_again(&self, step: &str) {
        self.step_retries.get_or_create(&StepLabel { step: tame(step) }).inc();
    }

    pub fn report(&self, code: &str) {
        self.reports.get_or_create(&CodeLabel { code: tame(code) }).inc();
    }

    pub fn store_error(&self, operation: &'static str) {
        self.store_errors.get_or_create(&OperationLabel { operation }).inc();
    }

    pub fn store_took(&self, operation: &'static str, took: Duration) {
        self.store_operation.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64());
    }

    pub fn jobs_in(&self, phase: &'static str, count: u64) {
        self.jobs.get_or_create(&PhaseLabel { phase }).set(gauge(count));
    }

    pub fn oldest_in(&self, phase: &'static str, age: Duration) {
        self.oldest_job_age.get_or_create(&PhaseLabel { phase }).set(age.as_secs_f64());
    }

    /// A job of this backend ended; a guest that became ready was wanted so long ago.
    pub fn ended(&self, backend: &str, ending: Ending, took: Duration) {
        let backend = self.backend(backend);
        self.jobs_ended.get_or_create(&EndingLabels { backend, ending: ending.as_str() }).inc();
        if ending == Ending::Ready {
            self.time_to_ready.get_or_create(&BackendLabel { backend }).observe(took.as_secs_f64());
        }
    }

    /// How many guests there are of each kind; kinds that were counted before and are not named have none.
    pub fn count_guests(&self, counts: &[GuestCount]) {
        let mut by_labels: BTreeMap<GuestLabels, u64> = BTreeMap::new();
        // The usual ones are there from the beginning.
        for backend in &self.backends {
            let usual = GuestLabels {
                backend,
                state: Phase::Done.as_str(),
                trust: labels::trust(Some(Trust::Attested)),
            };
            by_labels.insert(usual, 0);
        }
        for count in counts {
            let (backend, trust) = (self.backend(&count.backend), labels::trust(count.trust));
            let labels = GuestLabels { backend, state: count.phase.as_str(), trust };
            *by_labels.entry(labels).or_default() += count.guests;
        }
        let mut shown = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for (labels, guests) in &by_labels {
            self.guests.get_or_create(labels).set(gauge(*guests));
        }
        for gone in shown.iter().filter(|labels| !by_labels.contains_key(labels)) {
            self.guests.remove(gone);
        }
        *shown = by_labels.into_keys().collect();
    }

    /// `target`: of the configuration, `webhook:NAME`.
    pub fn delivered(&self, target: &str, result: &'static str) {
        self.deliveries.get_or_create(&DeliveryLabels { target: target.to_owned(), result }).inc();
    }

    pub fn deliveries_wait(&self, target: &str, count: u64) {
        let labels = TargetLabel { target: target.to_owned() };
        self.deliveries_waiting.get_or_create(&labels).set(gauge(count));
    }

    pub fn call(&self, backend: &'static str, method: &'static str, took: Duration) {
        self.backend_call.get_or_create(&CallLabels { backend, method }).observe(took.as_secs_f64());
    }

    pub fn call_failed(&self, backend: &'static str, code: &str) {
        self.backend_call_errors.get_or_create(&CallErrorLabels { backend, code: tame(code) }).inc();
    }

    /// What the process takes of the machine.
    pub fn process(&self, figures: &Figures) {
        self.process.set(figures);
    }

    fn backend(&self, name: &str) -> &'static str {
        self.backends.iter().find(|known| **known == name).copied().unwrap_or(OTHER)
    }
}

pub(crate) fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
