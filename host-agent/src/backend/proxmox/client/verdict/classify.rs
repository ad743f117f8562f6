//! From an answer, or from what became of the connection, to a class.

use std::collections::BTreeMap;

use firstlight_shared::text::escape;
use serde_json::Value;

use super::text::{Place, judge};
use super::{ApiError, Class, Code, Failure, FailureKind, Unsent};
use crate::backend::proxmox::client::call::Method;

/// As it came over the wire, the token taken out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The status line's words.
    pub reason: String,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Answer(Answer),
    Failure(Failure),
}

/// The `data` of a good answer.
///
/// # Errors
/// Everything else, with its class.
pub fn classify(method: Method, path: &str, reply: &Reply) -> Result<Value, ApiError> {
    let error = |class, status, text: &str, parameters| ApiError {
        method,
        path: path.into(),
        class,
        status,
        text: shown(text).into(),
        parameters,
    };
    let answer = match reply {
        Reply::Failure(failure) => {
            return Err(error(of_failure(method, failure), None, &failure.text, BTreeMap::new()));
        }
        Reply::Answer(answer) => answer,
    };
    let said = Said::of(answer);
    if (200..300).contains(&answer.status) {
        return said.data.ok_or_else(|| {
            error(
                unreadable(method),
                Some(answer.status),
                "the answer is not what Proxmox answers",
                BTreeMap::new(),
            )
        });
    }
    let class = of_answer(method, path, answer.status, &said);
    Err(error(class, Some(answer.status), &said.text, said.parameters))
}

/// Of a good status whose body cannot be read: a read is to be reported, anything else has probably been done.
pub(in crate::backend::proxmox::client) fn unreadable(method: Method) -> Class {
    if method.changes() {
        Class::MaybeApplied
    } else {
        Class::Rejected { code: Code::Unreadable, kept: false }
    }
}

fn of_failure(method: Method, failure: &Failure) -> Class {
    match (failure.sent, failure.kind) {
        (false, FailureKind::WrongCertificate) => Class::NeverSent(Unsent::WrongCertificate),
        (false, _) => Class::NeverSent(Unsent::Unreachable),
        (true, FailureKind::TooLarge) => unreadable(method), // it would be as large the next time
        (true, _) => Class::MaybeApplied,
    }
}

/// What the server said, wherever it put it.
struct Said {
    data: Option<Value>,
    text: String,
    parameters: BTreeMap<String, String>,
}

impl Said {
    fn of(answer: &Answer) -> Self {
        let body = serde_json::from_slice::<Value>(&answer.body).ok().filter(Value::is_object);
        let message = body.as_ref().and_then(|body| body.get("message")?.as_str()).unwrap_or_default().trim();
        let plain = match &body {
            Some(_) => String::new(),
            None => {
                String::from_utf8_lossy(&answer.body).lines().next().unwrap_or_default().trim().to_owned()
            }
        };
        // Older servers have the text in the status line alone.
        let candidates = [message, answer.reason.trim(), &plain];
        let text = candidates.into_iter().find(|text| !text.is_empty()).unwrap_or("no words");
        let parameters = body.as_ref().and_then(|body| body.get("errors")?.as_object()).into_iter().flatten();
        let parameters = parameters
            .map(|(name, text)| (shown(name), shown(text.as_str().unwrap_or_default().trim())))
            .collect();
        let text = text.to_owned();
        Self { data: body.and_then(|mut body| body.get_mut("data").map(Value::take)), text, parameters }
    }
}

fn of_answer(method: Method, path: &str, status: u16, said: &Said) -> Class {
    match status {
        401 => return Class::Rejected { code: Code::Unauthenticated, kept: false },
        // Pseudo codes of the proxy before the daemons, and gateways before it: what is behind them may go on.
        502..=504 | 595..=599 => return Class::MaybeApplied,
        _ => {}
    }
    let place = Place::Request { method, path };
    // A parameter's text tells more: a storage lock, or a VMID that is taken, comes as a wrong parameter.
    let parameters = said.parameters.values().find_map(|text| judge(place, text));
    if let Some(class) = parameters.or_else(|| judge(place, &said.text)) {
        return class;
    }
    match status {
        403 => Class::Denied { path: None, privileges: Vec::new() },
        400 => Class::Rejected { code: Code::InvalidParameter, kept: hotplug_failed(said) },
        501 | 506 => Class::Rejected { code: Code::NotImplemented, kept: false },
        _ => Class::Rejected {
            code: Code::ServerError,
            kept: status >= 500 && writes_configuration(method, path),
        },
    }
}

/// A running machine's PUT: refused, and pending all the same.
fn hotplug_failed(said: &Said) -> bool {
    said.parameters.values().any(|text| text.starts_with("hotplug problem"))
}

/// It writes first and applies afterwards.
pub(super) fn writes_configuration(method: Method, path: &str) -> bool {
    method == Method::Put && path.ends_with("/config")
}

fn shown(text: &str) -> String {
    escape(text.trim(), 2000)
}
