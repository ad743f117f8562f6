//! Every refusal that was recorded, through the classes.

use std::collections::{BTreeMap, BTreeSet};

use firstlight::backend::incus::client::call::{Call, Method};
use firstlight::backend::incus::client::endpoint::Answered;
use firstlight::backend::incus::client::verdict::{Answer, ApiError, Reply, classify, classify_operation};
use serde::Deserialize;
use serde_json::Value;

/// One line of `facts.jsonl`; the first line of the file says where they come from.
#[derive(Deserialize)]
#[serde(untagged)]
enum Fact {
    Request {
        method: String,
        path: String,
        status: u16,
        json: Value,
        /// How a person reads the answer.
        class: String,
    },
    Operation {
        /// Its description.
        operation: String,
        err: String,
        class: String,
    },
}

fn facts() -> Vec<Fact> {
    let facts: Vec<Fact> =
        include_str!("facts.jsonl").lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(facts.len() > 70, "{} facts", facts.len());
    facts
}

fn answer(call: &Call, status: u16, body: &str) -> Result<Answered, ApiError> {
    let body = body.to_owned().into();
    classify(call, &Reply::Answer(Answer { status, etag: None, headers: BTreeMap::new(), body }))
}

#[test]
fn what_was_recorded_is_read_as_a_person_does() {
    let mut classes = BTreeSet::new();
    for fact in facts() {
        let (found, expected, what) = match fact {
            Fact::Request { method, path, status, json, class } => {
                let method = match method.as_str() {
                    "GET" => Method::Get,
                    "POST" => Method::Post,
                    "PUT" => Method::Put,
                    "PATCH" => Method::Patch,
                    "DELETE" => Method::Delete,
                    other => panic!("{other}"),
                };
                let call = Call::new(method, &path);
                let error = answer(&call, status, &json.to_string()).unwrap_err();
                (error.class, class, format!("{method} {path} {status} {json}"))
            }
            Fact::Operation { operation, err, class } => {
                (classify_operation(&operation, &err), class, format!("{operation}: {err}"))
            }
        };
        assert_eq!(found.to_string(), expected, "{what}");
        classes.insert(expected);
    }
    assert!(classes.len() > 20, "{classes:?}");
}

#[test]
fn good_answers_are_documents_or_operations() {
    let read = Call::new(Method::Get, "/1.0");
    let change = Call::new(Method::Post, "/1.0/instances");
    let good = r#"{"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"","metadata":{"a":1}}"#;
    assert_eq!(answer(&read, 200, good).unwrap().metadata["a"], 1);
    let async_ = r#"{"type":"async","status":"Operation created","status_code":100,"operation":"/1.0/operations/9355e03f-0097-456e-9b21-e0707f35e892?project=lab","error_code":0,"error":"","metadata":{}}"#;
    let id = answer(&change, 202, async_).unwrap().operation.unwrap();
    assert_eq!(id.as_str(), "9355e03f-0097-456e-9b21-e0707f35e892");
    for (call, status, body, class) in [
        (&change, 202, async_.replace("9355e03f", "../../x"), "maybe-applied"),
        (&read, 200, "<html>".to_owned(), "rejected unreadable"),
        (&change, 200, "<html>".to_owned(), "maybe-applied"),
        (&change, 200, String::new(), "maybe-applied"),
        (&change, 502, "Bad Gateway".to_owned(), "maybe-applied"),
        (&read, 502, "Bad Gateway".to_owned(), "never-sent not-ready"),
        (&read, 407, "Proxy\nauthentication".to_owned(), "rejected invalid-request"),
    ] {
        let error = answer(call, status, &body).unwrap_err();
        assert_eq!(error.class.to_string(), class, "{body}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn words_of_a_server_steer_no_terminal() {
    let call = Call::new(Method::Get, "/1.0/instances/x");
    let evil = r#"{"type":"error","error":"\u001b[31mred\nline","error_code":500}"#;
    let error = answer(&call, 500, evil).unwrap_err();
    assert_eq!(&*error.text, "\\u{1b}[31mred\\u{a}line");
}
