//! Traces: each bring-up as one OpenTelemetry trace, with the guest's own spans in it. See docs/telemetry.md.

mod otlp;
mod spans;

use crate::bringup::Told;
use crate::ending::Ending;
use crate::outbox::{Letter, Postbox, Target};
use crate::report::timeline_of;
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

    fn letter(&self, message: &Message, told: Option<&Told>, _now_ms: u64) -> Option<Letter> {
        let told = told?;
        let line = timeline_of(&told.events, told.report.as_ref(), told.at_ms);
        if !is_last_of_bring_up(told.ending, line.ready_ms.is_some()) {
            return None;
        }
        let spans = spans::spans(told, &line, message.seq);
        let body = serde_json::to_vec(&otlp::Request::of(&self.companion, spans)).ok()?;
        Some(Letter { what: format!("trace.{}", told.ending.as_str()), headers: Vec::new(), body })
    }
}

/// A bring-up is one trace, sent when nothing is to come. A job that needs an operator goes on or is given up: then.
fn is_last_of_bring_up(ending: Ending, was_ready: bool) -> bool {
    match ending {
        Ending::Ready | Ending::Failed | Ending::Changed | Ending::ChangeFailed => true,
        Ending::NeedsOperator | Ending::Destroyed => false,
        Ending::Abandoned => !was_ready,
    }
}
