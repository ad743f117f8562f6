//! What follows from what there is, by tables.

use serde_json::{Value, json};

use super::facts::{Facts, ProjectFacts, RemoteFacts, TlsFacts};
use super::{Asks, findings};
use crate::backend::Kind;
use crate::backend::findings::{Findings, State};
use crate::backend::incus::client::call::Method;
use crate::backend::incus::client::endpoint::certificate::Trusted;
use crate::backend::incus::client::endpoint::server::Server;
use crate::backend::incus::client::verdict::{ApiError, Class, Code, Unsent};
use crate::backend::incus::settings::Defaults;
use crate::backend::link::pin::{Fingerprint, Pin};
use crate::outcome::Fault;

const NOW: i64 = 1_795_316_645;
const DAY: i64 = 86_400;

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn error(class: Class) -> ApiError {
    ApiError { method: Method::Get, path: "/1.0/x".into(), class, status: None, text: "words".into() }
}

fn server() -> Server {
    let extensions = [
        "projects",
        "instances",
        "event_lifecycle",
        "instance_all_projects",
        "container_backup",
        "backup_override_name",
        "instance_ready_state",
    ];
    let server = json!({
        "auth": "trusted",
        "auth_user_method": "unix",
        "api_extensions": extensions,
        "environment": { "server_version": "6.0.4", "driver": "lxc" },
    });
    Server { clock_s: Some(NOW.cast_unsigned()), ..of(server) }
}

fn tls() -> TlsFacts {
    TlsFacts {
        pin: Pin::Leaves(vec![Fingerprint::of(b"theirs")]),
        own: Some(Fingerprint::of(b"ours")),
        own_ends_s: Some(NOW + 400 * DAY),
        server_ends_s: Some(NOW + 400 * DAY),
        proxied: false,
    }
}

fn project() -> ProjectFacts {
    let devices = json!({
        "root": { "type": "disk", "path": "/", "pool": "default" },
        "eth0": { "type": "nic", "network": "br0", "name": "eth0" },
    });
    let network = json!({
        "name": "br0", "type": "bridge", "managed": true, "status": "Created",
        "config": { "ipv4.address": "10.77.0.1/24", "ipv6.address": "none" },
    });
    ProjectFacts {
        name: "lab".to_owned(),
        asks: Asks::default(),
        project: Ok(of(json!({ "name": "lab", "config": {} }))),
        state: Ok(of(json!({ "resources": { "instances": { "Limit": -1, "Usage": 3 } } }))),
        profiles: vec![("default".to_owned(), Ok(of(json!({ "name": "default", "devices": devices }))))],
        defaults: Defaults::default(),
        pools: vec![(
            "default".to_owned(),
            Ok(of(json!({ "name": "default", "driver": "zfs", "status": "Created" }))),
            Ok(of(json!({ "used": 0, "total": 10_u64 << 30 }))),
        )],
        networks: vec![("br0".to_owned(), Ok(of(network)))],
        goldens: Vec::new(),
        events: Ok(()),
    }
}

fn remote() -> RemoteFacts {
    RemoteFacts {
        name: "far".to_owned(),
        address: "https://incus:8443".to_owned(),
        project: "lab".to_owned(),
        tls: None,
        server: Ok(server()),
        asked_s: NOW,
        known_as: None,
        visible: None,
        projects: vec![project()],
    }
}

fn judged(remote: RemoteFacts) -> Findings {
    findings::judge(&Facts { remotes: vec![remote], preflights: Vec::new() })
}

/// The finding of these words, whatever it is about.
#[track_caller]
fn assert_said(findings: &Findings, state: State, words: &str) {
    let said = |what: &str, why: &str| format!("{what}: {why}").contains(words);
    let found = findings.findings.iter().find(|one| said(&one.what, &one.why));
    let found = found.unwrap_or_else(|| panic!("nothing of `{words}` in {findings:#?}"));
    assert_eq!(found.state, state, "{words}: {found:?}");
    let is_mended = state != State::Fail || !found.fix.is_empty();
    assert!(is_mended, "nothing says what to do: {found:?}");
}

#[test]
fn a_server_that_is_well_is_told_so() {
    let findings = judged(remote());
    assert!(findings.findings.iter().all(|one| one.state == State::Ok), "{findings:#?}");
    for words in [
        "server far",
        "version of far: Incus 6.0.4",
        "trust of far",
        "clock of far: +0 s",
        "project lab of far",
        "profiles of project lab",
        "pool default of far: zfs, 10.0 GiB free",
        "network br0 of far",
        "events of project lab",
    ] {
        assert_said(&findings, State::Ok, words);
    }
}

#[test]
fn the_server_itself_is_judged() {
    type Row = (fn(&mut RemoteFacts), State, &'static str);
    let table: [Row; 18] = [
        (
            |one| one.server = Err(error(Class::NeverSent(Unsent::Unreachable))),
            State::Fail,
            "https://incus:8443: words",
        ),
        (
            |one| one.server = Err(error(Class::NeverSent(Unsent::WrongCertificate))),
            State::Fail,
            "server far",
        ),
        (
            |one| one.server.as_mut().unwrap().auth = "untrusted".into(),
            State::Fail,
            "does not trust our certificate",
        ),
        (
            |one| one.server.as_mut().unwrap().api_extensions.clear(),
            State::Fail,
            "its API lacks projects, instances",
        ),
        (
            |one| drop(one.server.as_mut().unwrap().api_extensions.pop()),
            State::Warn,
            "cannot say that they are ready",
        ),
        (
            |one| one.server.as_mut().unwrap().clock_s = Some(NOW.cast_unsigned() + 60),
            State::Warn,
            "+60 s from ours",
        ),
        (
            |one| one.server.as_mut().unwrap().clock_s = Some(NOW.cast_unsigned() - 6),
            State::Warn,
            "-6 s from ours",
        ),
        (|one| one.server.as_mut().unwrap().clock_s = None, State::Warn, "has no date"),
        (|one| one.tls = Some(tls()), State::Ok, "its certificate (400 days left)"),
        (
            |one| one.tls = Some(TlsFacts { server_ends_s: Some(NOW + 3 * DAY), ..tls() }),
            State::Warn,
            "certificate 3 days",
        ),
        (
            |one| one.tls = Some(TlsFacts { server_ends_s: None, ..tls() }),
            State::Unknown,
            "no certificate was shown",
        ),
        (
            |one| {
                let pin = Pin::Authority(Vec::new());
                one.tls = Some(TlsFacts { server_ends_s: Some(NOW - 2 * DAY), pin, ..tls() });
            },
            State::Fail,
            "ended 2 days ago",
        ),
        (
            |one| {
                let pin = Pin::Keys(vec![firstlight_shared::pin::SpkiPin::of(b"key")]);
                one.tls = Some(TlsFacts { server_ends_s: Some(NOW - 2 * DAY), pin, ..tls() });
            },
            State::Ok,
            "its key, which outlives",
        ),
        (
            |one| one.tls = Some(TlsFacts { own_ends_s: Some(NOW - 1), ..tls() }),
            State::Fail,
            "ours ended 1 day ago",
        ),
        (
            |one| one.tls = Some(TlsFacts { own_ends_s: Some(NOW + 10 * DAY), ..tls() }),
            State::Warn,
            "ours has 10 days left",
        ),
        (
            |one| {
                one.tls = Some(tls());
                let projects = vec!["lab".to_owned(), "b".to_owned()];
                one.known_as = Some(Ok(Trusted { name: "us".into(), restricted: true, projects }));
            },
            State::Ok,
            "known as `us`, restricted to lab, b",
        ),
        (
            |one| {
                one.tls = Some(tls());
                one.known_as = Some(Ok(Trusted { name: "us".into(), ..Trusted::default() }));
            },
            State::Ok,
            "not restricted: it administers",
        ),
        (
            |one| {
                one.tls = Some(tls());
                one.known_as = Some(Err(error(Class::MaybeApplied)));
            },
            State::Unknown,
            "for what cannot be told",
        ),
    ];
    for (change, state, words) in table {
        let mut remote = remote();
        change(&mut remote);
        assert_said(&judged(remote), state, words);
    }
}

#[test]
fn what_a_project_forbids_of_what_we_send_is_named() {
    let restricted = |more: Value| {
        let mut config = json!({ "restricted": "true" });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        move |facts: &mut ProjectFacts| {
            facts.project = Ok(of(json!({ "name": "lab", "config": config.clone() })))
        }
    };
    type Change = Box<dyn Fn(&mut ProjectFacts)>;
    let table: Vec<(Change, State, &str)> = vec![
        (
            Box::new(|one| one.project = Err(error(Class::Gone))),
            State::Fail,
            "no such project; it shows none",
        ),
        (
            Box::new(|one| one.project = Err(error(Class::Denied))),
            State::Fail,
            "our certificate is not for it",
        ),
        (Box::new(|one| one.project = Err(error(Class::MaybeApplied))), State::Unknown, "project lab of far"),
        (Box::new(restricted(json!({}))), State::Ok, "is there, and is restricted"),
        (Box::new(restricted(json!({}))), State::Warn, "restricted.snapshots is block"),
        (Box::new(restricted(json!({}))), State::Warn, "restricted.backups is block"),
        (Box::new(restricted(json!({ "restricted.devices.disk": "block" }))), State::Warn, "no mounts"),
        (Box::new(restricted(json!({ "restricted.devices.nic": "block" }))), State::Fail, "no interface"),
        (
            Box::new(restricted(json!({ "restricted.networks.access": "br1" }))),
            State::Fail,
            "does not name `br0`",
        ),
        (
            Box::new(restricted(json!({ "restricted.storage-pools.access": "fast" }))),
            State::Fail,
            "does not name `default`",
        ),
        (
            Box::new(|one| {
                one.state = Ok(of(json!({ "resources": { "memory": { "Limit": 10, "Usage": 10 } } })))
            }),
            State::Fail,
            "limits.memory is reached: 10 of 10",
        ),
        (
            Box::new(|one| {
                one.project = Ok(of(json!({ "name": "lab", "config": { "restricted": "true" } })));
                one.networks[0].1.as_mut().unwrap().managed = false;
            }),
            State::Fail,
            "`br0`, a bridge of the host, is refused",
        ),
        (Box::new(|one| one.events = Err("403".to_owned())), State::Warn, "does not open: 403"),
        (Box::new(|one| one.asks.kinds = vec![Kind::Vm]), State::Fail, "can run no machines"),
    ];
    for (change, state, words) in table {
        let mut remote = remote();
        change(&mut remote.projects[0]);
        assert_said(&judged(remote), state, words);
    }
    // What nobody asks for is no more than a word; what a spec asks for is missing.
    let mut asked = remote();
    restricted(json!({ "restricted.devices.disk": "block" }))(&mut asked.projects[0]);
    asked.projects[0].asks = Asks { volumes: true, members: true, kinds: vec![Kind::Vm], ..Asks::default() };
    let findings = judged(asked);
    for words in ["no mounts", "`node` of a guest is refused", "a machine's UUID cannot be chosen"] {
        assert_said(&findings, State::Fail, words);
    }
    // What says nothing of itself is not restricted at all.
    let mut free = remote();
    free.projects[0].project =
        Ok(of(json!({ "name": "lab", "config": { "restricted.devices.nic": "block" } })));
    assert!(judged(free).findings.iter().all(|one| one.state == State::Ok));
}

#[test]
fn profiles_pools_networks_and_goldens_are_judged() {
    type Row = (fn(&mut ProjectFacts), State, &'static str);
    let table: [Row; 14] = [
        (|one| one.profiles[0].1 = Err(error(Class::Gone)), State::Fail, "no such profile"),
        (
            |one| one.profiles[0].1.as_mut().unwrap().devices.clear(),
            State::Fail,
            "no root disk, and incus.pool",
        ),
        (|one| one.profiles[0].1.as_mut().unwrap().devices.clear(), State::Warn, "guests have no network"),
        (
            |one| {
                one.profiles[0].1.as_mut().unwrap().devices.clear();
                one.defaults.pool = Some("fast".into());
            },
            State::Ok,
            "the root disk comes from incus.pool",
        ),
        (|one| one.pools[0].1 = Err(error(Class::Rejected(Code::NoPool))), State::Fail, "no such pool"),
        (
            |one| one.pools[0].2 = Ok(of(json!({ "used": 10_u64 << 30, "total": 11_u64 << 30 }))),
            State::Warn,
            "1.0 GiB free",
        ),
        (|one| one.pools[0].2 = Err(error(Class::Denied)), State::Ok, "pool default of far: zfs"),
        (|one| one.pools[0].1.as_mut().unwrap().driver = "dir".into(), State::Ok, "holds nobody to a size"),
        (|one| one.networks[0].1 = Err(error(Class::Gone)), State::Warn, "taken for a bridge of the host"),
        (|one| one.networks[0].1.as_mut().unwrap().managed = false, State::Ok, "bridge of the host"),
        (
            |one| {
                drop(one.networks[0].1.as_mut().unwrap().config.insert("ipv4.address".into(), "none".into()))
            },
            State::Warn,
            "gives no addresses",
        ),
        (
            |one| drop(one.networks[0].1.as_mut().unwrap().config.insert("ipv4.dhcp".into(), "false".into())),
            State::Warn,
            "gives no addresses",
        ),
        (|one| one.goldens = vec![("web".into(), Ok("an image".into()))], State::Ok, "golden web: an image"),
        (
            |one| {
                one.goldens = vec![("web".into(), Err(Fault::new("x", "there is none").with_hint("make it")))]
            },
            State::Fail,
            "golden web: there is none",
        ),
    ];
    for (change, state, words) in table {
        let mut remote = remote();
        change(&mut remote.projects[0]);
        assert_said(&judged(remote), state, words);
    }
}
