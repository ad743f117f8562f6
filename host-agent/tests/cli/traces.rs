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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_an_operator_helped_is_one_trace_with_both_attempts() {
    let collector = Receiver::start(&[]).await;
    let mut rig = Rig::idle();
    rig.configure(&format!("[otel]\nendpoint = \"http://{}\"\n", collector.address));
    rig.serve().await;
    for guest in ["web-01", "web-02"] {
        rig.hypervisor.break_guest(guest, true);
        rig.run(&["up", &rig.spec(&[guest], "on_failure = \"keep\"")]).await.ends_with(6);
    }
    rig.hypervisor.break_guest("web-01", false);
    rig.run(&["retry", "web-01"]).await.ends_with(0);
    let sent = collector.until(1).await;
    let (root, all) = spans(&sent[0].json());
    assert_eq!(attribute(&root, "firstlight.guest"), Some("web-01"));
    assert_eq!(attribute(&root, "firstlight.ending"), Some("ready"));
    assert_eq!((&root["status"]["code"], attribute(&root, "error.type")), (&0.into(), None), "{root:#}");
    let mut starts: Vec<u64> = Vec::new();
    for span in all.values().filter(|span| span["name"] == "start") {
        starts.push(span["status"]["code"].as_u64().unwrap());
    }
    starts.sort_unstable();
    assert_eq!(starts, [0, 2], "the start that failed, and the one that did not: {all:#?}");
    let events: Vec<&str> =
        root["events"].as_array().unwrap().iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert!(events.contains(&"retry requested"), "{events:?}");

    // Given up, it never was ready; what becomes of one that was is another story.
    rig.run(&["abandon", "web-02"]).await.ends_with(0);
    let sent = collector.until(2).await;
    let (root, _) = spans(&sent[1].json());
    assert_eq!(attribute(&root, "firstlight.ending"), Some("abandoned"));
    assert_eq!(root["status"]["code"], 2, "{root:#}");
    rig.run(&["destroy", "web-01"]).await.ends_with(0);
    rig.run(&["up", &rig.spec(&["web-03"], "")]).await.ends_with(0);
    let sent = collector.until(3).await;
    assert_eq!(attribute(&spans(&sent[2].json()).0, "firstlight.guest"), Some("web-03"));
    rig.stop().await;
}

/// The request as the specification's own definitions read it, through the bytes of the wire: one entry per span.
#[cfg(feature = "e2e")]
async fn officially(body: Vec<u8>) -> Vec<Value> {
    use std::io::Write as _;
    let read = move || {
        let requirements = ["opentelemetry-proto==1.45.2", "protobuf==7.36.2"];
        let python =
            firstlight_tests::python::environment(&requirements, "import opentelemetry.proto").unwrap();
        let mut child = std::process::Command::new(python)
            .args(["-c", include_str!("otlp.py")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&body).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        serde_json::from_slice(&ended.stdout).unwrap()
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[cfg(feature = "e2e")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_specifications_own_definitions_read_every_trace() {
    let collector = Receiver::start(&[]).await;
    let mut rig = Rig::idle();
    rig.configure(&format!("[otel]\nendpoint = \"http://{}\"\n", collector.address));
    rig.serve().await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    rig.hypervisor.break_guest("web-03", true);
    rig.run(&["up", &rig.spec(&["web-03"], "")]).await.ends_with(1);
    let mut traces = std::collections::BTreeSet::new();
    for sent in collector.until(3).await {
        let all = officially(sent.body).await;
        let of = |span: &Value, key: &str| span["attributes"][key].clone();
        let text = |text: &str| serde_json::json!(["string_value", text]);
        let roots: Vec<&Value> = all.iter().filter(|span| span["parent"] == "").collect();
        let [root] = roots[..] else { panic!("{all:#?}") };
        let guest = of(root, "firstlight.guest")[1].as_str().unwrap().to_owned();
        let job = rig.job(&guest).await;
        assert_eq!(root["trace"], format!("{job:0>32}"));
        assert!(all.iter().all(|span| span["trace"] == root["trace"]), "{all:#?}");
        assert!(traces.insert(root["trace"].to_string()), "one trace for each job");
        let found = |id: &Value| all.iter().find(|span| span["id"] == *id);
        for span in &all {
            assert_eq!(span["resource"]["service.name"], text("firstlight"));
            assert_eq!(span["kind"], "SPAN_KIND_INTERNAL");
            if span["parent"] != "" {
                assert!(found(&span["parent"]).is_some(), "{span:#}");
            }
        }
        if guest == "web-03" {
            assert_eq!(root["status"], "STATUS_CODE_ERROR");
            continue;
        }
        assert_eq!(
            (&root["status"], of(root, "firstlight.ending")),
            (&"STATUS_CODE_UNSET".into(), text("ready"))
        );
        // The guest's check is part of its checks, and these of the whole.
        let check = all.iter().find(|span| of(span, "firstlight.kind") == text("check")).unwrap();
        assert_eq!((&check["name"], of(check, "firstlight.side")), (&"sshd".into(), text("guest")));
        let checks = found(&check["parent"]).unwrap();
        assert_eq!((&checks["name"], &checks["parent"]), (&"checks".into(), &root["id"]));
        let inside = |inner: &Value, outer: &Value| {
            inner["start"].as_u64() >= outer["start"].as_u64()
                && inner["end"].as_u64() <= outer["end"].as_u64()
        };
        assert!(all.iter().all(|span| inside(span, root)), "{all:#?}");
    }
    rig.stop().await;
}
