//! What is sent, and what is read of it.

use firstlight::backend::incus::client::call::{Body, Call, Method};
use firstlight::backend::incus::client::endpoint::exec::Exec;
use firstlight::backend::incus::client::endpoint::file::{FileKind, ReadFile, WriteFile};
use firstlight::backend::incus::client::endpoint::instance::{
    CreateInstance, Image, ImportBackup, Kind, ListInstances, PatchInstance, ReadInstance,
};
use firstlight::backend::incus::client::endpoint::operation::ListOperations;
use firstlight::backend::incus::client::endpoint::server::ReadServer;
use firstlight::backend::incus::client::endpoint::state::{Action, ChangeState, ReadState};
use firstlight::backend::incus::client::endpoint::{Config, Devices};
use firstlight_shared::secret::Secret;
use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::fake::{ID, Reaction, Server, error, ok, operation, started, sync};

#[tokio::test]
async fn an_instance_is_asked_for_in_one_call() {
    let server = Server::start(|_, _| started());
    let create = CreateInstance {
        name: "web-01".to_owned(),
        kind: Kind::VirtualMachine,
        image: Image::Alias("golden".to_owned()),
        config: Config::from_iter([("user.firstlight.job", "j1")]),
        devices: Devices::from([("eth0".to_owned(), [("hwaddr".to_owned(), "02:01".to_owned())].into())]),
        profiles: None,
        ephemeral: true,
        description: String::new(),
    };
    let client = server.client().in_project("lab").on_member(Some("node2"));
    assert_eq!(client.send(&create).await.unwrap().as_str(), ID);
    let seen = server.seen().remove(0);
    assert_eq!(seen.line, "POST /1.0/instances?project=lab&target=node2");
    assert_eq!(
        seen.json(),
        json!({"name": "web-01", "type": "virtual-machine", "source": {"type": "image", "alias": "golden"},
            "config": {"user.firstlight.job": "j1"}, "devices": {"eth0": {"hwaddr": "02:01"}}, "ephemeral": true, "description": ""})
    );
}

#[tokio::test]
async fn a_backup_is_sent_whole_with_its_length() {
    let server = Server::start(|_, _| started());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.tar");
    // Larger than one piece, and no multiple of it.
    let content: Vec<u8> = (0..700_001_u32).map(|n| n.to_le_bytes()[0]).collect();
    std::fs::write(&file, &content).unwrap();
    let import = ImportBackup {
        name: "web-01".to_owned(),
        pool: Some("fast".to_owned()),
        file: file.clone(),
        length: content.len() as u64,
    };
    server.client().send(&import).await.unwrap();
    let seen = server.seen().remove(0);
    assert_eq!(seen.header("content-length"), Some("700001"));
    assert_eq!(seen.header("content-type"), Some("application/octet-stream"));
    assert_eq!((seen.header("x-incus-name"), seen.header("x-incus-pool")), (Some("web-01"), Some("fast")));
    assert!(seen.body == content, "the bytes are others");
    let gone = ImportBackup { file: folder.path().join("nope"), ..import };
    let error = server.client().send(&gone).await.unwrap_err();
    assert_eq!(error.class.to_string(), "never-sent unreachable", "nothing was sent: {error}");
}

#[tokio::test]
async fn files_go_with_owner_and_mode() {
    let headers =
        vec![("X-Incus-uid", "5"), ("X-Incus-gid", "6"), ("X-Incus-mode", "0400"), ("X-Incus-type", "file")];
    let server = Server::start(move |number, _| match number {
        0 => ok(json!({})),
        1 => Reaction::Say(200, headers.clone(), b"hello".to_vec()),
        2 => Reaction::Say(200, headers.clone(), vec![b'x'; 100]),
        _ => error(404, "Not Found"),
    });
    let client = server.client();
    let write = WriteFile {
        instance: "web-01".to_owned(),
        path: "/root/a b".to_owned(),
        kind: FileKind::File,
        uid: 5,
        gid: 6,
        mode: 0o400,
        content: Secret::new(b"hello".to_vec()),
    };
    client.send(&write).await.unwrap();
    let seen = server.seen().remove(0);
    assert_eq!(seen.line, "POST /1.0/instances/web-01/files?path=%2Froot%2Fa%20b&project=default");
    let header = |name| seen.header(name).unwrap();
    assert_eq!(
        [header("x-incus-uid"), header("x-incus-gid"), header("x-incus-mode"), header("x-incus-type")],
        ["5", "6", "0400", "file"]
    );
    assert_eq!(seen.body, b"hello");
    let read = ReadFile { instance: "web-01".to_owned(), path: "/root/a b".to_owned(), most: 10 };
    let file = client.send(&read).await.unwrap();
    assert_eq!((file.uid, file.gid, file.mode, &file.content[..]), (5, 6, 0o400, &b"hello"[..]));
    let error = client.send(&read).await.unwrap_err();
    assert_eq!(error.class.to_string(), "rejected too-large");
    let error = client.send(&read).await.unwrap_err();
    assert_eq!(
        error.class.to_string(),
        "rejected no-guest-file",
        "an error is longer than what was to be read"
    );
}

#[tokio::test]
async fn changes_say_what_they_were_made_of() {
    let instance = json!({"name": "web-01", "status": "Running", "type": "container", "config": null, "devices": {}, "profiles": null});
    let server = Server::start(move |number, _| match number {
        0 => Reaction::Say(200, vec![("ETag", "\"abc\"")], sync(instance.clone()).to_string().into_bytes()),
        _ => ok(json!({})),
    });
    let client = server.client();
    let read = client.send(&ReadInstance { name: "web-01".to_owned() }).await.unwrap();
    assert!(read.value.is_running() && read.value.config.is_empty());
    let patch = PatchInstance {
        name: "web-01".to_owned(),
        config: Config::from_iter([("user.firstlight.claim", "")]),
        etag: read.etag,
        ..PatchInstance::default()
    };
    client.send(&patch).await.unwrap();
    let seen = server.seen().remove(1);
    assert_eq!(seen.header("if-match"), Some("\"abc\""));
    assert_eq!(seen.json(), json!({"config": {"user.firstlight.claim": ""}}));
    let stop = ChangeState {
        name: "web-01".to_owned(),
        action: Action::Stop,
        timeout: Some(Duration::from_secs(30)),
        force: true,
    };
    assert!(client.send(&stop).await.is_err(), "a change of state has an operation");
    let seen = server.seen().remove(2);
    assert_eq!(seen.json(), json!({"action": "stop", "timeout": 30, "force": true, "stateful": false}));
}

#[tokio::test]
async fn lists_and_states_are_read_as_the_real_server_writes_them() {
    let state = json!({"status": "Running", "status_code": 103, "disk": {}, "memory": {"usage": 0, "usage_peak": 0, "total": 0},
        "network": {"eth0": {"addresses": [{"family": "inet6", "address": "fe80::1266:6aff:feff:c500", "netmask": "64", "scope": "link"}],
            "hwaddr": "10:66:6a:ff:c5:00", "host_name": "vethcf84ac43", "mtu": 1500, "state": "up", "type": "broadcast"},
            "lo": {"addresses": [{"family": "inet", "address": "127.0.0.1", "netmask": "8", "scope": "local"}], "hwaddr": ""}},
        "pid": 16782, "processes": 11, "cpu": {"usage": 0}, "started_at": "2026-11-22T03:01:57.7Z", "os_info": null});
    let instance = json!({"name": "web-01", "status": "Running", "type": "container", "state": state, "snapshots": null, "config": {"user.x": "1"}});
    let server = Server::start(move |number, _| match number {
        0 => ok(json!([instance])),
        1 => ok(instance["state"].clone()),
        2 => ok(json!({"running": [operation(103, "")], "success": [operation(200, "")]})),
        3 => ok(json!({"auth": "untrusted", "api_extensions": ["a"], "environment": {}})),
        _ => error(404, "Instance not found"),
    });
    let client = server.client();
    let list = ListInstances { all_projects: true, full: true, filter: None };
    let found = client.send(&list).await.unwrap().remove(0);
    assert_eq!(found.state.unwrap().network["eth0"].hwaddr, "10:66:6a:ff:c5:00");
    assert_eq!(server.seen()[0].line, "GET /1.0/instances?recursion=2&all-projects=true");
    let state = client.send(&ReadState { name: "web-01".to_owned() }).await.unwrap();
    let addresses: Vec<String> = state.addresses().map(|one| one.to_string()).collect();
    assert_eq!(addresses, ["fe80::1266:6aff:feff:c500", "127.0.0.1"]);
    let operations = client.send(&ListOperations).await.unwrap();
    assert!(operations.len() == 2 && operations[0].is_about("web-01") && !operations[0].is_about("web-0"));
    let info = client.send(&ReadServer).await.unwrap();
    assert!(!info.is_trusted() && info.has("a") && !info.has("b"));
}

#[tokio::test]
async fn a_commands_output_is_read_cut_and_removed() {
    let ended = |status: u16| {
        let mut one = operation(status, "");
        one["description"] = json!("Executing command");
        let log = |end: &str| format!("/1.0/instances/web-01/logs/exec-output/exec_{ID}.{end}");
        one["metadata"] = json!({"output": {"1": log("stdout"), "2": log("stderr")}, "return": 3});
        one
    };
    let server = Server::start(move |_, seen| match seen.line.split(['?', '.']).next().unwrap() {
        _ if seen.line.starts_with("GET /1.0/events") => Reaction::Events,
        _ if seen.line.starts_with("POST") => started(),
        _ if seen.line.starts_with("DELETE") => ok(json!({})),
        _ if seen.line.contains(".stdout") => Reaction::Say(200, Vec::new(), b"0123456789".to_vec()),
        _ if seen.line.contains(".stderr") => Reaction::Say(200, Vec::new(), b"err".to_vec()),
        _ => ok(ended(200)),
    });
    let exec = Exec {
        instance: "web-01".to_owned(),
        command: vec!["sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()],
        ..Exec::default()
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    let ran = server.client().exec(&exec, 4, deadline).await.unwrap();
    assert_eq!((ran.status, &ran.stdout[..], &ran.stderr[..]), (Some(3), &b"0123"[..], &b"err"[..]));
    let seen = server.seen();
    let body = seen[0].json();
    assert_eq!((&body["wait-for-websocket"], &body["record-output"]), (&json!(false), &json!(true)));
    let removed = seen.iter().filter(|seen| seen.line.starts_with("DELETE")).count();
    assert_eq!(removed, 2);
}

#[test]
fn names_cannot_leave_their_place() {
    for name in ["../x", "a/b", "a?b", "a#b", "ä"] {
        let read = ReadInstance { name: name.to_owned() };
        let path = firstlight::backend::incus::client::endpoint::Endpoint::call(&read).path;
        let rest = path.strip_prefix("/1.0/instances/").unwrap();
        assert!(!rest.contains(['/', '?', '#']) && rest.is_ascii(), "{path}");
    }
    assert_eq!(Call::new(Method::Get, "/1.0").body(Body::None).body.length(), 0);
}
