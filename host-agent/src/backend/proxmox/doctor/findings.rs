//! What follows from what there is. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{ClusterFacts, Facts, GoldenFacts};
use super::grants::grant;
use super::needs::{Area, Need};
use super::storages::{holds_backups, judge_places};
use crate::backend::Kind;
use crate::backend::findings::{APART_S, Findings, State, counted};
use crate::backend::proxmox::archive;
use crate::backend::proxmox::client::endpoint::cluster::Version;
use crate::backend::proxmox::client::endpoint::guest;
use crate::backend::proxmox::client::link::Pin;
use crate::backend::proxmox::client::verdict::{ApiError, Class, Code, Unsent};

/// `env` of containers is there from this version on.
const ENV_SINCE: (u32, u32) = (9, 1);
/// All addresses of a container are listed by every release after this one.
const ADDRESSES_SINCE: (u32, u32) = (8, 3);

pub(super) fn judge(facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    judge_doors(facts, &mut findings);
    judge_pin(&facts.pin, &mut findings);
    let Some(cluster) = &facts.cluster else { return findings };
    findings.say(State::Ok, "token", format!("{} is let in", facts.token));
    judge_version(cluster, &mut findings);
    judge_nodes(cluster, &mut findings);
    judge_clocks(cluster, &mut findings);
    judge_permissions(cluster, &facts.token, &mut findings);
    judge_places(cluster, &mut findings);
    for (volume, golden) in &cluster.goldens {
        judge_golden(cluster, &facts.token, volume, golden, &mut findings);
    }
    findings.say_preflights(&cluster.preflights);
    findings
}

fn judge_doors(facts: &Facts, findings: &mut Findings) {
    let another = facts.doors.iter().any(|(_, answer)| answer.is_ok());
    for (address, answer) in &facts.doors {
        let error = match answer {
            Ok(_) => {
                findings.say(State::Ok, address, "answers, and is the pinned server");
                continue;
            }
            Err(error) => error,
        };
        let state = match error.class {
            // Somebody may stand in between: that is never a small thing.
            Class::NeverSent(Unsent::Unreachable) | Class::MaybeApplied if another => State::Warn,
            _ => State::Fail,
        };
        let finding = findings.say(state, address, without_address(&error.text, address));
        match &error.class {
            Class::NeverSent(Unsent::WrongCertificate) => finding.with_fix([
                "pvenode cert info".to_owned(),
                "compare there what the server shows here; if it is the same, it was renewed or is another node of the cluster:".to_owned(),
                format!("firstlight trust {address}"),
            ]),
            Class::Rejected { code: Code::Unauthenticated, .. } => finding.with_fix([
                format!("the secret is wrong, or the token {} is not there, disabled or expired:", facts.token),
                format!("pveum user token list {}", user_of(&facts.token)),
            ]),
            _ => finding.with_fix([
                "is the address right, does pveproxy run there (systemctl status pveproxy), and may this machine reach it?",
            ]),
        }
    }
    if facts.doors.is_empty() {
        findings.say(State::Unknown, "addresses", "none could be asked");
    }
}

/// It stands before the reason already.
fn without_address(text: &str, address: &str) -> String {
    let rest = text.strip_prefix(address).map(|rest| rest.trim_start_matches([':', ' ']));
    rest.filter(|rest| !rest.is_empty()).unwrap_or(text).to_owned()
}

fn user_of(token: &str) -> &str {
    token.split_once('!').map_or(token, |(user, _)| user)
}

fn judge_pin(pin: &Pin, findings: &mut Findings) {
    match (pin, pin.warning()) {
        (_, Some(warning)) => findings.say(State::Warn, "pin", warning).with_fix([
            "firstlight trust ADDRESS",
            "then take proxmox.fingerprints out of the configuration",
        ]),
        (Pin::Keys(keys), None) => {
            let why = format!("{} of nodes; they outlive the certificates", counted(keys.len(), "key"));
            findings.say(State::Ok, "pin", why);
        }
        (_, None) => {
            findings.say(
                State::Ok,
                "pin",
                "the cluster's authority; addresses must be in the nodes' certificates",
            );
        }
    }
}

fn judge_version(cluster: &ClusterFacts, findings: &mut Findings) {
    let Version { version, .. } = &cluster.version;
    let shown = firstlight_shared::text::escape(version, 40);
    let Some(numbers) = cluster.version.numbers() else {
        findings.say(State::Unknown, "version", format!("`{shown}` is no version of Proxmox VE"));
        return;
    };
    findings.say(State::Ok, "version", format!("Proxmox VE {shown}"));
    if !cluster.asks.iter().any(|ask| ask.kind == Kind::Lxc) {
        return;
    }
    if numbers >= ENV_SINCE {
        findings.say(State::Ok, "claims of containers", "handed over in `env`");
    } else {
        let why = "this version has no `env` for containers (9.1 has): nothing can be handed to them";
        findings
            .say(State::Warn, "claims of containers", why)
            .with_fix(["put the companion's address and key into the goldens: /etc/firstlight/guest.toml"]);
    }
    let beacons = "beacons of containers";
    if numbers > ADDRESSES_SINCE {
        findings.say(State::Ok, beacons, "all addresses of a container are listed");
    } else {
        let why = match numbers == ADDRESSES_SINCE {
            true => "whether all addresses of a container are listed depends on the package",
            false => {
                "this version does not list all addresses of a container: reports cannot be bound to their guests"
            }
        };
        findings
            .say(State::Warn, beacons, why)
            .with_fix(["pveversion -v | grep pve-container", "5.2.6 or newer is wanted"]);
    }
}

fn judge_nodes(cluster: &ClusterFacts, findings: &mut Findings) {
    let nodes = match &cluster.nodes {
        Ok(nodes) => nodes,
        Err(error) => {
            findings.say(State::Unknown, "nodes", format!("they could not be listed: {error}"));
            return;
        }
    };
    for line in nodes {
        let status = line.status.as_deref().unwrap_or("unknown");
        let wanted = cluster.asks.iter().any(|ask| ask.node.as_ref() == Some(&line.node));
        let state = match (status, wanted) {
            ("online", _) => State::Ok,
            ("offline", true) => State::Fail,
            ("offline", false) => State::Warn,
            _ => State::Unknown,
        };
        findings.say(state, format!("node {}", line.node), status);
    }
    let missing: BTreeSet<&String> = cluster
        .asks
        .iter()
        .filter_map(|ask| ask.node.as_ref())
        .filter(|wanted| !nodes.iter().any(|line| line.node == **wanted))
        .collect();
    for node in missing {
        let names: Vec<&str> = nodes.iter().map(|line| line.node.as_str()).collect();
        findings
            .say(State::Fail, format!("node {node}"), "the cluster has no such node")
            .with_fix([format!("it has {}", names.join(", "))]);
    }
    if cluster.places.is_empty() {
        findings.say(
            State::Unknown,
            "places",
            "no node where guests may come to be is online: nothing was looked at there",
        );
    }
}

fn judge_clocks(cluster: &ClusterFacts, findings: &mut Findings) {
    for place in &cluster.places {
        let what = format!("clock of {}", place.name);
        match &place.ahead_s {
            Ok(ahead) if ahead.unsigned_abs() < APART_S => {
                findings.say(State::Ok, what, format!("{ahead:+} s from ours"));
            }
            Ok(ahead) => findings
                .say(State::Warn, what, format!("{ahead:+} s from ours"))
                .with_fix(["chronyc tracking", "on the node and here: one of them is not synchronized"]),
            // Said with the privilege itself.
            Err(ApiError { class: Class::Denied { .. }, .. }) => {
                findings.say(State::Warn, what, "it is not shown to this token");
            }
            Err(error) => {
                findings.say(State::Unknown, what, error.to_string());
            }
        }
    }
}

/// One finding for each path and weight.
fn judge_permissions(cluster: &ClusterFacts, token: &str, findings: &mut Findings) {
    let mut by_area: BTreeMap<(String, &Area), Vec<&Need>> = BTreeMap::new();
    for need in &cluster.needs {
        by_area.entry((need.area.grant(), &need.area)).or_default().push(need);
    }
    for ((path, area), needs) in by_area {
        let what = match area {
            Area::Number(_) => "tags of containers".to_owned(),
            _ => format!("rights on {}", area.paths().join(" or ")),
        };
        let (mut lacking, mut unasked): (Vec<&Need>, Option<&ApiError>) = (Vec::new(), None);
        for need in &needs {
            match cluster.has(area, &need.any) {
                Ok(true) => {}
                Ok(false) => lacking.push(need),
                Err(error) => unasked = Some(error),
            }
        }
        if let Some(error) = unasked {
            findings.say(State::Unknown, what.clone(), format!("they could not be asked for: {error}"));
            continue;
        }
        if lacking.is_empty() {
            let names: Vec<&str> = needs.iter().map(|need| need.any[0]).collect();
            findings.say(State::Ok, what, names.join(", "));
            continue;
        }
        let wanted: BTreeSet<&str> = needs.iter().map(|need| need.any[0]).collect();
        for (state, must) in [(State::Fail, true), (State::Warn, false)] {
            let of_weight: Vec<&&Need> = lacking.iter().filter(|need| need.must == must).collect();
            if of_weight.is_empty() {
                continue;
            }
            let told: Vec<String> =
                of_weight.iter().map(|need| format!("{} is missing ({})", need.any[0], need.why)).collect();
            let finding = findings.say(state, what.clone(), told.join("; "));
            if !matches!(area, Area::Number(_)) {
                finding.with_fix(grant(token, &path, &wanted, &cluster.granted(&area_and_path(area, &path))));
            }
        }
    }
}

fn area_and_path(area: &Area, path: &str) -> Vec<String> {
    area.paths().into_iter().chain([path.to_owned()]).collect()
}

fn judge_golden(
    cluster: &ClusterFacts,
    token: &str,
    volume: &str,
    golden: &GoldenFacts,
    findings: &mut Findings,
) {
    let what = format!("golden {}", firstlight_shared::text::escape(volume, 160));
    let parsed = match archive::golden(volume) {
        Ok(parsed) => parsed,
        Err(fault) => {
            findings.say(State::Fail, what, fault.message).with_fix(fault.hint);
            return;
        }
    };
    let kinds = cluster.asks.iter().filter(|ask| ask.golden.as_deref() == Some(volume));
    let other = kinds.map(|ask| ask.kind).find(|kind| match kind {
        Kind::Lxc => parsed.kind != guest::Kind::Lxc,
        Kind::Vm => parsed.kind != guest::Kind::Qemu,
    });
    if let Some(kind) = other {
        let why = format!("it is an archive of another kind than the spec's `kind = \"{}\"`", kind.as_str());
        findings.say(State::Fail, what, why);
        return;
    }
    if let Some(why) = cluster.places.iter().find_map(|place| holds_backups(place, parsed.storage)) {
        findings.say(State::Fail, what, why).with_fix(["pvesm status --content backup"]);
        return;
    }
    let Some(answer) = &golden.archive else {
        findings.say(State::Unknown, what, "no node is online that could read it");
        return;
    };
    match answer {
        Ok(archive) if !archive.raw_lines().is_empty() => {
            let why = format!(
                "it has raw lines, which a token's restore drops: {}",
                firstlight_shared::text::escape(&archive.raw_lines().join(", "), 200)
            );
            findings.say(State::Warn, what, why);
        }
        Ok(_) => {
            findings.say(State::Ok, what, "this token can read it");
        }
        Err(error) => judge_unread(cluster, token, what, &parsed, error, findings),
    }
}

fn judge_unread(
    cluster: &ClusterFacts,
    token: &str,
    what: String,
    golden: &archive::Golden<'_>,
    error: &ApiError,
    findings: &mut Findings,
) {
    let storage = format!("/storage/{}", golden.storage);
    match &error.class {
        Class::Denied { .. } => {
            let owner = golden.owner.map(|owner| format!("/vms/{owner}"));
            let why = match &owner {
                Some(owner) => format!(
                    "this token cannot read it: it needs Datastore.AllocateSpace on {storage}, and VM.Backup on {owner}, of whom it was made"
                ),
                None => format!("this token cannot read it: it needs Datastore.Allocate on {storage}"),
            };
            let space = if owner.is_some() { "Datastore.AllocateSpace" } else { "Datastore.Allocate" };
            let on = |path: &String, privilege: &'static str| {
                let has = cluster.granted(std::slice::from_ref(path));
                let lacks = !has.contains(privilege) && !has.contains("Datastore.Allocate");
                if lacks { grant(token, path, &BTreeSet::from([privilege]), &has) } else { Vec::new() }
            };
            let mut fix = on(&storage, space);
            fix.extend(owner.iter().flat_map(|owner| on(owner, "VM.Backup")));
            findings.say(State::Fail, what, why).with_fix(fix);
        }
        Class::Gone | Class::Rejected { code: Code::NoVolume | Code::NoStorage, .. } => findings
            .say(State::Fail, what, format!("it is not there: {}", error.text))
            .with_fix([format!("pvesm list {} --content backup", golden.storage)]),
        _ => {
            findings.say(State::Unknown, what, error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
