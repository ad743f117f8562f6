//! What can go wrong between us and a server, and what is tried again.

use std::time::Duration;

use firstlight::backend::incus::client::call::Limits;
use firstlight::backend::incus::client::endpoint::Endpoint;
use firstlight::backend::incus::client::endpoint::instance::{DeleteInstance, ReadInstance};
use firstlight::backend::incus::client::endpoint::server::ReadServer;
use firstlight::backend::incus::client::link::Place;
use firstlight::backend::incus::client::verdict::{ApiError, Patience};
use firstlight::backend::incus::client::{Client, Settings};
use serde_json::json;

use crate::fake::{Reaction, Server, error, ok, started};

fn delete() -> DeleteInstance {
    DeleteInstance { name: "web-01".to_owned() }
}

/// Seconds of patience, and short limits.
fn patient(server: &Server) -> Client {
    let patience = Patience { connection: Duration::from_secs(5), lock: Duration::from_secs(5) };
    Client::new(Settings { patience, ..server.settings() }).unwrap()
}

async fn class<E: Endpoint>(client: &Client, endpoint: &E) -> String
where
    E::Answer: std::fmt::Debug,
{
    client.send(endpoint).await.unwrap_err().class.to_string()
}

#[tokio::test]
async fn a_change_without_an_answer_is_never_sent_again() {
    let server = Server::start(|_, _| Reaction::HangUp);
    assert_eq!(class(&patient(&server), &delete()).await, "maybe-applied");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_question_without_an_answer_is_asked_again() {
    let server = Server::start(|number, _| match number {
        0 => Reaction::HangUp,
        _ => ok(json!({"auth": "trusted"})),
    });
    assert!(patient(&server).send(&ReadServer).await.unwrap().is_trusted());
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_did_nothing_is_tried_again() {
    let busy = "Failed to create instance delete operation: Instance is busy running a \"start\" operation";
    let server = Server::start(move |number, _| match number {
        0 => error(503, "Daemon is starting up"),
        1 => error(500, busy),
        _ => started(),
    });
    patient(&server).send(&delete()).await.unwrap();
    assert_eq!(server.seen().len(), 3);
    assert_eq!(class(&server.client().in_project("x"), &ReadServer).await, "rejected unreadable");
}

#[tokio::test]
async fn a_socket_that_is_not_there_yet_is_opened_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unix.socket");
    let settings = Settings {
        name: "here".to_owned(),
        place: Place::Socket(path.clone()),
        project: "default".to_owned(),
        limits: Limits::default(),
        patience: Patience::NONE,
    };
    let error: ApiError = Client::new(settings.clone()).unwrap().send(&delete()).await.unwrap_err();
    assert_eq!(error.class.to_string(), "never-sent unreachable");
    assert!(error.to_string().contains("unix.socket") && error.hint().is_some(), "{error}");
    let later = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let server = Server::start(|_, _| started());
        std::os::unix::fs::symlink(&server.socket, &path).unwrap();
        server
    });
    let patience = Patience { connection: Duration::from_secs(10), lock: Duration::ZERO };
    let client = Client::new(Settings { patience, ..settings }).unwrap();
    client.send(&delete()).await.unwrap();
    assert_eq!(later.await.unwrap().seen().len(), 1);
}

#[tokio::test]
async fn answers_have_a_time_and_a_size() {
    let server = Server::start(|number, _| match number {
        0 | 1 => Reaction::Silence,
        _ => Reaction::Endless,
    });
    let limits = Limits {
        read: Duration::from_millis(50),
        change: Duration::from_millis(50),
        answer: 1000,
        ..Limits::default()
    };
    let client = Client::new(Settings { limits, ..server.settings() }).unwrap();
    assert_eq!(class(&client, &ReadServer).await, "maybe-applied");
    assert_eq!(class(&client, &delete()).await, "maybe-applied");
    let roomy = Limits { read: Duration::from_secs(5), change: Duration::from_secs(5), ..limits };
    let client = Client::new(Settings { limits: roomy, ..server.settings() }).unwrap();
    assert_eq!(class(&client, &ReadServer).await, "rejected too-large");
    assert_eq!(class(&client, &delete()).await, "maybe-applied");
}

#[tokio::test]
async fn an_answer_that_is_none_says_so() {
    let server = Server::start(|_, _| ok(json!({"name": 7})));
    let read = ReadInstance { name: "web-01".to_owned() };
    assert_eq!(class(&server.client(), &read).await, "rejected unreadable");
}
