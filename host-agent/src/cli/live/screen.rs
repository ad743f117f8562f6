//! Draws frames over each other on a terminal, and lines one after the other elsewhere. Always standard error.

use std::io::Write;

use console::Term;

use super::display::{Row, Size, frame};
use super::fleet::{Counts, fleet};
use crate::clock::now_ms;

/// What was drawn last.
#[derive(Debug)]
pub(crate) struct Screen {
    /// None: not a terminal.
    terminal: Option<Term>,
    drawn: Vec<String>,
    /// The last plain line of each job.
    said: std::collections::BTreeMap<String, String>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = Term::stderr();
        let terminal = terminal.features().is_attended().then_some(terminal);
        Self { terminal, drawn: Vec::new(), said: std::collections::BTreeMap::new() }
    }

    /// A picture that is drawn again and again.
    pub(crate) fn is_live(&self) -> bool {
        self.terminal.is_some()
    }

    /// Tells of one job that changed.
    pub(crate) fn changed(&mut self, job: &str, row: &Row) {
        if self.is_live() {
            return;
        }
        let text = row.describe();
        let guest = firstlight_shared::text::escape(&row.guest, 64);
        if self.said.get(job) != Some(&text) {
            say(&format!("{guest}: {text}"));
            self.said.insert(job.to_owned(), text);
        }
    }

    /// Draws all jobs as they are now.
    pub(crate) fn draw(&mut self, rows: &[Row]) {
        self.draw_with(|now_ms, size| frame(rows, now_ms, size));
    }

    /// Draws the fleet as it is now.
    pub(crate) fn draw_fleet(&mut self, rows: &[Row], counts: &Counts) {
        self.draw_with(|now_ms, size| fleet(rows, counts, now_ms, size));
    }

    fn draw_with(&mut self, lines: impl FnOnce(u64, Size) -> Vec<String>) {
        let Some(terminal) = &self.terminal else { return };
        let (height, width) = terminal.size();
        let lines = lines(now_ms(), Size { width: width.into(), height: height.into() });
        if lines != self.drawn {
            self.replace(lines);
        }
    }

    /// A line that stays, above the picture.
    pub(crate) fn note(&mut self, text: &str) {
        let drawn = self.drawn.clone();
        self.replace(Vec::new());
        say(text);
        self.replace(drawn);
    }

    /// One write, so that nothing flickers. A terminal that went away is no error of ours.
    fn replace(&mut self, lines: Vec<String>) {
        let mut out = String::new();
        if !self.drawn.is_empty() {
            out.push_str(&format!("\x1b[{}A\r\x1b[J", self.drawn.len()));
        }
        for line in &lines {
            out.push_str(line);
            out.push('\n');
        }
        let _ = std::io::stderr().write_all(out.as_bytes());
        self.drawn = lines;
    }
}

/// A line of talk. Nobody may be there to read it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
