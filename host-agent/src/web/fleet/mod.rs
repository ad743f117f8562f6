//! *Fleet*: every guest at a glance, and on top what needs an operator.

mod digests;
mod query;
mod view;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;

use super::Web;
use super::page::{Page, Trouble, Visited, rendered};
use crate::bringup::JobFilter;
use crate::clock::now_ms;
use crate::job::Phase;

pub(super) use digests::Digests;
pub(super) use query::FleetQuery;
pub(super) use view::{Attention, Row, Tile, attention, detail, row, row_id, tiles, trusted};

/// Guests of one page.
const PAGE: usize = 100;
/// As many as the box on top shows.
const ATTENTION: usize = 8;

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    page: Page,
    query: FleetQuery,
    tiles: Vec<Tile>,
    columns: Vec<query::Column>,
    states: Vec<query::Choice>,
    backends: Vec<query::Choice>,
    attention: Vec<Attention>,
    more_attention: bool,
    rows: Vec<Row>,
    /// Guests in all, whatever is searched for.
    total: u64,
    /// Where the next page is; empty: this is the last one.
    next: String,
    /// Where the first page is; empty: this is it.
    first: String,
}

/// One row by itself, for who follows the changes.
#[derive(Template)]
#[template(path = "fleet_row.html")]
pub(super) struct OneRow<'a> {
    pub(super) row: &'a Row,
}

/// The counts by themselves.
#[derive(Template)]
#[template(path = "tiles.html")]
pub(super) struct Tiles<'a> {
    pub(super) tiles: &'a [Tile],
}

pub(super) async fn fleet(
    State(web): State<Web>,
    Visited(visit): Visited,
    Query(query): Query<FleetQuery>,
) -> Result<Response, Trouble> {
    let failed = |error| Trouble::store(&visit, &error);
    let now = now_ms();
    let store = &web.service.store;
    let counts = store.count_fleet().await.map_err(failed)?;
    let found = web.service.fleet(&query.filter(PAGE)).await.map_err(failed)?;
    let checks = web.digests.of(store, &found.lines).await.map_err(failed)?;
    let stuck = JobFilter { states: vec![Phase::NeedsOperator], limit: ATTENTION, ..JobFilter::default() };
    let stuck = web.service.jobs(&stuck).await.map_err(failed)?;
    let next = found.next.as_ref().map(|place| query.at(Some(place))).unwrap_or_default();
    Ok(rendered(&FleetPage {
        page: Page::new(&visit, "Fleet", "fleet").live("rows"),
        tiles: tiles(&counts),
        columns: query.columns(),
        states: query.states(),
        backends: query.backends(&counts),
        attention: stuck.jobs.iter().map(attention).collect(),
        more_attention: stuck.next.is_some(),
        rows: found.lines.iter().map(|line| row(line, &checks, now)).collect(),
        total: counts.iter().map(|count| count.count).sum(),
        next,
        first: if query.is_first() { String::new() } else { query.at(None) },
        query,
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::bringup::{FleetLine, JobLine};
    use crate::outcome::Fault;

    /// Whatever stands in any field of a row, it is text, and not much of it.
    #[test]
    fn nothing_in_a_row_is_markup() {
        for hostile in
            ["\"><script>alert(1)</script>", "' onmouseover='x", "\u{1b}]0;x\u{7}\u{202e}\u{200b}", "&lt;"]
        {
            let long = hostile.repeat(50_000);
            let line = JobLine {
                id: long.clone(),
                guest: long.clone(),
                backend: long.clone(),
                batch: long.clone(),
                state: Phase::NeedsOperator,
                step: Some(long.clone()),
                trust: None,
                failure: Some(Fault::new(&long, long.clone()).with_hint(long.clone())),
                waits_for: Some(long.clone()),
                trouble: None,
                change_of: None,
                due_at_ms: Some(u64::MAX),
                ephemeral: true,
                created_at_ms: u64::MAX,
                ended_at_ms: Some(0),
            };
            let found = FleetLine { line, golden: Some(long.clone()), report: Some((long, u64::MAX)) };
            let shown = Row { id: "x".into(), href: "/ui/".into(), ..row(&found, &HashMap::new(), 0) };
            let html = OneRow { row: &shown }.render().unwrap();
            assert!(
                !html.contains("<script") && !html.contains("' on") && !html.contains("mouseover='"),
                "{html}"
            );
            assert!(
                !html.chars().any(|c| c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{200b}')),
                "{html}"
            );
            assert!(html.len() < 16_000, "{} bytes", html.len());
        }
    }
}
