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
