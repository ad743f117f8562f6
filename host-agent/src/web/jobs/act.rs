//! An operator's wish: first a page that says what it means, then the form of that page carries it out.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use firstlight_shared::text::escape;

use super::super::Web;
use super::super::form::Signed;
use super::super::page::{Page, Trouble, Visited, problem, rendered};
use super::super::words::{Badge, badge, encoded};
use super::action::{Action, offered};
use crate::bringup::GuestView;
use crate::http::visit::Visit;
use crate::outcome::Fault;

/// Characters of a reason that are kept.
const REASON_LIMIT: usize = 500;

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm {
    page: Page,
    action: Action,
    guest: String,
    job: String,
    badge: Badge,
}

pub(in crate::web) async fn confirm(
    State(web): State<Web>,
    Visited(visit): Visited,
    Path((id, action)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    let (action, job) = find(&web, &visit, &id, &action).await?;
    let title = format!("{} {}", action.label(), job.name);
    let page = Page::new(&visit, &title, "jobs");
    if !page.may_act {
        let fault = Fault::new("read-only", "your role may look and change nothing")
            .with_hint("sign in with the token of an operator");
        return Ok(problem(page, StatusCode::FORBIDDEN, &fault));
    }
    if !offered(&job).contains(&action) {
        return Err(not_now(&visit, &job, action));
    }
    Ok(rendered(&Confirm {
        page,
        action,
        guest: escape(&job.name, 80),
        job: encoded(&job.job),
        badge: badge(job.state),
    }))
}

pub(in crate::web) async fn ask(
    State(web): State<Web>,
    Path((id, action)): Path<(String, String)>,
    form: Signed,
) -> Result<Response, Trouble> {
    let visit = &form.visit;
    let (action, job) = find(&web, visit, &id, &action).await?;
    let (who, service) = (&form.visitor.identity.who, &web.service);
    let reason = match form.fields.reason.trim() {
        "" => format!("{} on the pages", action.name()),
        reason => escape(reason, REASON_LIMIT),
    };
    let asked = match action {
        Action::Cancel => service.cancel(&job.job, who, &reason).await,
        Action::Retry => service.retry(&job.job, false, who).await,
        Action::Anew => service.retry(&job.job, true, who).await,
        Action::Abandon => service.abandon(&job.job, who, &reason).await,
        Action::Destroy => {
            // By name another job of it would be hit, should there be one meanwhile.
            let has_it = service.resolve(&job.name).await.map_err(|error| Trouble::store(visit, &error))?;
            if has_it.as_deref() != Some(&job.job) {
                return Err(not_now(visit, &job, action));
            }
            service.destroy(&job.name, who, &reason).await
        }
    };
    let follow = asked.map_err(|fault| Trouble::of(visit, fault))?;
    // One that begins anew after this one is undone is not there yet: this one's page leads to it.
    let is_there = web.service.line(&follow).await.map_err(|error| Trouble::store(visit, &error))?.is_some();
    let shown = if is_there { &follow } else { &job.job };
    let to = format!("/ui/jobs/{}?asked={}", encoded(shown), action.name());
    Ok(Redirect::to(&to).into_response())
}

async fn find(web: &Web, visit: &Visit, id: &str, action: &str) -> Result<(Action, GuestView), Trouble> {
    let found = Action::of(action).ok_or_else(|| Trouble::missing(visit, "action", action))?;
    let job = web.service.view(id).await.map_err(|error| Trouble::store(visit, &error))?;
    Ok((found, job.ok_or_else(|| Trouble::missing(visit, "job", id))?))
}

fn not_now(visit: &Visit, job: &GuestView, action: Action) -> Trouble {
    let message = format!(
        "`{}` makes no sense for job {} of guest {} now: it is {}",
        action.name(),
        job.job,
        escape(&job.name, 80),
        badge(job.state).word
    );
    Trouble::of(visit, Fault::new("job-not-so", message).with_hint("its page tells what can be done"))
}
