//! Forms that change something: each carries its session's token, which no other site can know.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::page::{Page, problem};
use crate::http::visit::{Visit, Visitor};
use crate::outcome::Fault;

/// What a form may have beside its token; each uses its part.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    csrf: String,
    pub(super) reason: String,
}

/// A form that was sent from a page of this very session.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) visit: Visit,
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

impl<S: Send + Sync> FromRequest<S> for Signed {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let visit = request.extensions().get::<Visit>().cloned();
        let Some((visit, visitor)) = visit.and_then(|visit| Some((visit.clone(), visit.visitor?))) else {
            return Err(StatusCode::UNAUTHORIZED.into_response());
        };
        let form: Result<Form<Fields>, FormRejection> = Form::from_request(request, state).await;
        let Ok(Form(fields)) = form else {
            let fault = Fault::new("bad-form", "the form cannot be read").with_hint("nothing was done");
            return Err(problem(Page::new(&visit, "Not possible", ""), StatusCode::BAD_REQUEST, &fault));
        };
        if !bool::from(fields.csrf.as_bytes().ct_eq(visitor.session.csrf.as_bytes())) {
            let fault = Fault::new("stale-form", "this form was not made for your session")
                .with_hint("go back, load the page again, and send its form; nothing was done");
            return Err(problem(Page::new(&visit, "Not possible", ""), StatusCode::FORBIDDEN, &fault));
        }
        Ok(Self { visit, visitor, fields })
    }
}
