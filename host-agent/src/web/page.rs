//! What all pages have in common: the frame around them, errors, and how a template becomes an answer.

use std::convert::Infallible;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use firstlight_shared::error::{Chain, Code};
use firstlight_shared::text::escape;

use super::assets::VERSION;
use crate::config::Role;
use crate::http::api::status_of;
use crate::http::session::Way;
use crate::http::visit::Visit;
use crate::outcome::Fault;
use crate::store::StoreError;

/// The frame of a page.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) title: String,
    /// Which entry of the navigation it belongs to; empty: none.
    pub(super) section: &'static str,
    /// Who is signed in; empty: nobody.
    pub(super) who: String,
    pub(super) role: &'static str,
    /// The visitor may change something.
    pub(super) may_act: bool,
    /// What each form carries.
    pub(super) csrf: String,
    /// What the script does with changes: `rows` swaps those that changed, `page` fetches the whole page again; empty:
    /// nothing.
    pub(super) live: &'static str,
    /// Whose changes matter to `page`: a job's id; empty: everybody's.
    pub(super) subject: String,
    pub(super) assets: &'static str,
}

impl Page {
    pub(super) fn new(visit: &Visit, title: &str, section: &'static str) -> Self {
        let visitor = visit.visitor.as_ref();
        let role = visitor.map(|one| one.identity.role);
        Self {
            title: escape(title, 120),
            section,
            who: visitor.map(|one| escape(&one.identity.who, 80)).unwrap_or_default(),
            role: match role {
                Some(Role::Operator) => "operator",
                Some(Role::Read) => "may look only",
                None => "",
            },
            may_act: role == Some(Role::Operator),
            csrf: visitor.map(|one| one.session.csrf.clone()).unwrap_or_default(),
            live: "",
            subject: String::new(),
            assets: &VERSION,
        }
    }

    pub(super) fn live(self, how: &'static str) -> Self {
        Self { live: how, ..self }
    }
}

/// Who asks for the page; from the gate. A test's call without one is a stranger's.
#[derive(Debug)]
pub(super) struct Visited(pub(super) Visit);

impl<S: Send + Sync> FromRequestParts<S> for Visited {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let visit = parts.extensions.get::<Visit>().cloned();
        Ok(Self(visit.unwrap_or(Visit { way: Way::Tls, visitor: None })))
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'a> {
    page: Page,
    message: &'a str,
    hint: &'a str,
    code: &'a str,
}

/// A page that says why there is no other.
pub(super) fn problem(page: Page, status: StatusCode, fault: &Fault) -> Response {
    let hint = fault.hint.as_deref().unwrap_or("go back and try again");
    let page = Problem {
        page,
        message: &escape(&fault.message, 2000),
        hint: &escape(hint, 1000),
        code: &escape(&fault.code, 60),
    };
    (status, rendered(&page)).into_response()
}

/// Why a page could not be shown, or a wish not be carried out.
#[derive(Debug)]
pub(super) struct Trouble {
    visit: Visit,
    status: StatusCode,
    fault: Fault,
}

impl Trouble {
    pub(super) fn of(visit: &Visit, fault: Fault) -> Self {
        Self { visit: visit.clone(), status: status_of(&fault.code), fault }
    }

    /// The cause goes to the log.
    pub(super) fn store(visit: &Visit, error: &StoreError) -> Self {
        tracing::error!(error = %Chain(error), code = error.code(), "a page could not be shown");
        let hint = error.hint().unwrap_or("the companion's log tells more; try again");
        Self::of(visit, Fault::new(error.code(), error.to_string()).with_hint(hint))
    }

    pub(super) fn missing(visit: &Visit, what: &str, name: &str) -> Self {
        let message = format!("there is no {what} `{}`", escape(name, 80));
        let fault = Fault::new("no-such-job", message);
        Self::of(visit, fault.with_hint("it may have been forgotten since; the lists show what there is"))
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        problem(Page::new(&self.visit, "Not possible", ""), self.status, &self.fault)
    }
}

/// A template as an answer.
pub(super) fn rendered(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(super) async fn nothing_here(Visited(visit): Visited) -> Response {
    let fault =
        Fault::new("no-such-page", "there is no such page").with_hint("the navigation leads to all pages");
    problem(Page::new(&visit, "No such page", ""), StatusCode::NOT_FOUND, &fault)
}

pub(super) async fn nothing_to_do(Visited(visit): Visited) -> Response {
    let fault = Fault::new("method", "nothing can be done here").with_hint("use the forms of the pages");
    problem(Page::new(&visit, "Not possible", ""), StatusCode::METHOD_NOT_ALLOWED, &fault)
}
