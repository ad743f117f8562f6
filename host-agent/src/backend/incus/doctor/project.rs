//! A project, and what it forbids of what we send. Pure.
//!
//! Source of what is forbidden where nothing is said: allRestrictions in internal/server/project/permissions.go of Incus.

use super::facts::{ProjectFacts, RemoteFacts};
use crate::backend::Kind;
use crate::backend::findings::{Findings, State};
use crate::backend::incus::client::endpoint::Config;
use crate::backend::incus::client::endpoint::server::Server;
use crate::backend::incus::client::verdict::{ApiError, Class, Code};
use crate::backend::incus::wanted::{is_true, nic_names};

pub(super) fn judge_project(
    remote: &RemoteFacts,
    server: &Server,
    facts: &ProjectFacts,
    findings: &mut Findings,
) {
    let what = format!("project {} of {}", facts.name, remote.name);
    let config = match &facts.project {
        Ok(project) => &project.config,
        Err(error) => {
            judge_missing(remote, facts, what, error, findings);
            return;
        }
    };
    let restricted = config.get("restricted").is_some_and(|value| is_true(value));
    findings.say(State::Ok, &what, if restricted { "is there, and is restricted" } else { "is there" });
    if restricted {
        judge_restrictions(facts, config, &what, findings);
    }
    judge_limits(facts, &what, findings);
    judge_machines(server, facts, config, restricted, &what, findings);
    judge_events(facts, &what, findings);
}

fn judge_missing(
    remote: &RemoteFacts,
    facts: &ProjectFacts,
    what: String,
    error: &ApiError,
    findings: &mut Findings,
) {
    let seen = match &remote.visible {
        Some(Ok(projects)) if !projects.is_empty() => {
            let names: Vec<&str> = projects.iter().map(|project| project.name.as_str()).collect();
            format!("it shows {}", names.join(", "))
        }
        _ => "it shows none".to_owned(),
    };
    match error.class {
        Class::Gone | Class::Rejected(Code::NoProject) => findings
            .say(State::Fail, what, format!("the server has no such project; {seen}"))
            .with_fix([format!("incus project create {}", facts.name)]),
        Class::Denied => findings
            .say(State::Fail, what, format!("our certificate is not for it, or it is not there; {seen}"))
            .with_fix([
                "incus config trust edit FINGERPRINT",
                "on the server: its `projects` have to name this one; or incus.remote's `project` names another",
            ]),
        _ => { findings.say(State::Unknown, what, error.to_string()); }
    }
}

/// What a restricted project says to a key, or what Incus takes where it says nothing.
fn word<'a>(config: &'a Config, key: &str, usual: &'a str) -> &'a str {
    config.get(key).map_or(usual, String::as_str)
}

fn judge_restrictions(facts: &ProjectFacts, config: &Config, what: &str, findings: &mut Findings) {
    let set = |key: &str, value: &str| format!("incus project set {} {key}={value}", facts.name);
    for (key, lost) in [
        ("restricted.snapshots", "`firstlight snapshot` and `rollback` cannot work here"),
        ("restricted.backups", "no golden can be exported from here (`incus export`)"),
    ] {
        if word(config, key, "block") == "block" {
            let why = format!("{key} is block: {lost}");
            findings.say(State::Warn, what, why).with_fix([set(key, "allow")]);
        }
    }
    if word(config, "restricted.devices.disk", "managed") == "block" {
        let state = if facts.asks.volumes { State::Fail } else { State::Warn };
        let why = "restricted.devices.disk is block: guests can have no mounts";
        findings.say(state, what, why).with_fix([set("restricted.devices.disk", "managed")]);
    }
    if facts.asks.members && word(config, "restricted.cluster.target", "block") == "block" {
        let why = "restricted.cluster.target is block: `node` of a guest is refused";
        findings.say(State::Fail, what, why).with_fix([set("restricted.cluster.target", "allow")]);
    }
    judge_interfaces(facts, config, what, findings);
    judge_pools(facts, config, what, findings);
}

/// Of the profiles, and of the spec.
fn judge_interfaces(facts: &ProjectFacts, config: &Config, what: &str, findings: &mut Findings) {
    let set = |value: &str| format!("incus project set {} {value}", facts.name);
    let rule = word(config, "restricted.devices.nic", "managed");
    let devices = facts.devices();
    if rule == "block" {
        let asked = !facts.asks.bridges.is_empty() || !nic_names(&devices).is_empty();
        let state = if asked { State::Fail } else { State::Warn };
        let why = "restricted.devices.nic is block: guests can have no interface";
        findings.say(state, what, why).with_fix([set("restricted.devices.nic=managed")]);
        return;
    }
    let allowed = word(config, "restricted.networks.access", "");
    for (name, network) in &facts.networks {
        // One that is not shown to us may well be Incus' own.
        let is_hosts = match network {
            Ok(network) => !network.managed,
            Err(error) => matches!(error.class, Class::Gone | Class::Rejected(Code::NoNetwork)),
        };
        if is_hosts && rule == "managed" {
            let why =
                format!("restricted.devices.nic is managed: `{name}`, a bridge of the host, is refused");
            findings.say(State::Fail, what, why).with_fix([set("restricted.devices.nic=allow")]);
        } else if !allowed.is_empty() && !is_listed(allowed, name) {
            let why = format!("restricted.networks.access does not name `{name}`");
            let fix = set(&format!("restricted.networks.access={allowed},{name}"));
            findings.say(State::Fail, what, why).with_fix([fix]);
        }
    }
}

fn judge_pools(facts: &ProjectFacts, config: &Config, what: &str, findings: &mut Findings) {
    let allowed = word(config, "restricted.storage-pools.access", "");
    for (pool, ..) in &facts.pools {
        if !allowed.is_empty() && !is_listed(allowed, pool) {
            let why = format!("restricted.storage-pools.access does not name `{pool}`");
            let fix =
                format!("incus project set {} restricted.storage-pools.access={allowed},{pool}", facts.name);
            findings.say(State::Fail, what, why).with_fix([fix]);
        }
    }
}

fn is_listed(list: &str, name: &str) -> bool {
    list.split(',').any(|one| one.trim() == name)
}

fn judge_limits(facts: &ProjectFacts, what: &str, findings: &mut Findings) {
    let Ok(state) = &facts.state else { return };
    for (name, resource) in &state.resources {
        if resource.limit >= 0 && resource.usage >= resource.limit {
            let why = format!("limits.{name} is reached: {} of {}", resource.usage, resource.limit);
            // Of a kind that nobody asks for it is none of our business.
            let state = if name == "virtual-machines" { State::Warn } else { State::Fail };
            findings.say(state, what, why).with_fix([format!("incus project info {}", facts.name)]);
        }
    }
}

/// Only where machines are asked for it is more than a word.
fn judge_machines(
    server: &Server,
    facts: &ProjectFacts,
    config: &Config,
    restricted: bool,
    what: &str,
    findings: &mut Findings,
) {
    let asked = facts.asks.kinds.contains(&Kind::Vm);
    let drivers: Vec<&str> = server.environment.driver.split('|').map(str::trim).collect();
    if asked && !drivers.contains(&"qemu") {
        let why = "the server can run no machines: that takes KVM and vhost-vsock";
        findings.say(State::Fail, what, why).with_fix(["incus warning list", "says what it lacks"]);
    }
    if asked && restricted && word(config, "restricted.virtual-machines.lowlevel", "block") != "allow" {
        // The only way to a machine-id that is fixed in advance is `volatile.uuid`.
        let why = "restricted.virtual-machines.lowlevel is block: a machine's UUID cannot be chosen";
        let fix = format!("incus project set {} restricted.virtual-machines.lowlevel=allow", facts.name);
        findings.say(State::Fail, what, why).with_fix([fix]);
    }
}

fn judge_events(facts: &ProjectFacts, what: &str, findings: &mut Findings) {
    let what = format!("events of {what}");
    match &facts.events {
        Ok(()) => {
            findings.say(State::Ok, what, "the socket opens: guests that are ready are heard of at once");
        }
        Err(why) => {
            let why = format!("the socket does not open: {why}; guests are looked at instead");
            findings.say(State::Warn, what, why).with_fix([
                "a proxy on the way has to pass websockets (GET /1.0/events with `Upgrade: websocket`)",
            ]);
        }
    }
}
