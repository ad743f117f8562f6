//! How operations end, told or asked about.

use std::time::Duration;

use firstlight::backend::incus::client::Client;
use firstlight::backend::incus::client::operation::{OperationEnd, OperationId};
use tokio::time::Instant;

use crate::fake::{ID, Reaction, Seen, Server, error, ok, operation, operation_event};

fn id() -> OperationId {
    ID.parse().unwrap()
}

async fn follow(client: &Client, seconds: u64) -> OperationEnd {
    client.follow(&id(), Instant::now() + Duration::from_secs(seconds)).await
}

fn for_events(seen: &Seen) -> bool {
    seen.line.starts_with("GET /1.0/events")
}

fn for_wait(seen: &Seen) -> bool {
    seen.line.contains("/wait?")
}

/// Answers about the operation as it is, and tells of events.
fn with_events(about: impl Fn(usize) -> Reaction + Send + Sync + 'static) -> Server {
    Server::start(move |number, seen| if for_events(seen) { Reaction::Events } else { about(number) })
}

#[tokio::test]
async fn the_end_is_told_and_not_asked_for() {
    let server = with_events(|_| ok(operation(103, "")));
    let client = server.client();
    let mut events = client.events();
    while !events.is_open() {
        events.next().await;
    }
    let following = tokio::spawn({
        let client = client.clone();
        async move { follow(&client, 20).await }
    });
    while server.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.tell(&operation_event(200, "")).await;
    assert!(matches!(following.await.unwrap(), OperationEnd::Done(_)));
    assert_eq!(server.seen().len(), 1, "one look at how it stands, and then the event");
}

#[tokio::test]
async fn an_end_that_was_told_before_is_remembered() {
    let server = with_events(|_| error(404, "Operation not found"));
    let client = server.client();
    let mut events = client.events();
    while !events.is_open() {
        events.next().await;
    }
    server.tell(&operation_event(400, "Image not provided for instance creation")).await;
    while !matches!(events.next().await, firstlight::backend::incus::client::events::Told::Operation(_)) {}
    let OperationEnd::Failed { class, text } = follow(&client, 20).await else { panic!("it failed") };
    assert_eq!(class.to_string(), "rejected no-image");
    assert_eq!(text, "Image not provided for instance creation");
    assert!(server.seen().is_empty(), "nothing was asked");
}

#[tokio::test]
async fn without_a_socket_long_questions_are_asked() {
    let server = Server::start(|number, seen| match number {
        _ if for_events(seen) => error(404, "not found"),
        // As the real one: the operation's own error comes as the answer's, with status 200.
        _ if for_wait(seen) => Reaction::Say(
            200,
            Vec::new(),
            br#"{"type":"error","error":"Storage pool not found","error_code":404,"metadata":null}"#.to_vec(),
        ),
        _ => ok(operation(400, "Failed loading storage pool: Storage pool not found")),
    });
    let OperationEnd::Failed { class, .. } = follow(&server.client(), 20).await else { panic!("it failed") };
    assert_eq!(class.to_string(), "rejected no-pool");
    let lines: Vec<String> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            format!("GET /1.0/operations/{ID}/wait?timeout=10&project=default"),
            format!("GET /1.0/operations/{ID}?project=default")
        ]
    );
}

#[tokio::test]
async fn what_the_server_forgot_is_unknown_and_never_success() {
    let server = with_events(|_| error(404, "Operation not found"));
    assert!(matches!(follow(&server.client(), 20).await, OperationEnd::Unknown { .. }));
    let server =
        Server::start(
            |_, seen| if for_events(seen) { Reaction::HangUp } else { error(404, "Operation not found") },
        );
    assert!(matches!(follow(&server.client(), 20).await, OperationEnd::Unknown { .. }));
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_until_the_deadline() {
    let server =
        Server::start(
            |_, seen| if for_events(seen) { Reaction::HangUp } else { error(503, "Daemon is starting up") },
        );
    let client = server.client();
    let OperationEnd::Unknown { text } =
        client.follow(&id(), Instant::now() + Duration::from_millis(1200)).await
    else {
        panic!("nobody knows")
    };
    assert!(text.contains("Daemon is starting up"), "{text}");
    assert!(server.seen().len() <= 8, "not in a hurry: {}", server.seen().len());
}

#[tokio::test]
async fn a_socket_that_breaks_is_replaced_by_questions() {
    let server = Server::start(|number, seen| match number {
        _ if for_events(seen) => Reaction::Events,
        0 => ok(operation(103, "")),
        _ => ok(operation(200, "")),
    });
    let client = server.client();
    let mut events = client.events();
    while !events.is_open() {
        events.next().await;
    }
    let following = tokio::spawn(async move { follow(&client, 20).await });
    while server.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.hush().await;
    assert!(matches!(following.await.unwrap(), OperationEnd::Done(_)));
}

#[tokio::test]
async fn a_cancelled_operation_has_failed() {
    let server = with_events(|_| ok(operation(401, "")));
    let OperationEnd::Failed { class, text } = follow(&server.client(), 20).await else {
        panic!("it failed")
    };
    assert_eq!((class.to_string().as_str(), text.as_str()), ("rejected cancelled", "Cancelled"));
}

#[test]
fn only_uuids_are_operations() {
    for wrong in [
        "",
        "x",
        "../../1.0/instances/web-01?project=de",
        "9355e03f-0097-456e-9b21-e0707f35e89",
        "9355e03f-0097-456e-9b21-e0707f35e892x",
    ] {
        assert!(wrong.parse::<OperationId>().is_err(), "{wrong}");
    }
    let journaled = serde_json::to_string(&id()).unwrap();
    assert_eq!(serde_json::from_str::<OperationId>(&journaled).unwrap(), id());
}
