//! *Jobs*: what is queued, at work, stuck and ended; one job with its steps; and what an operator asks of it.

mod act;
mod action;
mod query;
mod view;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::Web;
use super::page::{Page, Trouble, Visited, rendered};
use crate::bringup::JobFilter;
use crate::clock::now_ms;

pub(super) use act::{ask, confirm};
pub(super) use action::{Action, offered};
use query::JobsQuery;
pub(super) use view::{JobRow, job_row};
use view::{JobView, job_view};

/// Jobs of one page.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "jobs.html")]
struct Jobs {
    page: Page,
    query: JobsQuery,
    tabs: Vec<query::Tab>,
    rows: Vec<JobRow>,
    next: String,
    first: String,
}

/// One row by itself, for who follows the changes.
#[derive(Template)]
#[template(path = "job_row.html")]
pub(super) struct OneJob<'a> {
    pub(super) row: &'a JobRow,
}

#[derive(Template)]
#[template(path = "job.html")]
struct Job {
    page: Page,
    job: JobView,
    /// What was asked for just now; empty: nothing.
    said: &'static str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    asked: String,
}

pub(super) async fn jobs(
    State(web): State<Web>,
    Visited(visit): Visited,
    Query(query): Query<JobsQuery>,
) -> Result<Response, Trouble> {
    let now = now_ms();
    let found = web.service.jobs(&query.filter(PAGE)).await;
    let found = found.map_err(|error| Trouble::store(&visit, &error))?;
    Ok(rendered(&Jobs {
        page: Page::new(&visit, "Jobs", "jobs").live("rows"),
        tabs: query.tabs(),
        rows: found.jobs.iter().map(|line| job_row(line, now)).collect(),
        next: found.next.as_deref().map(|next| query.at(next)).unwrap_or_default(),
        first: if query.is_first() { String::new() } else { query.at("") },
        query,
    }))
}

pub(super) async fn job(
    State(web): State<Web>,
    Visited(visit): Visited,
    Path(id): Path<String>,
    Query(said): Query<Said>,
) -> Result<Response, Trouble> {
    let failed = |error| Trouble::store(&visit, &error);
    let view = web.service.view(&id).await.map_err(failed)?;
    let view = view.ok_or_else(|| Trouble::missing(&visit, "job", &id))?;
    let changes = changes_of(&web, &id).await.map_err(failed)?;
    let title = format!("{} · job", view.name);
    let page = Page { subject: id, ..Page::new(&visit, &title, "jobs").live("page") };
    let said = Action::of(&said.asked).map_or("", Action::said);
    Ok(rendered(&Job { page, job: job_view(view, &changes, now_ms()), said }))
}

/// Other jobs of the same guest's name, newest first: changes of it, and earlier guests of the name.
async fn changes_of(web: &Web, id: &str) -> Result<Vec<crate::bringup::JobLine>, crate::store::StoreError> {
    let Some(line) = web.service.line(id).await? else { return Ok(Vec::new()) };
    let filter = JobFilter { guest: Some(line.guest), limit: 20, ..JobFilter::default() };
    let mut found = web.service.jobs(&filter).await?.jobs;
    found.retain(|other| other.id != id);
    Ok(found)
}
