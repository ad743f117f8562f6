//! What is sent: `ExportTraceServiceRequest` in its JSON form. Source: opentelemetry-proto, `trace.proto`, `common.proto` and
//! the specification's "JSON Protobuf Encoding": lowerCamelCase names, ids in hexadecimal digits, enums as numbers, 64-bit
//! numbers as text.

use serde::Serialize;

/// `SPAN_KIND_INTERNAL`
const INTERNAL: u8 = 1;
/// `STATUS_CODE_UNSET` and `STATUS_CODE_ERROR`
const UNSET: u8 = 0;
const ERROR: u8 = 2;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    resource_spans: [ResourceSpans; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    resource: Resource,
    scope_spans: [ScopeSpans; 1],
}

#[derive(Debug, Serialize)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Debug, Serialize)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<Span>,
}

#[derive(Debug, Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) parent_span_id: String,
    pub(super) name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    pub(super) attributes: Vec<Attribute>,
    pub(super) events: Vec<Event>,
    status: Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    time_unix_nano: String,
    name: String,
    attributes: Vec<Attribute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Status {
    code: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Value {
    StringValue(String),
    IntValue(String),
}

impl Attribute {
    pub(super) fn text(key: &'static str, value: &str) -> Self {
        Self { key, value: Value::StringValue(value.to_owned()) }
    }

    pub(super) fn number(key: &'static str, value: u64) -> Self {
        Self { key, value: Value::IntValue(value.to_string()) }
    }
}

impl Event {
    pub(super) fn new(at_ms: u64, name: &str, attributes: Vec<Attribute>) -> Self {
        Self { time_unix_nano: nanos(at_ms), name: name.to_owned(), attributes }
    }
}

impl Span {
    /// `failure`: it failed, and why.
    pub(super) fn new(
        (trace_id, span_id, parent_span_id): (String, String, String),
        name: &str,
        (start_ms, end_ms): (u64, u64),
        failure: Option<&str>,
    ) -> Self {
        Self {
            trace_id,
            span_id,
            parent_span_id,
            name: name.to_owned(),
            kind: INTERNAL,
            start_time_unix_nano: nanos(start_ms),
            end_time_unix_nano: nanos(end_ms),
            attributes: Vec::new(),
            events: Vec::new(),
            status: Status {
                code: if failure.is_some() { ERROR } else { UNSET },
                message: failure.unwrap_or_default().to_owned(),
            },
        }
    }
}

impl Request {
    pub(super) fn of(companion: &str, spans: Vec<Span>) -> Self {
        // Names of OpenTelemetry's semantic conventions for resources.
        let attributes = vec![
            Attribute::text("service.name", "firstlight"),
            Attribute::text("service.version", env!("CARGO_PKG_VERSION")),
            Attribute::text("service.instance.id", companion),
        ];
        let scope = Scope { name: "firstlight", version: env!("CARGO_PKG_VERSION") };
        let scope_spans = [ScopeSpans { scope, spans }];
        Self { resource_spans: [ResourceSpans { resource: Resource { attributes }, scope_spans }] }
    }
}

fn nanos(ms: u64) -> String {
    (u128::from(ms) * 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_form_is_that_of_the_specification() {
        let mut span = Span::new(("ab".into(), "cd".into(), String::new()), "restore", (1, 3), Some("no"));
        span.attributes = vec![Attribute::text("a", "b"), Attribute::number("n", 7)];
        span.events = vec![Event::new(2, "retry", vec![])];
        let wanted = json!({ "resourceSpans": [{
            "resource": { "attributes": [
                { "key": "service.name", "value": { "stringValue": "firstlight" } },
                { "key": "service.version", "value": { "stringValue": env!("CARGO_PKG_VERSION") } },
                { "key": "service.instance.id", "value": { "stringValue": "pve1" } }] },
            "scopeSpans": [{
                "scope": { "name": "firstlight", "version": env!("CARGO_PKG_VERSION") },
                "spans": [{
                    "traceId": "ab", "spanId": "cd", "name": "restore", "kind": 1,
                    "startTimeUnixNano": "1000000", "endTimeUnixNano": "3000000",
                    "attributes": [
                        { "key": "a", "value": { "stringValue": "b" } },
                        { "key": "n", "value": { "intValue": "7" } }],
                    "events": [{ "timeUnixNano": "2000000", "name": "retry", "attributes": [] }],
                    "status": { "code": 2, "message": "no" } }] }] }] });
        assert_eq!(serde_json::to_value(Request::of("pve1", vec![span])).unwrap(), wanted);
        assert_eq!(nanos(u64::MAX), "18446744073709551615000000");
    }
}
