//! What a call is answered with: data, or a refusal in the words of the real API.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// What goes back on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Goes into the status line.
    pub reason: String,
    pub body: Body,
    /// How long the real daemon needs for it, before scaling.
    pub after: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Json(Value),
    /// Errors of the HTTP layer.
    Plain(String),
    /// Neither body nor Content-Length: 401, 595 and 596.
    None,
}

impl Answer {
    pub fn data(data: Value) -> Self {
        Self::json(json!({ "data": data }))
    }

    /// Lists of tasks and log lines carry their total beside the data.
    pub fn counted(data: Vec<Value>, total: usize) -> Self {
        Self::json(json!({ "data": data, "total": total }))
    }

    fn json(body: Value) -> Self {
        Self { status: 200, reason: "OK".into(), body: Body::Json(body), after: Duration::ZERO }
    }

    /// A status line with nothing behind it.
    pub fn bare(status: u16, reason: &str) -> Self {
        Self { status, reason: reason.into(), body: Body::None, after: Duration::ZERO }
    }

    /// The HTTP layer's own words, which are no JSON.
    pub fn plain(status: u16, text: &str) -> Self {
        Self { status, reason: first_line(text), body: Body::Plain(text.into()), after: Duration::ZERO }
    }

    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// The body's `data`, where there is one.
    pub fn value(&self) -> Option<&Value> {
        match &self.body {
            Body::Json(value) => value.get("data"),
            _ => None,
        }
    }

    /// As `/api2/extjs` tells it: always 200, the outcome inside.
    pub fn as_extjs(mut self) -> Self {
        let Body::Json(Value::Object(body)) = &mut self.body else { return self };
        body.insert("success".into(), json!(u8::from(self.status == 200)));
        if self.status != 200 {
            body.insert("status".into(), json!(self.status));
        }
        (self.status, self.reason) = (200, "OK".into());
        self
    }
}

/// A call that was not carried out, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    message: String,
    errors: BTreeMap<String, String>,
    after: Duration,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: BTreeMap::new(), after: Duration::ZERO }
    }

    /// A plain `die` in the API's code: 500 with the text as reason.
    pub fn died(text: impl Into<String>) -> Self {
        Self::new(500, text)
    }

    pub fn forbidden(path: &str, privileges: &str) -> Self {
        Self::new(403, format!("Permission check failed ({path}, {privileges})"))
    }

    /// 403 with other words between the brackets.
    pub fn forbidden_because(why: &str) -> Self {
        Self::new(403, format!("Permission check failed ({why})"))
    }

    /// 403 that names neither path nor privilege.
    pub fn forbidden_without_words() -> Self {
        Self::new(403, "Permission check failed")
    }

    pub fn parameter(name: &str, text: impl Into<String>) -> Self {
        Self::parameters(BTreeMap::from([(name.to_owned(), text.into())]))
    }

    pub fn parameters(errors: BTreeMap<String, String>) -> Self {
        Self { errors, ..Self::new(400, "Parameter verification failed.") }
    }

    /// 500 with a map of errors, too.
    pub fn died_with(text: &str, errors: &[(&str, &str)]) -> Self {
        let errors = errors.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Self { errors, ..Self::new(500, text) }
    }

    pub fn not_implemented(method: &str, path: &str) -> Self {
        Self::new(501, format!("Method '{method} {path}' not implemented"))
    }

    /// The proxy's pseudo codes: 595 and 596 have no body.
    pub fn relay(status: u16, text: &str) -> Self {
        Self::new(status, text)
    }

    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// The text as it stands in a task's exit status, where exceptions show their code.
    pub fn in_task(&self) -> String {
        if self.status == 500 { self.message.clone() } else { format!("{} {}", self.status, self.message) }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, message, errors, after } = refusal;
        let reason = first_line(&message);
        if matches!(status, 595 | 596) {
            return Answer::bare(status, &reason).after(after);
        }
        let mut body = Map::new();
        body.insert("data".into(), Value::Null);
        body.insert("message".into(), json!(if status == 501 { message } else { format!("{message}\n") }));
        if !errors.is_empty() {
            body.insert("errors".into(), json!(errors));
        }
        Answer { status, reason, body: Body::Json(Value::Object(body)), after }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
