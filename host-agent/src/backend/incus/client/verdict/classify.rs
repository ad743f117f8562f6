//! From an answer, or from what became of the connection, to a class.

use std::collections::BTreeMap;

use firstlight_shared::text::escape;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::text::{Place, judge};
use super::{ApiError, Class, Code, Failure, FailureKind, Unsent};
use crate::backend::incus::client::call::{Call, Method};
use crate::backend::incus::client::endpoint::Answered;
use crate::backend::incus::client::operation::OperationId;

/// As it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    /// `X-Incus-*` and `Date`, in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Answer(Answer),
    Failure(Failure),
}

/// Every answer that is no file.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "type")]
    kind: String,
    /// Of an asynchronous answer: `/1.0/operations/UUID`.
    #[serde(default)]
    operation: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_code: u16,
    #[serde(default)]
    metadata: Value,
}

/// A good answer.
///
/// # Errors
/// Everything else, with its class.
pub fn classify(call: &Call, reply: &Reply) -> Result<Answered, ApiError> {
    let error = |class, status, text: &str| ApiError {
        method: call.method,
        path: call.path.as_str().into(),
        class,
        status,
        text: shown(text).into(),
    };
    let answer = match reply {
        Reply::Failure(failure) => return Err(error(of_failure(call.method, failure), None, &failure.text)),
        Reply::Answer(answer) => answer,
    };
    let is_good = (200..300).contains(&answer.status);
    let answered =
        Answered { etag: answer.etag.clone(), headers: answer.headers.clone(), ..Answered::default() };
    if is_good && call.raw {
        return Ok(Answered { bytes: answer.body.clone(), ..answered });
    }
    let status = Some(answer.status);
    if call.method == Method::Head {
        // Nothing is said in words.
        return Err(error(of_status_alone(answer.status), status, "no words"));
    }
    let Ok(document) = serde_json::from_slice::<Document>(&answer.body) else {
        let text = String::from_utf8_lossy(&answer.body);
        let text = text.lines().next().filter(|line| !line.trim().is_empty()).unwrap_or("no words");
        let class = if is_good { unreadable(call.method) } else { of_status(call.method, answer.status) };
        return Err(error(class, status, text));
    };
    if document.kind == "error" || !is_good {
        let code = if document.error_code == 0 { answer.status } else { document.error_code };
        return Err(error(of_words(call, code, &document.error), Some(code), &document.error));
    }
    let answered = Answered { metadata: document.metadata, ..answered };
    if document.kind == "async" {
        let Ok(operation) = OperationId::of_path(&document.operation) else {
            return Err(error(unreadable(call.method), status, "the answer names no operation"));
        };
        return Ok(Answered { operation: Some(operation), ..answered });
    }
    Ok(answered)
}

/// Of a good status whose body cannot be read: a read is to be reported, anything else has probably been done.
pub(in crate::backend::incus::client) fn unreadable(method: Method) -> Class {
    if method.changes() { Class::MaybeApplied } else { Class::Rejected(Code::Unreadable) }
}

fn of_failure(method: Method, failure: &Failure) -> Class {
    match (failure.sent, failure.kind) {
        (false, FailureKind::WrongCertificate) => Class::NeverSent(Unsent::WrongCertificate),
        (false, _) => Class::NeverSent(Unsent::Unreachable),
        (true, FailureKind::TooLarge) if !method.changes() => Class::Rejected(Code::TooLarge),
        (true, _) => Class::MaybeApplied,
    }
}

/// What somebody between us and the server answers, too.
fn of_status(method: Method, status: u16) -> Class {
    match status {
        // The server says so of itself in a document; of a gateway nobody knows what it passed on.
        502..=504 if method.changes() => Class::MaybeApplied,
        502..=504 => Class::NeverSent(Unsent::NotReady),
        401 | 403 => Class::Denied,
        400..=499 => Class::Rejected(Code::InvalidRequest),
        _ => Class::Rejected(Code::ServerError),
    }
}

/// Of a question without a document as its answer, by the server itself.
fn of_status_alone(status: u16) -> Class {
    if status == 404 { Class::Gone } else { of_status(Method::Head, status) }
}

fn of_words(call: &Call, status: u16, text: &str) -> Class {
    let place = Place::Request { method: call.method, path: &call.path };
    match status {
        // Of its database nobody knows when it went away.
        503 if call.method.changes() && judge(place, text).is_none() => return Class::MaybeApplied,
        412 => return Class::Rejected(Code::ChangedMeanwhile),
        _ => {}
    }
    if let Some(class) = judge(place, text) {
        return class;
    }
    match status {
        401 | 403 => Class::Denied,
        404 => Class::Gone,
        503 => Class::NeverSent(Unsent::NotReady),
        409 => Class::Rejected(Code::Exists),
        400 => Class::Rejected(Code::InvalidRequest),
        501 => Class::Rejected(Code::NotSupported),
        _ => Class::Rejected(Code::ServerError),
    }
}

fn shown(text: &str) -> String {
    escape(text.trim(), 2000)
}
