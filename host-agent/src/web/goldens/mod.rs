//! *Golden images*: which made which guests, how many became ready, how long that takes, and what
//! `golden lint` said of them.

mod lint;
mod view;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::Web;
use super::page::{Page, Trouble, Visited, rendered};
use crate::clock::now_ms;
use view::{Golden, goldens};

/// As many bring-ups as are looked at, the newest.
const RUNS: usize = 2000;

#[derive(Template)]
#[template(path = "goldens.html")]
struct Goldens {
    page: Page,
    goldens: Vec<Golden>,
    runs: usize,
    /// There may be older ones that were not looked at.
    is_cut: bool,
}

pub(super) async fn list(State(web): State<Web>, Visited(visit): Visited) -> Result<Response, Trouble> {
    let runs = web.service.store.golden_runs(RUNS).await;
    let runs = runs.map_err(|error| Trouble::store(&visit, &error))?;
    let verdicts = web.service.store.golden_verdicts().await;
    let verdicts = verdicts.map_err(|error| Trouble::store(&visit, &error))?;
    Ok(rendered(&Goldens {
        page: Page::new(&visit, "Golden images", "goldens"),
        goldens: goldens(&runs, &verdicts, now_ms()),
        is_cut: runs.len() == RUNS,
        runs: runs.len(),
    }))
}
