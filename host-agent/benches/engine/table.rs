//! The table that is printed.

use comfy_table::presets;

/// One figure: what was measured, beside what, and what was aimed at.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) figure: String,
    pub(crate) ours: String,
    /// The named peer and what it gave, or how the figure was taken.
    pub(crate) beside: String,
    pub(crate) aim: &'static str,
    /// None: nothing was aimed at, the figure is for information.
    pub(crate) met: Option<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Says the figure at once on stderr, and keeps it for the table.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{}: {} ({})", row.figure, row.ours, row.beside);
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_header(["figure", "measured", "beside", "aim", ""]);
        for row in &self.rows {
            let met = match row.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            table.add_row([&row.figure, &row.ours, &row.beside, row.aim, met]);
        }
        println!("{table}");
    }
}

/// The value below which this share of the sorted values is, in milliseconds.
pub(crate) fn percentile(sorted: &[std::time::Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index between 0 and last"
    )]
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).map_or(f64::NAN, |value| value.as_secs_f64() * 1000.0)
}
