//! Errors as the API answers them: a status and a [`Fault`].

use axum::Json;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use firstlight_shared::error::{Chain, Code};
use firstlight_shared::text::escape;

use crate::bringup::SubmitError;
use crate::job::JournalError;
use crate::outcome::Fault;
use crate::store::StoreError;

/// Seconds after which a client may ask again when the store is gone.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a request was not carried out.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub fault: Fault,
}

impl ApiError {
    /// The request itself cannot be understood.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, fault: Fault::new("bad-request", message) }
    }

    pub(super) fn no_such_job(name: &str) -> Self {
        let fault = Fault::new("no-such-job", format!("there is no job or guest `{}`", escape(name, 80)));
        fault.with_hint("`firstlight jobs` lists what there is").into()
    }
}

/// The status that fits a fault's code.
pub(crate) fn status_of(code: &str) -> StatusCode {
    match code {
        "bad-request" => StatusCode::BAD_REQUEST,
        "no-such-job" | "no-such-guest" | "no-such-route" | "no-such-snapshot" | "no-such-webhook"
        | "no-ssh-ca" => StatusCode::NOT_FOUND,
        "guest-exists"
        | "guest-differs"
        | "guest-unwinding"
        | "guest-needs-operator"
        | "guest-not-ours"
        | "guest-gone"
        | "guest-busy"
        | "guest-not-ready"
        | "change-in-progress"
        | "snapshot-exists"
        | "not-a-guest"
        | "guest-changed"
        | "guest-known"
        | "fenced"
        | "request-pending" => StatusCode::CONFLICT,
        "journal-unreadable" => StatusCode::INTERNAL_SERVER_ERROR,
        "store-backup-there" => StatusCode::UNPROCESSABLE_ENTITY,
        "store-damaged" | "store-newer" | "store-address" | "store-sequence" | "store-file"
        | "store-backup" => StatusCode::INTERNAL_SERVER_ERROR,
        "journal" | "store" => StatusCode::SERVICE_UNAVAILABLE,
        code if code.starts_with("store-") => StatusCode::SERVICE_UNAVAILABLE,
        code if code.starts_with("cannot-") || code.starts_with("job-") => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.fault)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
        }
        response
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let status = status_of(&fault.code);
        if status.is_server_error() {
            tracing::error!(error = %fault, code = %fault.code, "a request could not be carried out");
        }
        Self { status, fault }
    }
}

/// The cause goes to the log, once; the client learns what it can do.
fn failed(error: &(impl Code + std::error::Error), hint: Option<&str>) -> ApiError {
    tracing::error!(error = %Chain(error), code = error.code(), "a request could not be carried out");
    let hint = hint.unwrap_or("the companion's log tells more; the same request may be made again");
    ApiError {
        status: status_of(error.code()),
        fault: Fault::new(error.code(), error.to_string()).with_hint(hint),
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        failed(&error, error.hint())
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Store { .. } => failed(&error, None),
            refused => Fault::new(refused.code(), refused.to_string()).into(),
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(fault) => fault.into(),
            SubmitError::Journal(error) => error.into(),
        }
    }
}

pub(super) async fn no_such_route(uri: Uri) -> ApiError {
    let fault = Fault::new("no-such-route", format!("there is nothing at `{}`", escape(uri.path(), 200)));
    fault.with_hint("/v1/openapi.json describes what there is").into()
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("`{}` does not take {method}", escape(uri.path(), 200));
    let fault = Fault::new("method", message).with_hint("/v1/openapi.json describes what there is");
    ApiError { status: StatusCode::METHOD_NOT_ALLOWED, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_has_its_status() {
        for (code, status) in [
            ("bad-request", 400),
            ("no-such-guest", 404),
            ("guest-exists", 409),
            ("guest-unwinding", 409),
            ("guest-needs-operator", 409),
            ("guest-not-ours", 409),
            ("cannot-retry", 409),
            ("request-pending", 409),
            ("job-ended", 409),
            ("golden-missing", 422),
            ("no-such-backend", 422),
            ("store-damaged", 500),
            ("store-query", 503),
            ("journal", 503),
        ] {
            assert_eq!(status_of(code).as_u16(), status, "{code}");
        }
    }

    #[test]
    fn who_finds_the_store_gone_is_told_when_to_come_back() {
        let gone = ApiError::from(StoreError::Damaged { store: "x".into(), what: "y".into() });
        assert_eq!(gone.status.as_u16(), 500);
        let source = std::io::Error::other("no space").into();
        let response = ApiError::from(JournalError::Store { job: "j".into(), source }).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "5");
    }
}
