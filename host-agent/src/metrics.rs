//! What the companion counts, for Prometheus. One struct; a field's doc comment is its HELP text.
//!
//! Units are in the names, labels are bounded: phases, steps of the saga, operations, codes of our own. No label ever
//! holds a guest's name or a job's id. The registry is a value: two companions in one process do not mix.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Seconds of a durable write.
const WRITES: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Seconds of a step: restores take minutes, waits longer.
const STEPS: [f64; 12] = [0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0, 3600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PhaseLabel {
    pub phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    pub step: String,
    /// `succeeded`, `failed`, `uncertain`, `undone` or `undo-failed`.
    pub result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// `taken`, or why it was refused.
    pub code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabel {
    pub operation: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $kind:ty = $name:literal $(in $unit:ident)? $(as $make:expr)?;)*) => {
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: $kind,)*
            registry: Registry,
        }

        impl Metrics {
            fn registered(mut registry: Registry) -> Self {
                $(let $field: $kind = metrics!(@make $($make)?);
                metrics!(@register registry, $name, $help, $field $(, $unit)?);)*
                Self { $($field,)* registry }
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
    /// Reports that came in, taken or refused, by code.
    reports: Family<CodeLabel, Counter> = "reports";
    /// Time from a report's arrival until its job had moved on.
    report_moved_on: Histogram = "report_moved_on" in Seconds as Histogram::new(WRITES);
    /// Operations that the store did not carry out.
    store_errors: Family<OperationLabel, Counter> = "store_errors";
    /// Requests to the API that were not let in.
    api_denied: Counter = "api_denied";
}

fn step_times() -> Histogram {
    Histogram::new(STEPS)
}

/// The encoder adds the full stop itself.
fn help(comment: &str) -> &str {
    comment.trim().trim_end_matches('.')
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("firstlight");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
        Self::registered(registry)
    }
}

impl Metrics {
    /// Everything in the OpenMetrics text format.
    pub fn expose(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail, but the encoder's trait says it may.
        if let Err(error) = text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }

    pub fn step(&self, step: &str, result: &'static str, took: std::time::Duration) {
        let labels = StepLabels { step: step.to_owned(), result };
        self.steps.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub fn report(&self, code: &str) {
        self.reports.get_or_create(&CodeLabel { code: code.to_owned() }).inc();
    }

    pub fn store_error(&self, operation: &'static str) {
        self.store_errors.get_or_create(&OperationLabel { operation }).inc();
    }

    pub fn jobs_in(&self, phase: &'static str, count: u64) {
        self.jobs.get_or_create(&PhaseLabel { phase }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
