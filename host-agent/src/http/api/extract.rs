//! What handlers take from a request. Whatever is wrong is told by name.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use firstlight_shared::text::escape;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::http::auth::Identity;
use crate::outcome::Fault;

/// The request's body as JSON; nothing at all counts as `{}`. Unknown fields are errors, however deep.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection))?;
        parse(if bytes.is_empty() { b"{}" } else { &bytes }).map(Body)
    }
}

fn unread(rejection: &BytesRejection) -> ApiError {
    let status = rejection.status();
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "too-large" } else { "bad-request" };
    ApiError {
        status,
        fault: Fault::new(code, format!("the request cannot be read: {}", rejection.body_text())),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut unknown = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let parsed = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
    let parsed = parsed.and_then(|value| json.end().map(|()| value));
    match (parsed, unknown.first()) {
        (Ok(value), None) => Ok(value),
        (Ok(_), Some(field)) => {
            Err(ApiError::malformed(format!("the request has an unknown field `{}`", escape(field, 100))))
        }
        (Err(error), _) if error.is_data() => {
            let (path, what) = (track.path().to_string(), escape(&error.to_string(), 300));
            let place = if path == "." { String::new() } else { format!("`{}`: ", escape(&path, 100)) };
            Err(ApiError::malformed(format!("the request is wrong: {place}{what}")))
        }
        (Err(error), _) => {
            Err(ApiError::malformed(format!("the request is not JSON: {}", escape(&error.to_string(), 300))))
        }
    }
}

/// What stands behind the `?` of the address.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let what = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(ApiError::malformed(format!("the query is wrong: {}", escape(what, 300))))
            }
        }
    }
}

/// Who asks, for the journal. Without a listener that tells, a test's call for one, it is the operator.
#[derive(Debug)]
pub(super) struct By(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let identity = parts.extensions.get::<Identity>();
        Ok(Self(identity.map_or_else(|| "operator".to_owned(), |identity| identity.who.clone())))
    }
}

/// A list in one parameter, joined by commas.
pub(super) fn split(list: &str) -> Vec<String> {
    list.split(',').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::{CancelRequest, UpRequest};

    #[test]
    fn what_is_wrong_is_named() {
        let guest = r#"{"backend":"local","plan":{"name":"a","golden":"/g","sice":1},"intent":"provision","keep_on_failure":false,"timeout_ms":1,"require":[]}"#;
        for (body, names) in [
            ("{", "not JSON"),
            ("[1]", "wrong"),
            ("[] []", "not JSON"),
            ("{\"reason\": 1}", "`reason`"),
            ("{\"raeson\": \"x\"}", "`raeson`"),
            ("{} x", "not JSON"),
        ] {
            let error = parse::<CancelRequest>(body.as_bytes()).unwrap_err();
            assert_eq!(error.status, StatusCode::BAD_REQUEST);
            assert!(error.fault.message.contains(names), "{body}: {}", error.fault.message);
        }
        for (body, names) in [
            (format!("{{\"guests\":[{guest}]}}"), "`guests.0.plan.sice`"),
            (
                format!("{{\"guests\":[{}]}}", guest.replace("\"sice\":1", "\"size\":{\"cores\":\"two\"}")),
                "`guests[0].plan.size.cores`",
            ),
            (
                format!("{{\"guests\":[{}]}}", guest.replace("\"a\"", "\"-\"").replace(",\"sice\":1", "")),
                "`guests[0].plan.name`",
            ),
            ("{}".to_owned(), "`guests`"),
        ] {
            let error = parse::<UpRequest>(body.as_bytes()).unwrap_err();
            assert!(error.fault.message.contains(names), "{body}: {}", error.fault.message);
        }
    }
}
