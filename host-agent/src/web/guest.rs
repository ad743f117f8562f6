//! *Guest*: the report page of one guest, as `crate::report` makes it, with what an operator may do; and its raw report.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use firstlight_shared::text::escape;

use super::Web;
use super::jobs::{Action, offered};
use super::page::{Page, Trouble, Visited, rendered};
use super::words::{Badge, badge, encoded};
use crate::clock::now_ms;
use crate::http::visit::Visit;
use crate::outcome::Fault;
use crate::report::html::{document, fragment};
use crate::report::{GuestReport, gather};

#[derive(Template)]
#[template(path = "guest.html")]
struct Guest {
    page: Page,
    name: String,
    /// In addresses.
    job: String,
    badge: Badge,
    actions: Vec<Action>,
    has_report: bool,
    /// HTML, made by the report's own templates.
    report: String,
}

/// The newest of a name, or a job's own.
pub(super) async fn page(
    State(web): State<Web>,
    Visited(visit): Visited,
    Path(name): Path<String>,
) -> Result<Response, Trouble> {
    let report = find(&web, &visit, &name).await?;
    let view = web.service.view(&report.head.job).await.map_err(|error| Trouble::store(&visit, &error))?;
    let body = fragment(&report).map_err(|error| unmade(&visit, &error))?;
    let head = report.head;
    let page =
        Page { subject: escape(&head.job, 80), ..Page::new(&visit, &head.guest, "fleet").live("page") };
    Ok(rendered(&Guest {
        page,
        name: escape(&head.guest, 80),
        job: encoded(&head.job),
        badge: badge(head.state),
        actions: view.as_ref().map(offered).unwrap_or_default(),
        has_report: head.report_sha256.is_some(),
        report: body,
    }))
}

/// The report as the guest signed it, byte for byte.
pub(super) async fn raw(
    State(web): State<Web>,
    Visited(visit): Visited,
    Path(job): Path<String>,
) -> Result<Response, Trouble> {
    let found = web.service.store.report_texts(std::slice::from_ref(&job)).await;
    let found = found.map_err(|error| Trouble::store(&visit, &error))?;
    let (_, text) =
        found.into_iter().next().ok_or_else(|| Trouble::missing(&visit, "report of job", &job))?;
    Ok(download("application/json", &job, "json", text))
}

/// The page as one file that needs nothing else.
pub(super) async fn file(
    State(web): State<Web>,
    Visited(visit): Visited,
    Path(job): Path<String>,
) -> Result<Response, Trouble> {
    let report = find(&web, &visit, &job).await?;
    let text = document(&report).map_err(|error| unmade(&visit, &error))?;
    Ok(download("application/octet-stream", &job, "html", text))
}

async fn find(web: &Web, visit: &Visit, name: &str) -> Result<GuestReport, Trouble> {
    let found = gather(&web.service, name, now_ms()).await.map_err(|error| Trouble::store(visit, &error))?;
    found.ok_or_else(|| Trouble::missing(visit, "guest or job", name))
}

fn unmade(visit: &Visit, error: &dyn std::error::Error) -> Trouble {
    tracing::error!(%error, "a report page could not be rendered");
    let fault = Fault::new("page", "the page cannot be made").with_hint("the companion's log tells more");
    Trouble::of(visit, fault)
}

/// Saved, never shown: what is in it comes from a guest.
fn download(kind: &'static str, job: &str, end: &str, text: String) -> Response {
    let safe: String = job.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    let name = HeaderValue::from_str(&format!("attachment; filename=\"firstlight-{safe}.{end}\""));
    let name = name.unwrap_or(HeaderValue::from_static("attachment"));
    ([(CONTENT_TYPE, HeaderValue::from_static(kind)), (CONTENT_DISPOSITION, name)], text).into_response()
}
