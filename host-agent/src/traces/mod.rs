//! Traces: each bring-up as one OpenTelemetry trace, with the guest's own spans in it. See docs/telemetry.md.

mod otlp;
mod spans;

use crate::bringup::Told;
use crate::ending::Ending;
use crate::outbox::{Letter, Postbox, Target};
use crate::store::Message;

/// As the outbox names it.
pub const TARGET: &str = "traces";

/// `[otel]`: a collector that speaks OTLP over HTTP, with JSON.
#[derive(Debug)]
pub struct Collector {
    /// Of this companion, to tell those of one store apart.
    pub companion: String,
    pub postbox: Postbox,
}

impl Target for Collector {
    fn name(&self) -> String {
        TARGET.to_owned()
    }

    fn postbox(&self) -> &Postbox {
        &self.postbox
    }

    /// Ends after a guest was ready are none of a bring-up.
    fn letter(&self, message: &Message, told: Option<&Told>, _now_ms: u64) -> Option<Letter> {
        let told = told?;
        if matches!(told.ending, Ending::Destroyed | Ending::Abandoned) {
            return None;
        }
        let spans = spans::spans(told, message.seq);
        let body = serde_json::to_vec(&otlp::Request::of(&self.companion, spans)).ok()?;
        Some(Letter { what: format!("trace.{}", told.ending.as_str()), headers: Vec::new(), body })
    }
}
