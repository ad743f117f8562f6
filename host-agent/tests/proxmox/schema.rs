//! Every request that the client can make, against the API's description.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlight::backend::proxmox::client::call::Call;
use firstlight::backend::proxmox::client::endpoint::{
    Endpoint, access, agent, cluster, config, guest, lxc, node, qemu, storage, task,
};
use firstlight::backend::proxmox::client::properties::Properties;
use guest::{Guest, Kind};

struct Parameter {
    required: bool,
    kind: String,
    /// `least..most`, `a|b|c`, or empty.
    range: String,
}

/// `GET /nodes/{node}/tasks` -> its parameters.
fn schema() -> BTreeMap<String, BTreeMap<String, Parameter>> {
    let mut calls: BTreeMap<String, BTreeMap<String, Parameter>> = BTreeMap::new();
    let mut last = String::new();
    for line in include_str!("schema.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some(parameter) = line.strip_prefix("  ") else {
            last = line.to_owned();
            calls.insert(last.clone(), BTreeMap::new());
            continue;
        };
        let mut words = parameter.split(' ');
        let name = words.next().unwrap();
        let found = Parameter {
            required: name.ends_with('!'),
            kind: words.next().unwrap().to_owned(),
            range: words.next().unwrap_or_default().to_owned(),
        };
        calls.get_mut(&last).unwrap().insert(name.trim_end_matches('!').to_owned(), found);
    }
    calls
}

/// `/nodes/{node}/lxc` is `/nodes/pve1/lxc`.
fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(name, part)| name == part || (name.starts_with('{') && !part.is_empty()))
}

/// What is wrong with the call.
fn objection(schema: &BTreeMap<String, BTreeMap<String, Parameter>>, call: &Call) -> Option<String> {
    let template = schema.keys().find(|key| {
        let (method, template) = key.split_once(' ').unwrap();
        method == call.method.as_str() && fits(template, &call.path)
    });
    let Some(template) = template else {
        return Some(format!("{} {} is not described", call.method, call.path));
    };
    let known = &schema[template];
    for (name, value) in &call.parameters {
        let family = format!("{}[n]", name.trim_end_matches(|c: char| c.is_ascii_digit()));
        let Some(parameter) = known.get(name).or_else(|| known.get(&family)) else {
            return Some(format!("{template} has no {name}"));
        };
        if !agrees(parameter, value) {
            return Some(format!("{template}: {name}={value} is no {} {}", parameter.kind, parameter.range));
        }
        if call.parameters.iter().filter(|(other, _)| other == name).count() > 1 {
            return Some(format!("{template}: {name} twice"));
        }
    }
    let missing = known.iter().find(|(name, parameter)| {
        parameter.required && !call.parameters.iter().any(|(given, _)| given == *name)
    });
    missing.map(|(name, _)| format!("{template} wants {name}"))
}

fn agrees(parameter: &Parameter, value: &str) -> bool {
    if parameter.range.contains('|') {
        return parameter.range.split('|').any(|allowed| allowed == value);
    }
    match parameter.kind.as_str() {
        "boolean" => matches!(value, "0" | "1"),
        "integer" | "number" => {
            let Ok(number) = value.parse::<i64>() else { return false };
            let (least, most) = parameter.range.split_once("..").unwrap_or_default();
            least.parse().is_ok_and(|least: i64| number >= least) | least.is_empty()
                && most.parse().is_ok_and(|most: i64| number <= most) | most.is_empty()
        }
        _ => true,
    }
}

fn guests() -> [Guest; 2] {
    [Kind::Lxc, Kind::Qemu].map(|kind| Guest { node: "pve1".to_owned(), kind, vmid: 104 })
}

/// Each call, with as much and with as little as it can carry.
pub(crate) fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    calls.extend(whole_cluster());
    calls.extend(one_node());
    calls.extend(restores());
    for guest in guests() {
        calls.extend(both_kinds(&guest));
    }
    let [container, machine] = guests();
    calls.push(lxc::ReadInterfaces { guest: container }.call());
    calls.push(agent::PingAgent { guest: machine.clone() }.call());
    calls.push(agent::ReadAgentInterfaces { guest: machine.clone() }.call());
    calls.push(agent::ReadFilesystems { guest: machine.clone() }.call());
    for encoded in [true, false] {
        let file = "/run/firstlight/report.json".to_owned();
        calls.push(agent::ReadGuestFile { guest: machine.clone(), file, count: 65_536, encoded }.call());
    }
    calls
}

fn whole_cluster() -> Vec<Call> {
    vec![
        cluster::ReadVersion.call(),
        cluster::ListNodes.call(),
        cluster::NextId { vmid: None }.call(),
        cluster::NextId { vmid: Some(104) }.call(),
        cluster::ListGuests.call(),
        cluster::ReadClusterStatus.call(),
        cluster::ReadOptions.call(),
        access::ReadPermissions { path: None }.call(),
        access::ReadPermissions { path: Some("/vms/104".to_owned()) }.call(),
        access::ListAcl.call(),
        access::ReadPool { pool: "lab".to_owned() }.call(),
    ]
}

fn one_node() -> Vec<Call> {
    let node = || "pve1".to_owned();
    let storage = || "local".to_owned();
    let upid = "UPID:pve1:00000D27:00056742:6B017F12:vzrestore:111:lab@pve!host:";
    let upid = || upid.parse().unwrap();
    let content = Some("backup".to_owned());
    vec![
        node::ReadTime { node: node() }.call(),
        node::ListBridges { node: node() }.call(),
        node::ReadArchiveConfig { node: node(), volume: "local:backup/x.tar.zst".to_owned() }.call(),
        storage::ListStorages { node: node() }.call(),
        storage::ReadStorage { node: node(), storage: storage() }.call(),
        storage::ListContent { node: node(), storage: storage(), content, vmid: Some(104) }.call(),
        storage::ListContent { node: node(), storage: storage(), content: None, vmid: None }.call(),
        storage::RemoveVolume { node: node(), storage: storage(), volid: "local:1/a.raw".to_owned() }.call(),
        task::ListTasks { node: node(), vmid: None, since: None, kind: None, limit: None }.call(),
        task::ListTasks {
            node: node(),
            vmid: Some(104),
            since: Some(1_795_260_588),
            kind: Some("vzrestore".to_owned()),
            limit: Some(5),
        }
        .call(),
        task::ReadTask { upid: upid() }.call(),
        task::ReadTaskLog { upid: upid(), start: 0, limit: 500 }.call(),
        task::StopTask { upid: upid() }.call(),
    ]
}

fn restores() -> Vec<Call> {
    let text = |text: &str| Some(text.to_owned());
    let net = |key: &str, values: [&str; 2]| {
        vec![(0, Properties::default().with(key, values[0])), (1, Properties::default().with(key, values[1]))]
    };
    let least =
        lxc::RestoreLxc { node: "pve1".into(), vmid: 104, archive: "l:b/x".into(), ..Default::default() };
    let most = lxc::RestoreLxc {
        storage: text("local"),
        pool: text("lab"),
        hostname: text("web-01"),
        net: net("name", ["eth0", "eth1"]),
        rootfs: Some(Properties::of("local:8")),
        mounts: vec![(0, Properties::of("local:1").with("mp", "/data").with("backup", 0))],
        cores: Some(2),
        memory_mib: Some(1024),
        description: text("by firstlight"),
        tags: text("a;b"),
        env: Some(lxc::environment(&[("container_uuid", "x"), ("A", "y")]).unwrap()),
        onboot: Some(false),
        protection: Some(false),
        unprivileged: Some(true),
        ..least.clone()
    };
    let small =
        qemu::RestoreQemu { node: "pve1".into(), vmid: 104, archive: "l:b/x".into(), ..Default::default() };
    let large = qemu::RestoreQemu {
        storage: text("local"),
        pool: text("lab"),
        name: text("web-01"),
        net: net("virtio", ["BC:24:11:00:00:01", "BC:24:11:00:00:02"]),
        smbios1: Some(qemu::smbios("11111111-2222-3333-4444-555555555555", Some("serial"))),
        cores: Some(2),
        memory_mib: Some(1024),
        description: text("by firstlight"),
        tags: text("a;b"),
        onboot: Some(true),
        protection: Some(false),
        template: Some(false),
        ..small.clone()
    };
    vec![least.call(), most.call(), small.call(), large.call()]
}

fn both_kinds(guest: &Guest) -> Vec<Call> {
    let guest = || guest.clone();
    let (disk, net) = match guest().kind {
        Kind::Lxc => ("mp0", "name=eth0"),
        Kind::Qemu => ("scsi0", "virtio=BC:24:11:00:00:01"),
    };
    let set = vec![("net0".to_owned(), net.to_owned()), ("memory".to_owned(), "512".to_owned())];
    let change = config::ChangeConfig {
        guest: guest(),
        set,
        delete: vec!["tags".to_owned(), "description".to_owned()],
        digest: Some("0".repeat(40)),
    };
    vec![
        config::ReadConfig { guest: guest(), current: false }.call(),
        config::ReadConfig { guest: guest(), current: true }.call(),
        change.call(),
        guest::ReadStatus { guest: guest() }.call(),
        guest::ListNodeGuests { node: guest().node, kind: guest().kind }.call(),
        guest::Start { guest: guest() }.call(),
        guest::Stop { guest: guest(), overrule_shutdown: true }.call(),
        guest::Shutdown { guest: guest(), timeout: Duration::from_secs(30), force_stop: true }.call(),
        guest::Resize { guest: guest(), disk: disk.to_owned(), bytes: 5 << 30 }.call(),
        guest::Destroy { guest: guest(), force: true, unreferenced_disks: true }.call(),
        guest::Destroy { guest: guest(), force: false, unreferenced_disks: false }.call(),
    ]
}

#[test]
fn every_call_is_as_the_api_describes_it_and_every_described_call_is_made() {
    let schema = schema();
    let calls = calls();
    for call in &calls {
        assert_eq!(objection(&schema, call), None);
    }
    for template in schema.keys() {
        let (method, path) = template.split_once(' ').unwrap();
        let made = calls.iter().any(|call| call.method.as_str() == method && fits(path, &call.path));
        assert!(made, "{template} is described and never made");
    }
}

#[test]
fn the_check_finds_what_a_server_would_refuse() {
    let schema = schema();
    let [container, machine] = guests();
    let start = |name: &str, value: &str| guest::Start { guest: container.clone() }.call().with(name, value);
    let restore = |name: &str, value: &str| {
        lxc::RestoreLxc { node: "pve1".into(), vmid: 104, archive: "x".into(), ..Default::default() }
            .call()
            .with(name, value)
    };
    let force = guest::Destroy { guest: machine, force: true, unreferenced_disks: true }.call();
    assert!(force.parameters.iter().all(|(name, _)| name != "force"), "machines know no force");
    for wrong in [
        start("force", "1"),
        start("debug", "yes"),
        restore("cores", "many"),
        restore("cores", "0"),
        restore("hostnam", "x"),
        restore("vmid", "105"),
        node::ReadTime { node: "pve1/x".to_owned() }.call().with("x", 1),
        lxc::RestoreLxc { node: "pve1".into(), vmid: 99, archive: "x".into(), ..Default::default() }.call(),
    ] {
        assert!(objection(&schema, &wrong).is_some(), "{wrong:?}");
    }
}
