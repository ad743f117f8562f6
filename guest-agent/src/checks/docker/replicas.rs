//! `replicas`: n of n run: units by a pattern, containers by name, label or image, or a swarm service.

use firstlight_shared::error::Chain;
use serde::Deserialize;
use serde::de::Error as _;

use super::super::units::judge_replicas;
use super::super::value::{matches, names};
use super::super::{Context, Look};
use super::Socket;
use super::api::{Container, Daemon, DaemonError};

#[derive(Debug, Deserialize)]
#[serde(try_from = "Keys")]
pub(in super::super) struct Replicas {
    of: Of,
    /// All that there are, and at least one, if absent; of a service, as many as it wants.
    count: Option<usize>,
    socket: Socket,
}

#[derive(Debug)]
enum Of {
    Units(String),
    Containers(Wanted),
    Service(String),
}

/// Containers that match all that is given.
#[derive(Debug)]
struct Wanted {
    name: Option<String>,
    /// `KEY` or `KEY=VALUE`.
    label: Option<String>,
    image: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    units: Option<String>,
    container: Option<String>,
    label: Option<String>,
    image: Option<String>,
    service: Option<String>,
    count: Option<usize>,
    #[serde(default)]
    socket: Socket,
}

impl TryFrom<Keys> for Replicas {
    type Error = toml::de::Error;
    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let Keys { units, container, label, image, service, count, socket } = keys;
        let wanted = Wanted { name: container, label, image };
        let containers = wanted.name.is_some() || wanted.label.is_some() || wanted.image.is_some();
        let of = match (units, containers, service) {
            (Some(pattern), false, None) => Of::Units(pattern),
            (None, true, None) => Of::Containers(wanted),
            (None, false, Some(name)) => Of::Service(name),
            _ => {
                return Err(Self::Error::custom(
                    "one of `units`, `service`, and containers by `container`, `label` and `image` is wanted",
                ));
            }
        };
        if count == Some(0) {
            return Err(Self::Error::custom("a `count` of 0 is always there"));
        }
        Ok(Self { of, count, socket })
    }
}

pub(in super::super) async fn look(keys: &Replicas, context: &Context<'_>) -> Look {
    let daemon = keys.socket.daemon();
    let looked = match &keys.of {
        Of::Units(pattern) => {
            return match context.bus.units_matching(pattern).await {
                Ok(units) => judge_replicas(&units, keys.count),
                Err(error) => Look::cannot_tell(Chain(&error).to_string()),
            };
        }
        Of::Containers(wanted) => containers(&daemon, wanted, keys.count).await,
        Of::Service(name) => service(&daemon, name, keys.count).await,
    };
    looked.unwrap_or_else(|error| error.look())
}

async fn containers(daemon: &Daemon<'_>, wanted: &Wanted, count: Option<usize>) -> Result<Look, DaemonError> {
    let all: Vec<Container> = daemon.get("/containers/json?all=true").await?;
    let matching: Vec<&Container> = all.iter().filter(|container| is_wanted(wanted, container)).collect();
    Ok(judge_containers(&matching, count))
}

fn is_wanted(wanted: &Wanted, container: &Container) -> bool {
    let name = wanted.name.as_ref().is_none_or(|pattern| matches(pattern, container.name()));
    let image = wanted.image.as_ref().is_none_or(|pattern| matches(pattern, &container.image));
    let label = wanted.label.as_ref().is_none_or(|label| match label.split_once('=') {
        Some((key, value)) => container.labels.get(key).is_some_and(|found| found == value),
        None => container.labels.contains_key(label),
    });
    name && image && label
}

/// One that runs but has a health check counts when that says healthy.
fn judge_containers(matching: &[&Container], count: Option<usize>) -> Look {
    let runs = |container: &&&Container| {
        let sick = ["(unhealthy)", "(health: starting)"].iter().any(|word| container.status.contains(word));
        container.state == "running" && !sick
    };
    let running = matching.iter().filter(runs).count();
    let wanted = count.unwrap_or(matching.len().max(1));
    let seen = format!("{running} of {wanted} containers run");
    if running >= wanted {
        return Look::pass(seen);
    }
    let others: Vec<String> = matching
        .iter()
        .filter(|container| !runs(container))
        .map(|container| format!("{} {}", container.name(), container.state))
        .collect();
    if others.is_empty() { Look::not_yet(seen) } else { Look::not_yet(format!("{seen}: {}", names(&others))) }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    spec: Spec,
    /// Since API 1.41, Docker 20.10.
    service_status: Option<Status>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    running_tasks: usize,
    desired_tasks: usize,
}

async fn service(daemon: &Daemon<'_>, name: &str, count: Option<usize>) -> Result<Look, DaemonError> {
    let services: Vec<Service> = daemon.get("/services?status=true").await?;
    Ok(judge_service(services.iter().find(|service| service.spec.name == name), name, count))
}

fn judge_service(service: Option<&Service>, name: &str, count: Option<usize>) -> Look {
    let Some(service) = service else { return Look::not_yet(format!("there is no service {name}")) };
    let Some(status) = &service.service_status else {
        return Look::cannot_tell("this docker daemon does not count the tasks of a service".to_owned());
    };
    let wanted = count.unwrap_or(status.desired_tasks.max(1));
    let seen = format!("{} of {wanted} tasks of {name} run", status.running_tasks);
    if status.running_tasks >= wanted { Look::pass(seen) } else { Look::not_yet(seen) }
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::super::super::units::said;
    use super::*;

    fn container(name: &str, state: &str, status: &str) -> Container {
        Container {
            names: vec![format!("/other/{name}"), format!("/{name}")],
            image: "shop:1".into(),
            labels: [("app".to_owned(), "shop".to_owned())].into(),
            state: state.into(),
            status: status.into(),
            ..Container::default()
        }
    }

    #[test]
    fn containers_that_run_and_are_not_sick_count() {
        let up = container("web-1", "running", "Up 3 minutes");
        let sick = container("web-2", "running", "Up 3 minutes (unhealthy)");
        let new = container("web-2", "running", "Up 1 second (health: starting)");
        let down = container("web-2", "exited", "Exited (1) 3 minutes ago");
        for (matching, count, verdict) in [
            (vec![&up], None, Verdict::Pass),
            (vec![&up, &down], None, Verdict::Fail),
            (vec![&up, &sick], None, Verdict::Fail),
            (vec![&up, &new], Some(2), Verdict::Fail),
            (vec![&up, &down], Some(1), Verdict::Pass),
            (vec![], None, Verdict::Fail),
        ] {
            let look = judge_containers(&matching, count);
            assert_eq!(said(&look).0, verdict, "{look:?}");
        }
    }

    #[test]
    fn containers_are_chosen_by_all_that_is_given() {
        let found = container("web-1", "running", "");
        for (name, label, image, expected) in [
            (Some("web-*"), None, None, true),
            (Some("web"), None, None, false),
            (None, Some("app"), None, true),
            (None, Some("app=shop"), Some("shop:*"), true),
            (None, Some("app=other"), None, false),
            (Some("web-1"), None, Some("blog"), false),
        ] {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let wanted = Wanted { name: own(name), label: own(label), image: own(image) };
            assert_eq!(is_wanted(&wanted, &found), expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_service_wants_what_it_wants() {
        let json = r#"[{"Spec":{"Name":"web"},"ServiceStatus":{"RunningTasks":2,"DesiredTasks":3}},{"Spec":{"Name":"old"}}]"#;
        let services: Vec<Service> = serde_json::from_str(json).unwrap();
        let judged = |service, count| said(&judge_service(service, "web", count)).0;
        assert_eq!(judged(services.first(), None), Verdict::Fail);
        assert_eq!(judged(services.first(), Some(2)), Verdict::Pass);
        assert_eq!(judged(services.get(1), None), Verdict::Unknown);
        assert_eq!(judged(None, None), Verdict::Fail);
    }

    #[test]
    fn replicas_are_of_one_thing() {
        for (keys, right) in [
            ("units = \"web@*.service\"", true),
            ("container = \"web\"\nlabel = \"a\"", true),
            ("service = \"web\"\ncount = 3", true),
            ("", false),
            ("count = 3", false),
            ("units = \"a\"\nservice = \"b\"", false),
            ("units = \"a\"\ncount = 0", false),
        ] {
            assert_eq!(toml::from_str::<Replicas>(keys).is_ok(), right, "{keys}");
        }
    }
}
