//! Bring-ups as OpenTelemetry traces, as a collector gets them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::receiver::{Answer, Receiver};
use crate::rig::Rig;

/// What the specification's `trace.proto` has of a span, in JSON; a collector refuses or loses everything else.
const FIELDS: [&str; 16] = [
    "traceId",
    "spanId",
    "traceState",
    "parentSpanId",
    "flags",
    "name",
    "kind",
    "startTimeUnixNano",
    "endTimeUnixNano",
    "attributes",
    "droppedAttributesCount",
    "events",
    "droppedEventsCount",
    "links",
    "droppedLinksCount",
    "status",
];

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let found = span["attributes"].as_array().unwrap().iter().find(|one| one["key"] == key)?;
    found["value"]["stringValue"].as_str()
}

/// Checks the form, and gives the spans by id, the root among them.
#[track_caller]
fn spans(body: &Value) -> (Value, BTreeMap<String, Value>) {
    let resource = &body["resourceSpans"][0];
    assert_eq!(attribute(&resource["resource"], "service.name"), Some("firstlight"));
    assert_eq!(attribute(&resource["resource"], "service.instance.id"), Some("one"));
    let all = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    let is_id = |id: &Value, length| {
        let text = id.as_str().unwrap();
        text.len() == length && text.chars().all(|c| c.is_ascii_hexdigit()) && text.chars().any(|c| c != '0')
    };
    let nanos = |time: &Value| time.as_str().unwrap().parse::<u64>().unwrap();
    let mut by_id = BTreeMap::new();
    for span in all {
        assert!(span.as_object().unwrap().keys().all(|key| FIELDS.contains(&key.as_str())), "{span:#}");
        assert!(is_id(&span["traceId"], 32) && is_id(&span["spanId"], 16), "{span:#}");
        assert_eq!(span["traceId"], all[0]["traceId"]);
        assert!(nanos(&span["startTimeUnixNano"]) <= nanos(&span["endTimeUnixNano"]), "{span:#}");
        assert!(nanos(&span["startTimeUnixNano"]) > 1_600_000_000_000_000_000, "{span:#}");
        let twice = by_id.insert(span["spanId"].as_str().unwrap().to_owned(), span.clone());
        assert!(twice.is_none(), "{span:#}");
    }
    let roots: Vec<&Value> = all.iter().filter(|span| span.get("parentSpanId").is_none()).collect();
    assert_eq!(roots.len(), 1, "{all:#?}");
    for span in all.iter().filter(|span| span.get("parentSpanId").is_some()) {
        assert!(by_id.contains_key(span["parentSpanId"].as_str().unwrap()), "{span:#}");
    }
    (roots[0].clone(), by_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bring_up_is_one_trace_with_the_guests_spans_in_it() {
    let collector = Receiver::start(&[Answer::Status(503)]).await;
    let mut rig = Rig::idle();
    rig.configure(&format!("[otel]\nendpoint = \"http://{}\"\n", collector.address));
    rig.serve().await;
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    let sent = collector.until(2).await;
    assert_eq!(sent[0].body, sent[1].body, "what was not taken is sent again as it was");
    assert_eq!(sent[0].path, "/v1/traces");
    assert_eq!(sent[0].header("content-type"), "application/json");
    let (root, all) = spans(&sent[1].json());
    assert_eq!(root["name"], "bring-up");
    let job = rig.job("web-01").await;
    assert_eq!(root["traceId"], format!("{job:0>32}"), "the job is found by its trace");
    assert_eq!(attribute(&root, "firstlight.guest"), Some("web-01"));
    assert_eq!(attribute(&root, "firstlight.ending"), Some("ready"));
    assert_eq!(attribute(&root, "firstlight.trust"), Some("attested"));
    assert_eq!(root["status"]["code"], 0);
    let names: Vec<&str> = all.values().map(|span| span["name"].as_str().unwrap()).collect();
    for step in ["allocate", "restore", "start", "await-report", "verify", "finish"] {
        assert!(names.contains(&step), "{step} is not in {names:?}");
    }
    let of_guest = all.values().filter(|span| attribute(span, "firstlight.side") == Some("guest"));
    assert!(of_guest.count() > 0, "{names:?}");

    // Its end is no bring-up; one that fails is, and says so.
    rig.run(&["destroy", "web-01"]).await.ends_with(0);
    rig.hypervisor.break_guest("web-02", true);
    rig.run(&["up", &rig.spec(&["web-02"], "")]).await.ends_with(1);
    let sent = collector.until(3).await;
    let (root, _) = spans(&sent[2].json());
    assert_eq!(attribute(&root, "firstlight.guest"), Some("web-02"));
    assert_eq!(attribute(&root, "firstlight.ending"), Some("failed"));
    assert_eq!(root["status"]["code"], 2, "{root:#}");
    assert!(attribute(&root, "error.type").is_some(), "{root:#}");
    rig.stop().await;
}
