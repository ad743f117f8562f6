//! Connections that are kept, and servers that hang up in between.

use std::time::Duration;

use firstlight::backend::proxmox::client::endpoint::cluster::ReadVersion;
use firstlight::backend::proxmox::client::endpoint::guest::{Guest, Kind, Start};
use tokio::time::Instant;

use crate::server::{Reaction, Server, answer, ok};

const VERSION: &str = r#"{"version":"9.2.11"}"#;
const UPID: &str = r#""UPID:pve1:00000D27:00056742:6B017F12:vzstart:104:lab@pve!host:""#;

fn start() -> Start {
    Start { guest: Guest { node: "pve1".to_owned(), kind: Kind::Lxc, vmid: 104 } }
}

#[tokio::test]
async fn one_connection_serves_what_comes_soon() {
    let server = Server::start(|_, seen| ok(if seen.line.starts_with("GET") { VERSION } else { UPID })).await;
    let client = server.client();
    for _ in 0..5 {
        client.send(&ReadVersion).await.unwrap();
        client.send(&start()).await.unwrap();
    }
    assert_eq!((server.connections(), server.seen().len()), (1, 10));
}

#[tokio::test]
async fn a_change_takes_a_new_connection_sooner_than_a_read_does() {
    let server = Server::start(|_, seen| ok(if seen.line.starts_with("GET") { VERSION } else { UPID })).await;
    let client = server.client();
    client.send(&ReadVersion).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    client.send(&start()).await.unwrap();
    assert_eq!(server.connections(), 2);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    client.send(&ReadVersion).await.unwrap();
    assert_eq!(server.connections(), 2, "a read is only a question");
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    client.send(&ReadVersion).await.unwrap();
    assert_eq!(server.connections(), 3, "the server would hang up after 5 s");
}

/// What its daemons answer, the proxy passes on with `Connection: close` and then `Connection: Keep-Alive`. hyper
/// believes the first: a new connection for the next call, and no call is lost.
#[tokio::test]
async fn an_answer_that_says_both_ends_its_connection() {
    let both = "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: Keep-Alive\r\nContent-Length: ";
    let server = Server::start(move |_, _| {
        let body = format!("{{\"data\":{UPID}}}");
        Reaction::Say(format!("{both}{}\r\n\r\n{body}", body.len()).into_bytes())
    })
    .await;
    let client = server.client();
    for count in 1..=3 {
        client.send(&start()).await.unwrap();
        assert_eq!((server.connections(), server.seen().len()), (count, count));
    }
}

/// The idle limit of the server, a reload, its hundredth request.
#[tokio::test]
async fn a_connection_that_was_closed_in_between_costs_no_call() {
    let server = Server::start(|_, seen| {
        let data = if seen.line.starts_with("GET") { VERSION } else { UPID };
        Reaction::SayAndHangUp(answer("200 OK", &format!("{{\"data\":{data}}}")))
    })
    .await;
    let client = server.client();
    for round in 1..=3 {
        client.send(&ReadVersion).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.send(&start()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(server.seen().len(), 2 * round, "each call is made once");
    }
    assert_eq!(server.connections(), 6);
}

/// The server takes the request and hangs up without a word: its timer ran out at that very moment.
#[tokio::test]
async fn a_read_that_meets_a_closing_server_is_asked_again_on_a_new_connection_without_a_wait() {
    let server = Server::start(|_, seen| {
        if seen.connection == 0 && seen.line.contains("version") { ok(VERSION) } else { Reaction::HangUp }
    })
    .await;
    let client = server.client();
    client.send(&ReadVersion).await.unwrap();
    assert!(client.send(&start()).await.is_err(), "a change does not know, and says so");
    let changes = server.seen().iter().filter(|seen| seen.line.starts_with("POST")).count();
    assert_eq!(changes, 1);

    let server = Server::start(|number, _| if number == 1 { Reaction::HangUp } else { ok(VERSION) }).await;
    let client = server.client();
    client.send(&ReadVersion).await.unwrap();
    client.send(&ReadVersion).await.unwrap();
    assert_eq!((server.seen().len(), server.connections()), (3, 2));
}

#[tokio::test]
async fn many_calls_at_once_have_a_connection_each_and_few_are_kept() {
    let server = Server::start(|_, _| ok(VERSION)).await;
    let client = server.client();
    let calls = (0..12).map(|_| client.send(&ReadVersion));
    for ended in futures_util::future::join_all(calls).await {
        ended.unwrap();
    }
    assert!(server.connections() <= 12);
    let before = server.connections();
    for _ in 0..4 {
        client.send(&ReadVersion).await.unwrap();
    }
    assert_eq!(server.connections(), before);
}

/// A node has three workers, and a change may hold one for 10 s.
#[tokio::test]
async fn a_node_is_given_two_changes_at_once_and_reads_pass_them() {
    let late = Duration::from_millis(800);
    let server = Server::start(move |_, seen| {
        if seen.line.starts_with("GET") {
            return ok(VERSION);
        }
        Reaction::SayLater(late, answer("200 OK", &format!("{{\"data\":{UPID}}}")))
    })
    .await;
    let client = server.client();
    let began = Instant::now();
    let change = start();
    let changes = async {
        let calls = futures_util::future::join_all((0..6).map(|_| client.send(&change))).await;
        assert!(calls.iter().all(Result::is_ok));
        began.elapsed()
    };
    let elsewhere = async {
        let mut other = start();
        other.guest.node = "pve2".to_owned();
        client.send(&ReadVersion).await.unwrap();
        let read = began.elapsed();
        client.send(&other).await.unwrap();
        (read, began.elapsed())
    };
    let (changes, (read, other)) = tokio::join!(changes, elsewhere);
    assert!(changes >= 3 * late, "{changes:?}");
    assert!(read < late && other < 3 * late, "{read:?} {other:?}");
}
