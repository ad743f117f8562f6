//! Following tasks, and asking whether a VMID is free.

use std::time::Duration;

use firstlight::backend::proxmox::client::Client;
use firstlight::backend::proxmox::client::task::TaskEnd;
use firstlight::backend::proxmox::client::upid::Upid;
use firstlight::backend::proxmox::client::verdict::{Class, Code, Lock, Patience};
use tokio::time::Instant;

use crate::server::{Reaction, Server, no, ok};

fn upid(kind: &str) -> Upid {
    format!("UPID:pve1:00000D27:00056742:6B017F12:{kind}:104:lab@pve!host:").parse().unwrap()
}

fn stopped(exit: &str) -> Reaction {
    ok(&format!(r#"{{"status":"stopped","exitstatus":"{exit}"}}"#))
}

const LOG: &str = r#"[{"n":1,"t":"extracting archive"},{"n":2,"t":"WARN: skipping custom lxc options"},
    {"n":"3","t":"lxc.mount.entry: /srv \u001b[31m"},{"n":4,"t":"TASK WARNINGS: 1"}]"#;

async fn follow(client: &Client, kind: &str) -> TaskEnd {
    client.follow(&upid(kind), Instant::now() + Duration::from_secs(5)).await
}

/// A server whose task runs for three questions and then ends so.
async fn ends(exit: &'static str, log: &'static str) -> Server {
    Server::start(move |number, seen| {
        if seen.line.contains("/log") {
            ok(log)
        } else if number < 3 {
            ok(r#"{"status":"running"}"#)
        } else {
            stopped(exit)
        }
    })
    .await
}

#[tokio::test]
async fn a_task_is_followed_to_its_end_and_its_warnings_are_kept() {
    let server = ends("OK", "[]").await;
    let done = TaskEnd::Done { warnings: 0, remarks: Vec::new() };
    assert_eq!(follow(&server.client(), "vzrestore").await, done);
    assert_eq!(server.seen().len(), 4);
    assert!(server.seen()[0].line.contains("/tasks/UPID%3Apve1%3A00000D27%3A"), "{}", server.seen()[0].line);

    let server = ends("WARNINGS: 1", LOG).await;
    let TaskEnd::Done { warnings: 1, remarks } = follow(&server.client(), "vzrestore").await else {
        panic!()
    };
    assert_eq!(remarks, ["WARN: skipping custom lxc options", "lxc.mount.entry: /srv \\u{1b}[31m"]);
}

#[tokio::test]
async fn a_resize_that_ends_well_and_did_not_grow_the_file_system_says_so() {
    let log = r#"[{"n":1,"t":"Image resized."},
        {"n":2,"t":"Failed to update the container's filesystem: command 'e2fsck' failed"},{"n":3,"t":"TASK OK"}]"#;
    let TaskEnd::Done { warnings: 0, remarks } = follow(&ends("OK", log).await.client(), "resize").await
    else {
        panic!()
    };
    assert_eq!(remarks.len(), 1);
}

#[tokio::test]
async fn failures_inside_a_task_have_the_class_of_their_words() {
    let denied = Class::Denied {
        path: Some("/sdn/zones/localnetwork/vmbr0".to_owned()),
        privileges: vec!["SDN.Use".to_owned()],
    };
    for (kind, exit, expected) in [
        (
            "vzrestore",
            "unable to restore CT 104 - 403 Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)",
            denied,
        ),
        (
            "vzstart",
            "can't lock file '/run/lock/lxc/pve-config-104.lock' - got timeout",
            Class::Locked(Lock::Guest),
        ),
        ("vzstart", "CT is locked (backup)", Class::Locked(Lock::Written("backup".to_owned()))),
        ("qmstart", "VM 104 already running", Class::AlreadySo),
        ("vzdestroy", "Configuration file 'nodes/pve1/lxc/104.conf' does not exist", Class::Gone),
        ("qmrestore", "something new", Class::Rejected { code: Code::ServerError, kept: false }),
    ] {
        let server = ends(exit, LOG).await;
        match follow(&server.client(), kind).await {
            TaskEnd::Failed { class, text, log } => {
                assert_eq!((class, text.as_str(), log.len()), (expected, exit, 4));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn nobody_knows_how_a_task_ended_that_was_killed_or_forgotten_or_takes_too_long() {
    let forgotten =
        r#"{"message":"Parameter verification failed.\n","errors":{"upid":"no such task"},"data":null}"#;
    for (reaction, words) in [
        (stopped("unexpected status"), "unexpected status"),
        (ok(r#"{"status":"stopped"}"#), "no status"),
        (stopped("'storage-nfs'-locked command timed out - aborting"), "timed out"),
        (no("400 Parameter verification failed.", forgotten), "no such task"),
        (ok(r#"{"status":"running"}"#), "still runs"),
        (Reaction::HangUp, "broke"),
    ] {
        let server = Server::start(move |_, _| reaction.clone()).await;
        let end = server.client().follow(&upid("vzrestore"), Instant::now() + Duration::from_secs(1)).await;
        let TaskEnd::Unknown { text } = end else { panic!("{words}: {end:?}") };
        assert!(text.contains(words) || text.contains("Parameter verification failed"), "{words}: {text}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_for_a_while_does_not_end_the_following() {
    let server = Server::start(|number, _| match number {
        0 => Reaction::HangUp,
        1 => no("596 Connection timed out", ""),
        2 => no("500 something new", "{}"),
        _ => stopped("OK"),
    })
    .await;
    assert!(matches!(follow(&server.client(), "vzrestore").await, TaskEnd::Done { .. }));
}

#[tokio::test]
async fn a_deadline_holds_however_silent_the_server_is() {
    let server = Server::start(|_, _| Reaction::Silence).await;
    let patient = Patience { connection: Duration::from_secs(60), lock: Duration::from_secs(60) };
    let began = Instant::now();
    let deadline = began + Duration::from_millis(1_500);
    let end = server.client().with_patience(patient).follow(&upid("vzrestore"), deadline).await;
    assert!(matches!(end, TaskEnd::Unknown { .. }), "{end:?}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_vmid_is_free_taken_or_nobody_knows() {
    let taken = r#"{"message":"Parameter verification failed.\n","errors":{"vmid":"VM 104 already exists"},"data":null}"#;
    for (reaction, expected) in [
        (ok("\"104\""), Ok(true)),
        (ok("104"), Ok(true)),
        (no("400 Parameter verification failed.", taken), Ok(false)),
        (Reaction::HangUp, Err(Class::MaybeApplied)),
        (
            no("401 Authentication failed!", ""),
            Err(Class::Rejected { code: Code::Unauthenticated, kept: false }),
        ),
    ] {
        let server = Server::start(move |_, _| reaction.clone()).await;
        let client = server.client().with_patience(Patience::NONE);
        assert_eq!(client.is_free(104).await.map_err(|error| error.class), expected);
    }
}
