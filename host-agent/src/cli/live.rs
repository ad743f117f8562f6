//! Follows jobs: live lines on a terminal, plain lines elsewhere. All of it on standard error.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use http_body_util::BodyExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::client::Client;
use super::failure::{Exit, Failure};
use crate::bringup::GuestView;
use crate::job::Phase;

/// Shows the jobs' progress until all are final.
pub(super) async fn follow(client: &Client, jobs: &[String]) -> Result<(), Failure> {
    let mut body = client.stream(&format!("/v1/follow?jobs={}", jobs.join(","))).await?;
    let mut display = Display::new();
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(Exit::NoAnswer, format!("the companion went away: {error}"))
                .hint("the jobs go on when it is started again: `firstlight jobs`")
        })?;
        buffer.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            if let Ok(view) = serde_json::from_slice::<GuestView>(&line) {
                display.show(&view);
            }
        }
    }
    Ok(())
}

struct Display {
    bars: Option<MultiProgress>,
    of_guest: BTreeMap<String, ProgressBar>,
    last: BTreeMap<String, String>,
}

impl Display {
    fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { bars: terminal.then(MultiProgress::new), of_guest: BTreeMap::new(), last: BTreeMap::new() }
    }

    fn show(&mut self, view: &GuestView) {
        let text = describe(view);
        if self.last.insert(view.name.clone(), text.clone()).as_ref() == Some(&text) {
            return;
        }
        let Some(bars) = &self.bars else {
            eprintln!("{}: {text}", view.name);
            return;
        };
        let bar = self.of_guest.entry(view.name.clone()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:16} {elapsed:>4}  {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(view.name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if view.state.is_final() { bar.finish_with_message(text) } else { bar.set_message(text) }
    }
}

fn describe(view: &GuestView) -> String {
    let step = view.step.as_deref().unwrap_or_default();
    let seconds = |name: &str| {
        view.timings_ms.get(name).map_or_else(String::new, |ms| format!(" in {:.1} s", seconds_of(*ms)))
    };
    let failure = view.failure.as_ref().map(|fault| fault.message.as_str()).unwrap_or_default();
    match view.state {
        Phase::Queued => "queued".to_owned(),
        Phase::Running => format!("running {step}"),
        Phase::Waiting => "waiting for the guest's report".to_owned(),
        Phase::Unwinding => format!("unwinding: {failure}"),
        Phase::Done => format!("ready{}", seconds("total")),
        Phase::RolledBack => format!("rolled back: {failure}"),
        Phase::NeedsOperator => format!("needs an operator: {failure}"),
        Phase::Abandoned => "abandoned".to_owned(),
    }
}

/// For people: a float is precise enough.
pub(super) fn seconds_of(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}
