//! The table of every benchmark: what was measured, beside what, and whether the aim is met. Times are medians, with the least and
//! the most in brackets.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use comfy_table::{ContentArrangement, presets};
use serde_json::{Value, json};

use crate::paths;

/// Of the printed table, in columns; longer cells wrap.
const WIDTH: u16 = 160;

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub figure: String,
    pub ours: String,
    /// The named peer and what it gave, or how the figure was taken.
    pub beside: String,
    pub aim: Cow<'static, str>,
    /// None: nothing was aimed at, the figure is for information.
    pub met: Option<bool>,
}

#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Says the figure at once on stderr, and keeps it for the table.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}: {} ({})", row.figure, row.ours, row.beside);
        self.rows.push(row);
    }

    /// How long one thing takes; the aim is in milliseconds.
    pub fn time(&mut self, figure: &str, ours: &[Duration], at_most: f64) {
        let middle = milliseconds(median(ours));
        self.add(Row {
            figure: figure.to_owned(),
            ours: spread(ours),
            beside: format!("n={}", ours.len()),
            aim: format!("<= {at_most} ms").into(),
            met: Some(middle <= at_most),
        });
    }

    /// What one thing takes beyond another; the aim is in milliseconds.
    pub fn difference(&mut self, figure: &str, ours: &[Duration], peer: (&str, &[Duration]), at_most: f64) {
        let more = milliseconds(median(ours)) - milliseconds(median(peer.1));
        self.add(Row {
            figure: figure.to_owned(),
            ours: format!("{}: {more:+.1} ms", spread(ours)),
            beside: beside(peer, ours.len()),
            aim: format!("<= +{at_most} ms").into(),
            met: Some(more <= at_most),
        });
    }

    /// How many times as long as its peer one thing takes.
    pub fn ratio(&mut self, figure: &str, ours: &[Duration], peer: (&str, &[Duration]), at_most: f64) {
        let ratio = median(ours).as_secs_f64() / median(peer.1).as_secs_f64();
        self.add(Row {
            figure: figure.to_owned(),
            ours: format!("{}: {ratio:.3} x", spread(ours)),
            beside: beside(peer, ours.len()),
            aim: format!("<= {at_most} x").into(),
            met: Some(ratio <= at_most),
        });
    }

    /// Decimal megabytes.
    pub fn bytes(&mut self, figure: &str, bytes: u64, at_most: f64) {
        // Exact: no size here comes near 2^52.
        let megabytes = bytes as f64 / 1e6;
        self.add(Row {
            figure: figure.to_owned(),
            ours: format!("{megabytes:.3} MB"),
            beside: format!("{bytes} bytes"),
            aim: format!("<= {at_most} MB").into(),
            met: Some(megabytes <= at_most),
        });
    }

    /// On stdout, and as JSON lines into the file that `cargo xtask bench` asks for.
    ///
    /// # Panics
    /// That file cannot be written.
    pub fn print(&self) {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDTH)
            .set_header(["figure", "measured", "beside", "aim", ""]);
        for row in &self.rows {
            let met = match row.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            table.add_row([&row.figure, &row.ours, &row.beside, row.aim.as_ref(), met]);
        }
        println!("{table}");
        if let Some(path) = std::env::var_os(paths::FIGURES_VARIABLE) {
            append(Path::new(&path), &self.rows).expect("the figures cannot be kept");
        }
    }
}

/// # Errors
/// The file cannot be written.
fn append(path: &Path, rows: &[Row]) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    for Row { figure, ours, beside, aim, met } in rows {
        let row = json!({ "figure": figure, "ours": ours, "beside": beside, "aim": aim, "met": met });
        writeln!(file, "{row}")?;
    }
    Ok(())
}

/// What was appended; nothing of a line that is none.
pub(super) fn read(text: &str) -> Vec<Row> {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let rows = lines.map(|row| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        Row {
            figure: text("figure"),
            ours: text("ours"),
            beside: text("beside"),
            aim: text("aim").into(),
            met: row["met"].as_bool(),
        }
    });
    rows.collect()
}

fn beside((name, times): (&str, &[Duration]), count: usize) -> String {
    format!("{name}: {}; n={count}, in turns", spread(times))
}

/// The median, and the least and the most.
#[must_use]
pub fn spread(times: &[Duration]) -> String {
    let of = |time: Option<&Duration>| milliseconds(time.copied().unwrap_or_default());
    let (middle, least, most) = (milliseconds(median(times)), of(times.iter().min()), of(times.iter().max()));
    if middle < 10_000.0 {
        format!("{middle:.1} ms ({least:.1} to {most:.1})")
    } else {
        format!("{:.1} s ({:.1} to {:.1})", middle / 1e3, least / 1e3, most / 1e3)
    }
}

#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Of an odd number of times, the middle one; zero of none.
#[must_use]
pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(list: &[u64]) -> Vec<Duration> {
        list.iter().map(|time| Duration::from_millis(*time)).collect()
    }

    #[test]
    fn median_is_the_middle_one() {
        assert_eq!(median(&times(&[9, 1, 5])), Duration::from_millis(5));
        assert_eq!(median(&[]), Duration::ZERO);
    }

    #[test]
    fn a_figure_is_met_or_missed_and_kept_as_it_was_said() {
        let mut table = Table::default();
        table.ratio("keys", &times(&[9, 10, 12]), ("`ssh-keygen -A`", &times(&[40, 39, 50])), 0.5);
        table.ratio("keys", &times(&[30]), ("`ssh-keygen -A`", &times(&[40])), 0.5);
        table.difference("unit", &times(&[30]), ("`/bin/true`", &times(&[20])), 15.0);
        table.time("boot", &times(&[11_000, 12_000, 13_000]), 15.0);
        table.bytes("size", 3_350_000, 4.0);
        let met: Vec<_> = table.rows.iter().map(|row| row.met).collect();
        assert_eq!(met, [Some(true), Some(false), Some(true), Some(false), Some(true)]);
        assert_eq!(table.rows[0].ours, "10.0 ms (9.0 to 12.0): 0.250 x");
        assert_eq!(table.rows[0].beside, "`ssh-keygen -A`: 40.0 ms (39.0 to 50.0); n=3, in turns");
        assert_eq!(table.rows[3].ours, "12.0 s (11.0 to 13.0)");

        let file = tempfile::NamedTempFile::new().unwrap();
        append(file.path(), &table.rows[..2]).unwrap();
        append(file.path(), &table.rows[2..]).unwrap();
        assert_eq!(read(&std::fs::read_to_string(file.path()).unwrap()), table.rows);
    }
}
