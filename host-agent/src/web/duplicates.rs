//! *Duplicates*: identities that two guests told, ever, and what to do about each.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use firstlight_shared::text::escape;
use serde::Deserialize;

use super::Web;
use super::page::{Page, Trouble, Visited, rendered};
use super::words::encoded;
use crate::bringup::{SharedFilter, SharedIdentity};

/// Identities of one page.
const PAGE: usize = 50;
/// Characters of a value; the whole of every one that is no guest's invention.
const VALUE: usize = 120;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DuplicatesQuery {
    before: String,
}

#[derive(Template)]
#[template(path = "duplicates.html")]
struct Duplicates {
    page: Page,
    open: u64,
    past: u64,
    shared: Vec<Shared>,
    next: String,
    is_first: bool,
}

/// One identity.
struct Shared {
    kind: String,
    value: String,
    open: bool,
    holders: Vec<Holder>,
    more: u64,
    advice: String,
    commands: Vec<String>,
}

struct Holder {
    guest: String,
    href: String,
    gone: bool,
    from: String,
}

pub(super) async fn list(
    State(web): State<Web>,
    Visited(visit): Visited,
    Query(query): Query<DuplicatesQuery>,
) -> Result<Response, Trouble> {
    let before = Some(query.before).filter(|before| SharedFilter::is_place(before));
    let is_first = before.is_none();
    let found = web.service.duplicates(&SharedFilter { limit: PAGE, before }).await;
    let found = found.map_err(|error| Trouble::store(&visit, &error))?;
    Ok(rendered(&Duplicates {
        page: Page::new(&visit, "Duplicates", "duplicates"),
        open: found.open,
        past: found.total.saturating_sub(found.open),
        shared: found.duplicates.into_iter().map(shared).collect(),
        next: found.next.map(|next| format!("/ui/duplicates?before={}", encoded(&next))).unwrap_or_default(),
        is_first,
    }))
}

/// Pure.
fn shared(one: SharedIdentity) -> Shared {
    let shown = u64::try_from(one.holders.len()).unwrap_or(u64::MAX);
    Shared {
        kind: escape(&one.kind, 40),
        value: escape(&one.value, VALUE),
        open: one.open,
        more: one.holder_count.saturating_sub(shown),
        holders: one
            .holders
            .into_iter()
            .map(|holder| Holder {
                href: format!("/ui/jobs/{}", encoded(&holder.job)),
                guest: escape(&holder.guest, 80),
                gone: holder.gone,
                from: escape(holder.from.as_deref().unwrap_or_default(), 80),
            })
            .collect(),
        advice: escape(&one.advice, 1000),
        commands: one.commands.iter().map(|command| escape(command, 300)).collect(),
    }
}
