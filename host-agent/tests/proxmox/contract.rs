//! Every exchange that was recorded, through the classes and the parsers, and the refusals once more over the wire.

use firstlight::backend::proxmox::client::call::{Call, Method};
use firstlight::backend::proxmox::client::endpoint::{
    Endpoint, Unreadable, access, agent, cluster, config, guest, lxc, node, qemu, storage, task,
};
use firstlight::backend::proxmox::client::task::Exit;
use firstlight::backend::proxmox::client::upid::Upid;
use firstlight::backend::proxmox::client::verdict::{Answer, Class, Reply, classify, classify_exit};
use serde::Deserialize;
use serde_json::Value;

use crate::server::{Reaction, Server};

/// One line of `facts.jsonl`; the first line of the file says where they come from.
#[derive(Deserialize)]
struct Fact {
    method: String,
    /// With the names of the API's description in it.
    path: String,
    /// As it was.
    at: String,
    status: u16,
    reason: String,
    json: Option<Value>,
    #[serde(default)]
    text: String,
    /// How a person reads the answer.
    class: String,
    /// How a person reads a task's exit status.
    exit: Option<String>,
}

impl Fact {
    fn body(&self) -> Vec<u8> {
        self.json.as_ref().map_or_else(|| self.text.clone(), Value::to_string).into_bytes()
    }

    fn method(&self) -> Method {
        match self.method.as_str() {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            other => panic!("{other}"),
        }
    }

    fn is_answered(&self) -> bool {
        self.class == "ok"
    }

    fn name(&self) -> String {
        format!("{} {} -> {} {}", self.method, self.at, self.status, self.reason)
    }
}

fn facts() -> Vec<Fact> {
    let lines = include_str!("facts.jsonl").lines().skip(1);
    let facts: Vec<Fact> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(facts.len() > 800, "{} facts", facts.len());
    facts
}

fn read<E: Endpoint>(data: Value) -> Result<E::Answer, Unreadable> {
    E::read(data)
}

fn upid(data: Value, read: impl Fn(Value) -> Result<Upid, Unreadable>) -> Result<usize, Unreadable> {
    let text = data.as_str().unwrap().to_owned();
    let upid = read(data)?;
    assert_eq!(upid.to_string(), text);
    assert!(!upid.node.is_empty() && upid.started > 1_700_000_000, "{text}");
    Ok(1)
}

/// How many things our parser of this call finds in an answer; None: we do not make the call.
#[rustfmt::skip]
fn parse(method: &str, path: &str, data: Value) -> Option<Result<usize, Unreadable>> {
    let guest_path = path.replace("/qemu/", "/KIND/").replace("/lxc/", "/KIND/");
    Some(match (method, guest_path.as_str()) {
        ("GET", "/version") => read::<cluster::ReadVersion>(data).map(|found| usize::from(found.numbers() == Some((9, 2)))),
        ("GET", "/nodes") => read::<cluster::ListNodes>(data).map(|found| found.len()),
        ("GET", "/cluster/nextid") => read::<cluster::NextId>(data).map(|found| usize::from(found >= 100)),
        ("GET", "/cluster/resources") => of_guests(data),
        ("GET", "/cluster/status") => read::<cluster::ReadClusterStatus>(data).map(|found| found.len()),
        ("GET", "/cluster/tasks" | "/nodes/{node}/tasks") => read::<task::ListTasks>(data).map(|found| found.len()),
        ("GET", "/access/permissions") => read::<access::ReadPermissions>(data).map(|found| found.0.len()),
        ("GET", "/pools/{poolid}") => read::<access::ReadPool>(data).map(|found| found.members.len()),
        ("GET", "/nodes/{node}/time") => read::<node::ReadTime>(data).map(|found| usize::from(found.time > 1_700_000_000)),
        ("GET", "/nodes/{node}/network") => read::<node::ListBridges>(data).map(|found| found.len()),
        ("GET", "/nodes/{node}/vzdump/extractconfig") => read::<node::ReadArchiveConfig>(data).map(|found| found.values().len()),
        ("GET", "/nodes/{node}/storage") => read::<storage::ListStorages>(data).map(|found| found.len()),
        ("GET", "/nodes/{node}/storage/{storage}/status") => read::<storage::ReadStorage>(data).map(|found| found.content.len()),
        ("GET", "/nodes/{node}/storage/{storage}/content") => read::<storage::ListContent>(data).map(|found| found.len()),
        ("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}") => upid(data, |data| read::<storage::RemoveVolume>(data).map(Option::unwrap)),
        ("GET", "/nodes/{node}/tasks/{upid}/status") => read::<task::ReadTask>(data).map(|found| found.status.len()),
        ("GET", "/nodes/{node}/tasks/{upid}/log") => read::<task::ReadTaskLog>(data).map(|found| found.len()),
        ("DELETE", "/nodes/{node}/tasks/{upid}") => read::<task::StopTask>(data).map(|()| 0),
        ("POST", "/nodes/{node}/lxc") => upid(data, read::<lxc::RestoreLxc>),
        ("POST", "/nodes/{node}/qemu") => upid(data, read::<qemu::RestoreQemu>),
        ("GET", "/nodes/{node}/KIND/{vmid}/config") => of_config(data),
        ("PUT", "/nodes/{node}/KIND/{vmid}/config") => read::<config::ChangeConfig>(data).map(|()| 0),
        ("PUT", "/nodes/{node}/KIND/{vmid}/resize") => upid(data, |data| read::<guest::Resize>(data).map(Option::unwrap)),
        ("GET", "/nodes/{node}/KIND/{vmid}/status/current") => read::<guest::ReadStatus>(data).map(|found| found.status.len()),
        ("POST", "/nodes/{node}/KIND/{vmid}/status/start") => upid(data, read::<guest::Start>),
        ("POST", "/nodes/{node}/KIND/{vmid}/status/stop") => upid(data, read::<guest::Stop>),
        ("POST", "/nodes/{node}/KIND/{vmid}/status/shutdown") => upid(data, read::<guest::Shutdown>),
        ("DELETE", "/nodes/{node}/KIND/{vmid}") => upid(data, read::<guest::Destroy>),
        ("GET", "/nodes/{node}/KIND/{vmid}/interfaces") => {
            read::<lxc::ReadInterfaces>(data).map(|found| found.map_or(0, |list| addresses(&list)))
        }
        ("GET", "/nodes/{node}/KIND/{vmid}/agent/network-get-interfaces") => read::<agent::ReadAgentInterfaces>(data).map(|found| addresses(&found)),
        ("GET", "/nodes/{node}/KIND/{vmid}/agent/file-read") => read::<agent::ReadGuestFile>(data).map(|_| 0),
        ("POST", "/nodes/{node}/KIND/{vmid}/agent/ping") => read::<agent::PingAgent>(data).map(|()| 0),
        _ => return None,
    })
}

fn addresses(interfaces: &[lxc::Interface]) -> usize {
    interfaces.iter().map(|interface| interface.addresses.len()).sum()
}

/// The answer without a filter has nodes and storages, too.
fn of_guests(mut data: Value) -> Result<usize, Unreadable> {
    data.as_array_mut().unwrap().retain(|line| line.get("vmid").is_some());
    read::<cluster::ListGuests>(data).map(|found| found.len())
}

fn of_config(data: Value) -> Result<usize, Unreadable> {
    let written = data.clone();
    let found = read::<config::ReadConfig>(data)?;
    for (key, value) in written.as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(found.get(key), Some(text.as_str()), "{key}");
        if key.starts_with("net") {
            assert_eq!(found.properties(key).unwrap().to_string(), text);
            assert_eq!(found.properties(key).unwrap().mac().unwrap().len(), 17, "{text}");
        }
    }
    Ok(found.digest().map_or(0, str::len))
}

/// What a person counts in the same answer.
fn counted(path: &str, data: &Value) -> Option<usize> {
    let list = data.as_array();
    if path.ends_with("interfaces") {
        let interfaces = data.get("result").or(Some(data))?.as_array();
        let count =
            |interface: &Value| interface.get("ip-addresses").and_then(Value::as_array).map_or(0, Vec::len);
        return Some(interfaces.into_iter().flatten().map(count).sum());
    }
    if path == "/cluster/resources" {
        return Some(list?.iter().filter(|line| line.get("vmid").is_some()).count());
    }
    list.map(Vec::len)
}

#[test]
fn every_answer_has_the_class_that_a_person_gives_it_and_is_read() {
    let (mut read, mut classed) = (0, 0);
    for fact in facts().iter().filter(|fact| fact.class != "skip") {
        let answer = Answer { status: fact.status, reason: fact.reason.clone(), body: fact.body() };
        match classify(fact.method(), &fact.at, &Reply::Answer(answer)) {
            Err(error) => {
                assert_eq!(error.class.to_string(), fact.class, "{}", fact.name());
                assert!(!error.text.is_empty() && error.status == Some(fact.status), "{}", fact.name());
                classed += 1;
            }
            Ok(data) => {
                assert!(fact.is_answered(), "{}", fact.name());
                let count = counted(&fact.path, &data);
                let Some(found) = parse(&fact.method, &fact.path, data) else { continue };
                let found = found.unwrap_or_else(|error| panic!("{}: {error}", fact.name()));
                assert!(count.is_none_or(|count| count == found), "{}: {count:?}, {found}", fact.name());
                read += 1;
            }
        }
    }
    assert!(read > 400 && classed > 180, "{read} read, {classed} classed");
}

/// A gateway's words, say.
#[test]
fn words_that_nobody_knows_mean_what_their_status_means() {
    let config = "/nodes/pve1/lxc/101/config";
    for (method, path, status, class) in [
        (Method::Get, config, 403, "denied -"),
        (Method::Put, config, 404, "rejected server-error"),
        (Method::Put, config, 500, "rejected server-error kept"),
        (Method::Get, config, 500, "rejected server-error"),
        (Method::Get, config, 502, "maybe-applied"),
    ] {
        let answer = Answer { status, reason: "So it is".to_owned(), body: b"<html>".to_vec() };
        let error = classify(method, path, &Reply::Answer(answer)).unwrap_err();
        assert_eq!(
            (error.class.to_string().as_str(), &*error.text),
            (class, "So it is"),
            "{method} {status}"
        );
    }
}

#[test]
fn every_exit_of_a_task_has_the_class_that_a_person_gives_it() {
    let mut count = 0;
    for fact in facts() {
        let Some(expected) = fact.exit else { continue };
        let data = &fact.json.as_ref().unwrap()["data"];
        let kind = data["upid"].as_str().unwrap().parse::<Upid>().unwrap().kind;
        let shown = match Exit::parse(data["exitstatus"].as_str()) {
            Exit::Ok => "done".to_owned(),
            Exit::Warnings(count) => format!("warnings {count}"),
            Exit::Unknown(_) => "unknown".to_owned(),
            Exit::Failed(text) => classify_exit(&kind, &text).to_string(),
        };
        assert_eq!(shown, expected, "{kind}: {}", data["exitstatus"]);
        count += 1;
    }
    assert!(count > 60, "{count} exits");
}

/// A call as it was, its answer taken as it is.
struct Raw(Call);

impl Endpoint for Raw {
    type Answer = Value;

    fn call(&self) -> Call {
        self.0.clone()
    }

    fn read(data: Value) -> Result<Value, Unreadable> {
        Ok(data)
    }
}

/// Status lines with codes and words that no standard knows, answers without a length: the wire must not lose them.
#[tokio::test]
async fn every_refusal_means_the_same_over_the_wire_with_and_without_a_message_in_its_body() {
    let facts: Vec<Fact> =
        facts().into_iter().filter(|fact| !fact.is_answered() && fact.class != "skip").collect();
    let answers: Vec<Vec<u8>> = facts.iter().flat_map(|fact| [wire(fact, true), wire(fact, false)]).collect();
    let server = Server::start(move |number, _| Reaction::SayAndHangUp(answers[number].clone())).await;
    let client = server.client();
    for fact in &facts {
        for has_message in [true, false] {
            let error = client.send(&Raw(Call::new(fact.method(), &fact.at))).await.unwrap_err();
            // Without the message the parameters' texts are there still: old servers had them.
            assert_eq!(error.class.to_string(), fact.class, "{}, message: {has_message}", fact.name());
            assert!(error.text.starts_with(fact.reason.trim()), "{}: {}", fact.name(), error.text);
            assert!(!matches!(error.class, Class::NeverSent(_)));
        }
    }
    assert!(facts.len() > 180);
}

/// As Proxmox writes it: 401, 595 and 596 without a length.
fn wire(fact: &Fact, has_message: bool) -> Vec<u8> {
    let mut json = fact.json.clone();
    if let (false, Some(fields)) = (has_message, json.as_mut().and_then(Value::as_object_mut)) {
        fields.remove("message");
    }
    let body = json.as_ref().map_or_else(|| fact.text.clone(), Value::to_string);
    let length = match fact.status {
        401 | 595 | 596 => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let (status, reason) = (fact.status, &fact.reason);
    format!("HTTP/1.1 {status} {reason}\r\nConnection: close\r\n{length}\r\n{body}").into_bytes()
}
