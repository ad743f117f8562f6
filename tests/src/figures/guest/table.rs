//! The table: what was measured, beside what, and whether the aim is met.

use std::time::Duration;

use super::super::milliseconds;
use super::median;

/// In the unit of the line's last figure: milliseconds, bytes, or none for a ratio.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    AtMost(f64),
}

#[derive(Debug, Default)]
pub(super) struct Table {
    missed: usize,
}

impl Table {
    pub(super) fn start() -> Self {
        println!("{:<50} {:>11} {:>11} {:>11}  aim", "medians of runs in turns", "ours", "peer", "figure");
        Self::default()
    }

    pub(super) fn time(&mut self, what: &str, ours: &[Duration], aim: Aim) {
        let figure = milliseconds(middle(ours));
        self.line(what, ours.len(), [ms(figure), String::new()], (figure, "ms"), aim);
    }

    pub(super) fn difference(&mut self, what: &str, ours: &[Duration], peer: &[Duration], aim: Aim) {
        let (ours_ms, peer_ms) = (milliseconds(middle(ours)), milliseconds(middle(peer)));
        self.line(what, ours.len(), [ms(ours_ms), ms(peer_ms)], (ours_ms - peer_ms, "ms"), aim);
    }

    pub(super) fn ratio(&mut self, what: &str, ours: &[Duration], peer: &[Duration], aim: Aim) {
        let (ours_ms, peer_ms) = (milliseconds(middle(ours)), milliseconds(middle(peer)));
        self.line(what, ours.len(), [ms(ours_ms), ms(peer_ms)], (ours_ms / peer_ms, ""), aim);
    }

    pub(super) fn bytes(&mut self, what: &str, bytes: u64, Aim::AtMost(aim): Aim) {
        let mb = |bytes: f64| bytes / 1e6;
        // Exact: no size here comes near 2^52.
        let figure = mb(bytes as f64);
        self.line(what, 1, [format!("{bytes} B"), String::new()], (figure, "MB"), Aim::AtMost(mb(aim)));
    }

    fn line(&mut self, what: &str, count: usize, columns: [String; 2], figure: (f64, &str), aim: Aim) {
        let Aim::AtMost(most) = aim;
        let (figure, unit) = figure;
        let met = figure <= most;
        self.missed += usize::from(!met);
        let what = if count > 1 { format!("{what} (n={count})") } else { what.to_owned() };
        let shown = format!("{figure:.3} {unit}");
        let word = if met { "" } else { "  MISSED" };
        println!(
            "{what:<50} {:>11} {:>11} {:>11}  <= {most} {unit}{word}",
            columns[0],
            columns[1],
            shown.trim()
        );
    }

    pub(super) fn end(&self) {
        match self.missed {
            0 => println!("every aim is met"),
            missed => println!("{missed} aims are missed"),
        }
    }
}

fn ms(milliseconds: f64) -> String {
    format!("{milliseconds:.1} ms")
}

fn middle(times: &[Duration]) -> Duration {
    median(&mut times.to_vec())
}
