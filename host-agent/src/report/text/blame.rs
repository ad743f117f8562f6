//! What took how long, as lines with bars.

use super::super::blame::{Blame, BlameLine};
use super::super::timeline::Side;
use super::super::words::took;
use super::paper::{Ink, Look, Paper, fit};
use console::measure_text_width;

const TIME: usize = 9;
const SIDE: usize = 5;
const NAME: usize = 48;

/// Longest first.
pub fn blame(blame: &Blame, look: Look) -> String {
    let mut paper = Paper::new(look);
    let longest = blame.lines.iter().map(|line| measure_text_width(&name(line))).max().unwrap_or(0);
    let width = paper.width();
    let room = width.saturating_sub(TIME + 1 + SIDE + 2).max(8);
    let names = longest.min(NAME).min(room * 2 / 3);
    let bar = room.saturating_sub(names + 1);
    let most = blame.lines.first().map_or(1, |line| line.took_ms.max(1));
    for line in &blame.lines {
        let cells = u128::from(line.took_ms) * bar as u128 / u128::from(most);
        let cells = usize::try_from(cells).unwrap_or(bar).clamp(usize::from(bar > 0), bar);
        let (side, ink) = match line.side {
            Side::Host => ("host", Ink::Busy),
            Side::Hypervisor => ("hyper", Ink::Warn),
            Side::Guest => ("guest", Ink::Good),
        };
        let of_name = if line.failed { Ink::Bad } else { Ink::Plain };
        paper.parts(&[
            (Ink::Strong, &format!("{:>TIME$} ", took(line.took_ms))),
            (ink, &format!("{} ", fit(side, SIDE))),
            (of_name, &fit(&name(line), names)),
            (ink, &format!(" {}", "█".repeat(cells))),
        ]);
    }
    paper.note(&format!("{} in all; what ran side by side is counted each", took(blame.length_ms)));
    paper.text()
}

fn name(line: &BlameLine) -> String {
    let state = match (line.failed, line.at_work) {
        (true, _) => " (failed)",
        (_, true) => " (at work)",
        _ => "",
    };
    match &line.of {
        Some(of) => format!("{} ({of}){state}", line.name),
        None => format!("{}{state}", line.name),
    }
}
