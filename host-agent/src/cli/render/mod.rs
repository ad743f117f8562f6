//! Answers as text: tables for people, JSON for programs.

mod evidence;
mod job;
mod life;
mod lists;
mod timeline;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use firstlight_shared::text::{escape, escape_json};
use serde::Serialize;
use serde_json::Value;

pub(super) use evidence::statement;
pub(super) use job::{events, job};
pub(super) use life::{change, life, span};
pub(super) use lists::{guests, jobs, plan, reports};

/// A last column narrower than this is not worth breaking lines for.
const PROSE_WIDTH: usize = 20;

/// Indented, with a line end. What a guest says steers no terminal in here either.
pub(super) fn json(value: &impl Serialize) -> String {
    escape_json(&serde_json::to_string_pretty(value).unwrap_or_default()) + "\n"
}

/// As [`json`], in one line.
pub(super) fn json_line(value: &impl Serialize) -> String {
    escape_json(&serde_json::to_string(value).unwrap_or_default()) + "\n"
}

/// A table. On a terminal the last column, prose, is broken into lines that fit.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let terminal = console::Term::stdout();
    let width = terminal.features().is_attended().then(|| usize::from(terminal.size().1));
    lay_out(header, rows, width)
}

fn lay_out(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>, width: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    // Each column has a space on both sides.
    let widths: Vec<usize> =
        table.column_max_content_widths().iter().map(|width| usize::from(*width) + 2).collect();
    let (whole, last) = (widths.iter().sum::<usize>(), widths.last().copied().unwrap_or(0));
    let prose =
        width.and_then(|width| (width + 1).checked_sub(whole - last)).filter(|prose| *prose > PROSE_WIDTH);
    if let (Some(prose), Some(width)) = (prose, width)
        && whole > width
        && let Some(column) = table.column_mut(header.len().saturating_sub(1))
    {
        let prose = u16::try_from(prose).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::UpperBoundary(comfy_table::Width::Fixed(prose)));
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(width + 1).unwrap_or(u16::MAX));
        for column in 0..header.len().saturating_sub(1) {
            if let Some(column) = table.column_mut(column) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
    let lines = table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect::<Vec<_>>();
    lines.join("\n") + "\n"
}

/// A value as one safe line; `-` for nothing.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => safe(text),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => escape(&other.to_string(), 200),
    }
}

/// Anybody's text as one line; `-` for nothing.
pub(super) fn safe(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { escape(text, 200) }
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_is_broken_when_the_terminal_is_narrow() {
        let rows = || {
            [vec![
                "web-01".to_owned(),
                "failed".to_owned(),
                "the disk of the storage is full, try another one".to_owned(),
            ]]
        };
        let header = ["GUEST", "STATE", "FAILURE"];
        assert_eq!(
            lay_out(&header, rows(), None),
            "GUEST   STATE   FAILURE\nweb-01  failed  the disk of the storage is full, try another one\n"
        );
        assert_eq!(lay_out(&header, rows(), Some(200)), lay_out(&header, rows(), None));
        let narrow = lay_out(&header, rows(), Some(42));
        assert_eq!(
            narrow,
            "GUEST   STATE   FAILURE\nweb-01  failed  the disk of the storage\n                is full, try another one\n"
        );
        // So narrow that breaking helps nobody: the terminal wraps.
        assert_eq!(lay_out(&header, rows(), Some(20)), lay_out(&header, rows(), None));
    }

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        let hostile = serde_json::json!(["\u{1b}]0;x\u{7}", "ok"]);
        assert_eq!(text(&hostile), "\\u{1b}]0;x\\u{7},ok");
        assert_eq!(text(&Value::Null), "-");
        assert_eq!(text(&serde_json::json!("")), "-");
    }
}
