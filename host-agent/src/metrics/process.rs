//! What the process takes of the machine, under the names that all exporters use.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Read from the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// In bytes.
    pub resident: u64,
    pub open_files: u64,
    /// Of all threads, user and system, in seconds since the start.
    pub cpu: f64,
    /// In seconds since the Unix epoch.
    pub started: f64,
}

#[derive(Debug)]
pub(super) struct Process {
    resident: Gauge,
    open_files: Gauge,
    cpu: Counter<f64, AtomicU64>,
    started: Gauge<f64, AtomicU64>,
    registry: Registry,
}

impl Default for Process {
    fn default() -> Self {
        let (resident, open_files) = (Gauge::default(), Gauge::default());
        let (cpu, started) = (Counter::default(), Gauge::default());
        let mut registry = Registry::with_prefix("process");
        registry.register_with_unit("resident_memory", "Memory in use", Unit::Bytes, resident.clone());
        registry.register("open_fds", "Open files and sockets", open_files.clone());
        registry.register_with_unit("cpu", "Processor time taken", Unit::Seconds, cpu.clone());
        registry.register_with_unit(
            "start_time",
            "When the process began, since 1970",
            Unit::Seconds,
            started.clone(),
        );
        Self { resident, open_files, cpu, started, registry }
    }
}

impl Process {
    pub(super) fn set(&self, figures: &Figures) {
        self.resident.set(super::gauge(figures.resident));
        self.open_files.set(super::gauge(figures.open_files));
        self.cpu.inc_by((figures.cpu - self.cpu.get()).max(0.0));
        self.started.set(figures.started);
    }

    pub(super) fn encode(&self, text: &mut String) -> Result<(), fmt::Error> {
        encode_registry(text, &self.registry)
    }
}
