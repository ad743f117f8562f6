//! Whether storages and bridges are where guests may come to be, and take what they shall. Pure.

use super::facts::{ClusterFacts, NodeFacts};
use super::needs::{Area, Ask};
use crate::backend::Kind;
use crate::backend::findings::{Finding, Findings, State};
use crate::backend::proxmox::client::endpoint::storage::StorageState;

/// How one thing stands on one node.
struct Stand {
    state: State,
    what: String,
    why: String,
    fix: Vec<String>,
}

/// For each ask; where any node will do, one that is well is enough.
pub(super) fn judge_places(facts: &ClusterFacts, findings: &mut Findings) {
    for ask in &facts.asks {
        let nodes: Vec<&NodeFacts> = facts
            .places
            .iter()
            .filter(|place| ask.node.as_ref().is_none_or(|wanted| *wanted == place.name))
            .collect();
        for storage in &ask.storages {
            across(&nodes, ask, findings, |node| storage_on(facts, node, storage, ask.kind));
        }
        for (bridge, vlan) in &ask.bridges {
            across(&nodes, ask, findings, |node| bridge_on(facts, node, bridge, *vlan));
        }
    }
}

fn across(nodes: &[&NodeFacts], ask: &Ask, findings: &mut Findings, look: impl Fn(&NodeFacts) -> Stand) {
    let stands: Vec<Stand> = nodes.iter().map(|node| look(node)).collect();
    let elsewhere = ask.node.is_none() && stands.iter().any(|stand| stand.state <= State::Warn);
    for stand in stands {
        let mut state = stand.state;
        if (elsewhere || !ask.must) && state > State::Warn {
            state = State::Warn;
        }
        let finding = Finding { state, what: stand.what, why: stand.why, fix: stand.fix };
        // Several asks may want the same; the worst of it counts.
        match findings
            .findings
            .iter_mut()
            .find(|other| other.what == finding.what && other.why == finding.why)
        {
            Some(other) => other.state = other.state.max(finding.state),
            None => findings.findings.push(finding),
        }
    }
}

fn storage_on(facts: &ClusterFacts, node: &NodeFacts, storage: &str, kind: Kind) -> Stand {
    let content = match kind {
        Kind::Lxc => "rootdir",
        Kind::Vm => "images",
    };
    let what = format!("storage {storage} on {}", node.name);
    let stand = |state, why: String, fix: Vec<String>| Stand { state, what: what.clone(), why, fix };
    let listed = match &node.storages {
        Ok(list) => list,
        Err(error) => {
            return stand(
                State::Unknown,
                format!("the storages of {} could not be listed: {error}", node.name),
                vec![],
            );
        }
    };
    let Some(found) = listed.iter().find(|state| state.storage.as_deref() == Some(storage)) else {
        let may =
            facts.has(&Area::Storage(storage.to_owned()), &["Datastore.Audit", "Datastore.AllocateSpace"]);
        return match may {
            Ok(true) => stand(
                State::Fail,
                format!("{} has no storage of that name, or it is disabled", node.name),
                vec![format!("it has {}", names(listed))],
            ),
            _ => stand(State::Unknown, "it is not shown to this token".to_owned(), vec![]),
        };
    };
    if !found.takes(content) {
        return stand(
            State::Fail,
            format!("it takes no {content} (it takes {})", found.content.join(", ")),
            widen(found, storage, content),
        );
    }
    if !found.active {
        return stand(
            State::Fail,
            "it is not active: not mounted, or its server is away".to_owned(),
            vec![format!("pvesm status --storage {storage}")],
        );
    }
    let free = found.avail.map_or_else(String::new, |bytes| format!(", {} GiB free", bytes >> 30));
    stand(State::Ok, format!("takes {content}{free}"), vec![])
}

/// What may be done for a storage that does not take this content.
fn widen(found: &StorageState, storage: &str, content: &str) -> Vec<String> {
    if found.driver == "pbs" {
        return vec![
            "a backup server keeps backups only: name another storage for guests' volumes".to_owned(),
        ];
    }
    let wide = found.content.iter().map(String::as_str).chain([content]).collect::<Vec<_>>().join(",");
    vec![format!("pvesm set {storage} --content {wide}")]
}

fn names(listed: &[StorageState]) -> String {
    let names: Vec<&str> = listed.iter().filter_map(|state| state.storage.as_deref()).collect();
    if names.is_empty() { "none that this token may see".to_owned() } else { names.join(", ") }
}

/// A golden's storage: whether it can hold backups at all.
pub(super) fn holds_backups(place: &NodeFacts, storage: &str) -> Option<String> {
    let found =
        place.storages.as_ref().ok()?.iter().find(|state| state.storage.as_deref() == Some(storage))?;
    if found.takes("backup") {
        return None;
    }
    let block = matches!(
        found.driver.as_str(),
        "lvm" | "lvmthin" | "zfspool" | "rbd" | "iscsi" | "iscsidirect" | "zfs"
    );
    Some(match block {
        true => format!("{storage} is {}, which keeps no backups at all", found.driver),
        false => format!("{storage} takes no backups (it takes {})", found.content.join(", ")),
    })
}

fn bridge_on(facts: &ClusterFacts, node: &NodeFacts, bridge: &str, vlan: Option<u16>) -> Stand {
    let what = format!("bridge {bridge} on {}", node.name);
    let stand = |state, why: String, fix: Vec<String>| Stand { state, what: what.clone(), why, fix };
    let listed = match &node.bridges {
        Ok(list) => list,
        Err(error) => {
            return stand(
                State::Unknown,
                format!("the bridges of {} could not be listed: {error}", node.name),
                vec![],
            );
        }
    };
    if listed.iter().any(|line| line.iface == bridge) {
        return stand(State::Ok, "is there".to_owned(), vec![]);
    }
    // Only those that the token may use are listed.
    match facts.has(&Area::Bridge(bridge.to_owned(), vlan), &["SDN.Use"]) {
        Ok(true) => {
            let names: Vec<&str> = listed.iter().map(|line| line.iface.as_str()).collect();
            stand(
                State::Fail,
                "it is not there".to_owned(),
                vec![format!("{} has {}", node.name, names.join(", "))],
            )
        }
        _ => stand(State::Unknown, "it is not shown to this token".to_owned(), vec![]),
    }
}
