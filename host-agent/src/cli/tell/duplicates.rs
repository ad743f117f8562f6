//! `firstlight duplicates`.

use super::super::args::Page;
use super::super::client::query;
use super::super::failure::{Exit, Failure};
use super::super::live::say;
use super::super::{Session, print, render};
use crate::bringup::DuplicatePage;
use crate::report::text::{Look, duplicates as drawn};

pub(super) async fn duplicates(
    session: &Session,
    page: &Page,
    json: bool,
    look: Look,
) -> Result<Exit, Failure> {
    let (limit, before) = (page.limit.to_string(), page.before.as_deref().unwrap_or_default());
    let query = query(&[("limit", &limit), ("before", before)]);
    let found: DuplicatePage = session.client.get(&format!("/v1/duplicates{query}")).await?;
    print(&if json { render::json(&found) } else { drawn(&found, look) })?;
    if let Some(next) = found.next.as_ref().filter(|_| !json) {
        say(&format!("there are more duplicates: go on with --before {next}"));
    }
    Ok(if found.open > 0 { Exit::NotReady } else { Exit::Ok })
}
