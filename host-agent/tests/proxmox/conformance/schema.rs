//! Every request that the client can make, judged by Proxmox's own schema.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use firstlight::backend::proxmox::client::call::{Call, Method};
use firstlight_tests::paths;
use serde::Deserialize;
use serde_json::json;

use super::requests;

/// Formats that it does not know: only the length of such values is checked.
const UNCHECKED: [&str; 1] = ["pve-qm-smbios1"];
const PROGRAM: &str = include_str!("validate.py");

#[derive(Debug, Deserialize)]
pub(super) struct Judgement {
    pub(super) template: Option<String>,
    pub(super) errors: BTreeMap<String, String>,
    unchecked: Vec<String>,
}

/// In their order.
pub(super) fn judge(calls: &[Call]) -> Vec<Judgement> {
    let mut lines = String::new();
    for call in calls {
        let line = json!({"method": call.method.as_str(), "path": call.path, "parameters": call.parameters});
        lines += &format!("{line}\n");
    }
    let mut python = Command::new(paths::given(paths::FAKEPVE_VARIABLE))
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let judgements: Vec<Judgement> =
        answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(judgements.len(), calls.len());
    judgements
}

#[test]
fn every_request_of_the_client_is_as_the_real_schema_wants_it() {
    let calls = requests::all();
    let judgements = judge(&calls);
    let mut methods = BTreeSet::new();
    let mut unchecked = BTreeSet::new();
    let mut wrong = Vec::new();
    for (call, judgement) in calls.iter().zip(&judgements) {
        if !judgement.errors.is_empty() {
            wrong.push((call.method, &call.path, &call.parameters, &judgement.errors));
            continue;
        }
        methods.insert((call.method.as_str(), judgement.template.clone().unwrap()));
        unchecked.extend(judgement.unchecked.iter().map(String::as_str));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{} requests of {} methods agree with the schema", calls.len(), methods.len());
    assert!(methods.len() >= 35, "{methods:?}");
    assert_eq!(unchecked, BTreeSet::from(UNCHECKED), "formats that fakepve takes as they come");
}

/// A new endpoint must be tried, too.
#[test]
fn no_endpoint_is_left_out() {
    let folder = paths::root().join("host-agent/src/backend/proxmox/client/endpoint");
    let tried = concat!(include_str!("../schema.rs"), include_str!("requests.rs"));
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("impl Endpoint for ")) {
            let name = line.trim_end_matches([' ', '{']);
            assert!(tried.contains(&format!("::{name}")), "{name} is nowhere among the requests");
            found += 1;
        }
    }
    assert!(found >= 30, "{found}");
}

#[test]
fn the_schema_refuses_what_a_server_would() {
    let restore = |name: &str, value: &str| {
        let least =
            Call::new(Method::Post, "/nodes/pve1/lxc").with("vmid", 104).with("ostemplate", "local:backup/x");
        least.with(name, value)
    };
    let machine =
        |name: &str, value: &str| Call::new(Method::Put, "/nodes/pve1/qemu/104/config").with(name, value);
    let wrong = [
        // A parameter that there is not, one that is missing, one given twice.
        (restore("hostnam", "x"), "hostnam"),
        (Call::new(Method::Post, "/nodes/pve1/lxc").with("vmid", 104), "ostemplate"),
        (restore("vmid", "105"), "vmid"),
        // Types, edges, enumerations, patterns.
        (restore("cores", "many"), "cores"),
        (restore("cores", "8193"), "cores"),
        (restore("memory", "15"), "memory"),
        (restore("onboot", "perhaps"), "onboot"),
        (restore("ostype", "plan9"), "ostype"),
        (restore("hostname", "under_score"), "hostname"),
        (restore("hostname", &"a".repeat(256)), "hostname"),
        (restore("description", &"x".repeat(8193)), "description"),
        (restore("tags", "a;b!"), "tags"),
        (
            Call::new(Method::Put, "/nodes/pve1/lxc/104/resize").with("disk", "rootfs").with("size", "10Q"),
            "size",
        ),
        (
            Call::new(Method::Put, "/nodes/pve1/lxc/104/resize").with("disk", "root").with("size", "10G"),
            "disk",
        ),
        // Property strings.
        (restore("net0", "name=eth0,hwaddr=BD:24:11:AA:BB:CC"), "net0"),
        (restore("net0", "bridge=vmbr0"), "net0"),
        (restore("net0", "name=eth0,ip=10.0.0.1"), "net0"),
        (restore("net0", "name=eth0,tag=4095"), "net0"),
        (restore("net32", "name=eth0"), "net32"),
        (restore("mp0", "local:1"), "mp0"),
        (restore("rootfs", "local:1,mode=x"), "rootfs"),
        (machine("net0", "tulip=BC:24:11:AA:BB:CC"), "net0"),
        (machine("smbios1", &"x".repeat(513)), "smbios1"),
        (machine("name", "-x-"), "name"),
        // What only containers know.
        (Call::new(Method::Delete, "/nodes/pve1/qemu/104").with("force", 1), "force"),
        // Paths.
        (Call::new(Method::Get, "/nodes/pve1/lxc/99/config"), "vmid"),
        (Call::new(Method::Get, "/nodes/pve_1/lxc/100/config"), "node"),
        (Call::new(Method::Get, "/nodes/pve1/lxcs"), "path"),
        (Call::new(Method::Post, "/version"), "method"),
    ];
    let (calls, names): (Vec<Call>, Vec<&str>) = wrong.into_iter().unzip();
    for ((call, name), judgement) in calls.iter().zip(names).zip(judge(&calls)) {
        let found: Vec<&str> = judgement.errors.keys().map(String::as_str).collect();
        assert_eq!(found, [name], "{} {:?}: {:?}", call.path, call.parameters, judgement.errors);
    }
}
