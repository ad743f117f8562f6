//! What a server tells unasked.

use std::time::Duration;

use firstlight::backend::incus::client::events::{Events, Told};
use serde_json::{Value, json};

use crate::fake::{Reaction, Server, error};

fn server() -> Server {
    Server::start(|_, seen| {
        if seen.line == "GET /1.0/events?type=operation%2Clifecycle&project=lab" {
            Reaction::Events
        } else {
            error(404, &seen.line)
        }
    })
}

fn lifecycle(action: &str, name: &str) -> Value {
    json!({"type": "lifecycle", "timestamp": "2026-11-22T03:01:57.7Z", "location": "none", "project": "lab",
        "metadata": {"action": action, "source": format!("/1.0/instances/{name}?project=lab"), "name": name, "project": "lab",
            "context": {"x": 1}, "requestor": null}})
}

async fn next_lifecycle(events: &mut Events) -> String {
    loop {
        if let Told::Lifecycle(one) = events.next().await {
            return format!("{} {}", one.action, one.instance().unwrap_or("-"));
        }
    }
}

async fn opened(events: &mut Events) {
    while !events.is_open() {
        events.next().await;
    }
}

#[tokio::test]
async fn all_who_listen_share_one_socket() {
    let server = server();
    let client = server.client().in_project("lab");
    let (mut one, mut other) = (client.events(), client.clone().events());
    opened(&mut one).await;
    server.tell(&json!({"type": "logging", "metadata": {"message": "no matter"}})).await;
    server.tell(&json!("no event at all")).await;
    server.tell(&lifecycle("instance-ready", "web-01")).await;
    assert_eq!(next_lifecycle(&mut one).await, "instance-ready web-01");
    assert_eq!(next_lifecycle(&mut other).await, "instance-ready web-01");
}

#[tokio::test]
async fn a_gap_is_marked_and_the_socket_comes_back() {
    let server = server();
    let client = server.client().in_project("lab");
    let mut events = client.events();
    opened(&mut events).await;
    server.tell(&lifecycle("instance-started", "web-01")).await;
    assert_eq!(next_lifecycle(&mut events).await, "instance-started web-01");
    server.hush().await;
    // Once when it breaks, and once when it is there again: only then is everything told that happens.
    assert_eq!(events.next().await, Told::Missed);
    assert_eq!(events.next().await, Told::Missed);
    assert!(events.is_open());
    server.tell(&lifecycle("instance-deleted", "web-01")).await;
    assert_eq!(next_lifecycle(&mut events).await, "instance-deleted web-01");
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_that_something_is_missing() {
    let server = server();
    let client = server.client().in_project("lab");
    let (mut slow, mut quick) = (client.events(), client.events());
    opened(&mut quick).await;
    for number in 0..1100 {
        server.tell(&lifecycle("instance-ready", &format!("web-{number}"))).await;
        assert_eq!(next_lifecycle(&mut quick).await, format!("instance-ready web-{number}"));
    }
    assert_eq!(slow.next().await, Told::Missed);
}

#[tokio::test]
async fn a_refused_socket_is_asked_for_again_and_again() {
    let server = server();
    let client = server.client().in_project("other");
    let mut events = client.events();
    let told = tokio::time::timeout(Duration::from_millis(700), events.next()).await;
    assert!(told.is_err() && !events.is_open(), "nothing is told: {told:?}");
}
