//! Every refusal that was recorded, through the classes.

use std::collections::{BTreeMap, BTreeSet};

use firstlight::backend::incus::client::call::{Call, Method};
use firstlight::backend::incus::client::endpoint::Answered;
use firstlight::backend::incus::client::verdict::{
    Answer, ApiError, Failure, FailureKind, Reply, classify, classify_operation,
};
use serde::Deserialize;
use serde_json::{Value, json};

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
    let nameless = async_.replace("9355e03f", "../../x");
    let ask = Call::new(Method::Head, "/1.0/instances/web-01/files");
    for (call, status, body, class, text) in [
        (&change, 202, nameless.as_str(), "maybe-applied", "the answer names no operation"),
        (&read, 200, "<html>", "rejected unreadable", "<html>"),
        (&change, 200, "<html>", "maybe-applied", "<html>"),
        (&change, 200, "", "maybe-applied", "no words"),
        (&change, 502, "Bad Gateway", "maybe-applied", "Bad Gateway"),
        (&read, 502, "Bad Gateway", "never-sent not-ready", "Bad Gateway"),
        (&read, 407, "Proxy\nauthentication", "rejected invalid-request", "Proxy"),
        (&read, 401, "Who are you?", "denied", "Who are you?"),
        (&read, 500, " \nlater", "rejected server-error", "no words"),
        // An answer to such a question has no words, whatever it means.
        (&ask, 404, "", "gone", "no words"),
        (&ask, 403, "", "denied", "no words"),
        (&ask, 502, "", "never-sent not-ready", "no words"),
    ] {
        let error = answer(call, status, body).unwrap_err();
        assert_eq!((error.class.to_string().as_str(), &*error.text), (class, text), "{status} {body}");
        assert_eq!(error.status, Some(status));
    }
}

/// A file is taken as it is, even one that looks like a refusal; what its head says comes along, as with a document.
#[test]
fn files_are_no_documents_and_heads_come_along() {
    let document = Call::new(Method::Get, "/1.0/instances/web-01");
    let file = Call::new(Method::Get, "/1.0/instances/web-01/files").raw(1000);
    let refusal = r#"{"type":"error","error":"no","error_code":400}"#;
    for (call, body, bytes) in [(&document, r#"{"type":"sync"}"#, ""), (&file, refusal, refusal)] {
        let (etag, headers) = ("tag".to_owned(), BTreeMap::from([("date".to_owned(), "now".to_owned())]));
        let answer =
            Answer { status: 200, etag: Some(etag.clone()), headers: headers.clone(), body: body.into() };
        let found = classify(call, &Reply::Answer(answer)).unwrap();
        assert_eq!((found.etag, found.headers, &found.bytes[..]), (Some(etag), headers, bytes.as_bytes()));
    }
    assert_eq!(answer(&file, 400, refusal).unwrap_err().class.to_string(), "rejected invalid-request");
}

/// What the document says counts, and the status where it says nothing.
#[test]
fn words_that_nobody_knows_mean_what_their_status_means() {
    let call = Call::new(Method::Post, "/1.0/instances");
    for (status, error_code, told, class) in [
        (200, 404, 404, "gone"),
        (500, 403, 403, "denied"),
        (403, 0, 403, "denied"),
        (409, 409, 409, "rejected exists"),
        (418, 418, 418, "rejected server-error"),
    ] {
        let body = json!({"type": "error", "error": "so it is", "error_code": error_code});
        let error = answer(&call, status, &body.to_string()).unwrap_err();
        assert_eq!((error.class.to_string().as_str(), error.status), (class, Some(told)), "{body}");
    }
}

#[test]
fn without_an_answer_it_counts_what_was_sent_and_what_it_might_have_done() {
    for (sent, kind, read, change) in [
        (
            false,
            FailureKind::WrongCertificate,
            "never-sent wrong-certificate",
            "never-sent wrong-certificate",
        ),
        (false, FailureKind::Connection, "never-sent unreachable", "never-sent unreachable"),
        (true, FailureKind::Connection, "maybe-applied", "maybe-applied"),
        (true, FailureKind::TooLarge, "rejected too-large", "maybe-applied"),
    ] {
        for (method, class) in [(Method::Get, read), (Method::Put, change)] {
            let reply = Reply::Failure(Failure { kind, sent, text: "cut".to_owned() });
            let error = classify(&Call::new(method, "/1.0"), &reply).unwrap_err();
            assert_eq!(error.class.to_string(), class, "{method} {kind:?}");
            assert_eq!((error.status, &*error.text), (None, "cut"));
        }
    }
}

#[test]
fn words_of_a_server_steer_no_terminal() {
    let call = Call::new(Method::Get, "/1.0/instances/x");
    let evil = r#"{"type":"error","error":"\u001b[31mred\nline","error_code":500}"#;
    let error = answer(&call, 500, evil).unwrap_err();
    assert_eq!(&*error.text, "\\u{1b}[31mred\\u{a}line");
}
