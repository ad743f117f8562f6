//! Profiles, pools, networks and goldens of a project. Pure.

use super::facts::{ProjectFacts, RemoteFacts};
use crate::backend::findings::{Findings, State};
use crate::backend::incus::client::endpoint::network::Network;
use crate::backend::incus::client::verdict::{Class, Code};
use crate::backend::incus::wanted::{is_true, nic_names, root};

const GIB: u64 = 1 << 30;
/// Of a pool with less room than this, a guest more may be one too many.
const LITTLE: u64 = 2 * GIB;

pub(super) fn judge_resources(remote: &RemoteFacts, facts: &ProjectFacts, findings: &mut Findings) {
    if facts.project.is_err() {
        // What it has cannot be told either.
        return;
    }
    judge_profiles(facts, findings);
    judge_pools(remote, facts, findings);
    for (name, network) in &facts.networks {
        let what = format!("network {name} of {}", remote.name);
        match network {
            Ok(network) => judge_network(remote, network, what, findings),
            Err(error)
                if matches!(error.class, Class::Gone | Class::Denied | Class::Rejected(Code::NoNetwork)) =>
            {
                let why = "Incus does not know it, or does not show it: it is taken for a bridge of the host";
                findings.say(State::Warn, what, why).with_fix(["incus network list"]);
            }
            Err(error) => {
                findings.say(State::Unknown, what, error.to_string());
            }
        }
    }
    for (golden, found) in &facts.goldens {
        let what = format!("golden {golden}");
        match found {
            Ok(what_it_is) => {
                findings.say(State::Ok, what, what_it_is);
            }
            Err(fault) => findings.say(State::Fail, what, &fault.message).with_fix(fault.hint.clone()),
        }
    }
}

fn judge_profiles(facts: &ProjectFacts, findings: &mut Findings) {
    for (name, profile) in &facts.profiles {
        let what = format!("profile {name} of project {}", facts.name);
        match profile {
            Ok(_) => {}
            Err(error) if matches!(error.class, Class::Gone | Class::Rejected(Code::NoProfile)) => findings
                .say(State::Fail, what, "the project has no such profile")
                .with_fix(["incus.profiles names those that instances get"]),
            Err(error) => {
                findings.say(State::Unknown, what, error.to_string());
            }
        }
    }
    if facts.profiles.iter().any(|(_, profile)| profile.is_err()) {
        return;
    }
    let names: Vec<&str> = facts.profiles.iter().map(|(name, _)| name.as_str()).collect();
    let (names, devices) = (names.join(", "), facts.devices());
    let what = format!("profiles of project {}", facts.name);
    let add = |device: &str| format!("incus profile device add PROFILE {device} --project {}", facts.name);
    match (root(&devices), &facts.defaults.pool) {
        (Some((device, _)), _) => {
            findings.say(State::Ok, &what, format!("{names}: root disk `{device}`"));
        }
        (None, Some(pool)) => {
            findings.say(State::Ok, &what, format!("{names}: the root disk comes from incus.pool, `{pool}`"));
        }
        (None, None) => findings
            .say(State::Fail, &what, format!("{names}: no root disk, and incus.pool names none"))
            .with_fix([add("root disk path=/ pool=POOL")]),
    }
    let nics = nic_names(&devices);
    if !nics.is_empty() {
        findings.say(State::Ok, &what, format!("{names}: interface {}", nics.join(", ")));
    } else if facts.defaults.network.is_some() || !facts.asks.bridges.is_empty() {
        findings.say(State::Ok, &what, format!("{names}: interfaces come from the spec or incus.network"));
    } else {
        findings
            .say(
                State::Warn,
                &what,
                format!("{names}: no interface, and incus.network names none: guests have no network"),
            )
            .with_fix([add("eth0 nic network=NETWORK name=eth0")]);
    }
}

fn judge_pools(remote: &RemoteFacts, facts: &ProjectFacts, findings: &mut Findings) {
    for (name, pool, space) in &facts.pools {
        let what = format!("pool {name} of {}", remote.name);
        let pool = match pool {
            Ok(pool) => pool,
            Err(error)
                if matches!(error.class, Class::Gone | Class::Denied | Class::Rejected(Code::NoPool)) =>
            {
                let why = "the server has no such pool, or does not show it";
                findings.say(State::Fail, what, why).with_fix(["incus storage list"]);
                continue;
            }
            Err(error) => {
                findings.say(State::Unknown, what, error.to_string());
                continue;
            }
        };
        if !matches!(pool.status.as_str(), "" | "Created") {
            findings.say(State::Fail, what, format!("{}, {}", pool.driver, pool.status));
            continue;
        }
        let sizes = if pool.driver == "dir" { "; it holds nobody to a size" } else { "" };
        let free = space.as_ref().ok().map(|space| space.total.saturating_sub(space.used));
        match free {
            // Some drivers tell no sizes.
            None => {
                findings.say(State::Ok, what, format!("{}{sizes}", pool.driver));
            }
            Some(free) => {
                let state = if free < LITTLE { State::Warn } else { State::Ok };
                let why = format!("{}, {:.1} GiB free{sizes}", pool.driver, gib(free));
                findings.say(state, what, why);
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "one digit is shown")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

fn judge_network(remote: &RemoteFacts, network: &Network, what: String, findings: &mut Findings) {
    let (kind, set) = (&network.kind, |key: &str| {
        network.config.get(key).map(String::as_str).filter(|value| !matches!(*value, "" | "none"))
    });
    if !network.managed {
        let why = format!("{kind} of the host: who gives addresses there is not Incus' to know");
        findings.say(State::Ok, what, why);
        return;
    }
    if !matches!(network.status.as_str(), "" | "Created") {
        findings.say(State::Fail, what, format!("{kind}, {}", network.status));
        return;
    }
    if network.config.is_empty() && remote.tls.is_some() {
        findings.say(
            State::Ok,
            what,
            format!("{kind} of Incus; its addresses are not shown to a restricted certificate"),
        );
        return;
    }
    // Both hand out addresses unless they are told not to.
    let gives = |family: &str, key: &str| {
        let dhcp = network.config.get(&format!("{family}.{key}"));
        set(&format!("{family}.address")).filter(|_| dhcp.is_none_or(|value| is_true(value)))
    };
    let given: Vec<&str> = [gives("ipv4", "dhcp"), gives("ipv6", "dhcp")].into_iter().flatten().collect();
    let is_served = matches!(kind.as_str(), "bridge" | "ovn");
    if !given.is_empty() || !is_served {
        let addresses = if given.is_empty() { "by its uplink".to_owned() } else { given.join(", ") };
        findings.say(State::Ok, what, format!("{kind} of Incus, addresses {addresses}"));
    } else {
        findings
            .say(
                State::Warn,
                what,
                format!("{kind} of Incus that gives no addresses: a guest that waits for one is not ready"),
            )
            .with_fix([format!("incus network set {} ipv4.address=auto ipv4.dhcp=true", network.name)]);
    }
}
