//! `restart-policy`: no running container would stay down after a reboot.

use std::collections::BTreeMap;

use firstlight_shared::check::Verdict;
use serde::Deserialize;

use super::super::Look;
use super::super::value::matches;
use super::super::value::names;
use super::Socket;
use super::api::{Container, Daemon, DaemonError};

/// Swarm starts its tasks anew without any policy.
const SWARM_TASK: &str = "com.docker.swarm.task.id";
/// So many containers are asked for; more than a host has.
const MAX_CONTAINERS: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct RestartPolicy {
    socket: Socket,
    /// Patterns of container names that somebody else starts (a systemd unit), or that may stay down.
    ignore: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    host_config: HostConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    restart_policy: Policy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Policy {
    name: String,
}

pub(in super::super) async fn look(keys: &RestartPolicy) -> Look {
    match observe(keys, &keys.socket.daemon()).await {
        Ok(policies) => judge(&policies),
        Err(error) => error.look(),
    }
}

/// Policies by the names of the containers that run and count.
async fn observe(keys: &RestartPolicy, daemon: &Daemon<'_>) -> Result<BTreeMap<String, String>, DaemonError> {
    let running: Vec<Container> = daemon.get("/containers/json").await?;
    if running.len() > MAX_CONTAINERS {
        return Err(DaemonError::Run(format!("more than {MAX_CONTAINERS} containers run")));
    }
    let mut policies = BTreeMap::new();
    for container in running.iter().filter(|container| counts(keys, container)) {
        match daemon.get::<Inspected>(&format!("/containers/{}/json", container.id)).await {
            Ok(inspected) => {
                policies.insert(container.name().to_owned(), inspected.host_config.restart_policy.name);
            }
            // It ended between the two questions.
            Err(DaemonError::Refused { status: 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(policies)
}

fn counts(keys: &RestartPolicy, container: &Container) -> bool {
    let name = container.name();
    !container.labels.contains_key(SWARM_TASK) && !keys.ignore.iter().any(|pattern| matches(pattern, name))
}

/// `on-failure` brings none back that ended with exit code 0, as a good one does when the shutdown asks it to.
/// Source: ShouldRestart in restartmanager.go of moby.
fn judge(policies: &BTreeMap<String, String>) -> Look {
    let stays_up = |policy: &str| matches!(policy, "always" | "unless-stopped");
    let down: Vec<String> = policies
        .iter()
        .filter(|(_, policy)| !stays_up(policy))
        .map(|(name, policy)| format!("{name} ({})", if policy.is_empty() { "no" } else { policy }))
        .collect();
    if down.is_empty() {
        return Look::Final(
            Verdict::Pass,
            format!("{} running containers come back after a reboot", policies.len()),
        );
    }
    Look::not_yet(format!("would stay down after a reboot: {}", names(&down)))
}

#[cfg(test)]
mod tests {
    use super::super::super::units::said;
    use super::*;

    #[test]
    fn only_always_and_unless_stopped_survive_a_reboot() {
        for (policy, verdict) in [
            ("always", Verdict::Pass),
            ("unless-stopped", Verdict::Pass),
            ("on-failure", Verdict::Fail),
            ("no", Verdict::Fail),
            ("", Verdict::Fail),
        ] {
            let policies = BTreeMap::from([("web".to_owned(), policy.to_owned())]);
            assert_eq!(said(&judge(&policies)).0, verdict, "{policy}");
        }
        assert_eq!(said(&judge(&BTreeMap::new())).0, Verdict::Pass);
    }

    #[test]
    fn swarm_tasks_and_ignored_names_do_not_count() {
        let keys = RestartPolicy { ignore: vec!["ci-*".into()], ..RestartPolicy::default() };
        let container = |name: &str, label: &str| Container {
            names: vec![format!("/{name}")],
            labels: BTreeMap::from([(label.to_owned(), String::new())]),
            ..Container::default()
        };
        assert!(counts(&keys, &container("web", "x")));
        assert!(!counts(&keys, &container("ci-1", "x")));
        assert!(!counts(&keys, &container("web", SWARM_TASK)));
    }
}
