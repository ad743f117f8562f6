//! A guest's secret on a hypervisor without a safe way: refused, unless the spec accepts the environment; and nowhere else then.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use firstlight_shared::wire::secret_prefix;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::profile::Profile;
use serde_json::{Value, json};

use crate::field::{Cluster, spec};
use crate::hidden::{
    assert_answers_are_clean, assert_clean, assert_commands_are_clean, assert_process_is_clean, files,
};

const LIMIT: Duration = Duration::from_secs(60);
const KEY: &str = "AGE-SECRET-KEY-1QXQ7M2L0N3K5V8W9Y4T6R1P0D2F4G6H8J9K1L3Z5X7C9V";

fn cluster() -> Cluster {
    let cluster = Cluster::with(Profile::instant(), "trace");
    let folder = cluster.place.path("keys");
    std::fs::create_dir(&folder).unwrap();
    cluster.place.write("keys/age.txt", KEY);
    let text = std::fs::read_to_string(cluster.place.path("firstlight.toml")).unwrap();
    cluster.place.write("firstlight.toml", &format!("{text}\n[secrets]\nfiles = [{folder:?}]\n"));
    cluster
}

fn wanted(cluster: &Cluster, kind: Kind, allow_env: bool) -> Value {
    let mut wanted = spec(kind);
    let file = cluster.place.path("keys/age.txt");
    wanted["plan"]["secrets"] = json!([{
        "path": "/var/lib/sops-nix/key.txt", "source": { "file": file }, "allow_env": allow_env,
    }]);
    wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_spec_that_says_so_gets_a_secret_into_an_environment() {
    let cluster = cluster();
    let companion = cluster.companion().await;
    for (kind, allow_env, said) in [
        (Kind::Lxc, false, "allow_env"),
        (Kind::Qemu, false, "into a machine"),
        (Kind::Qemu, true, "into a machine"),
    ] {
        let guests = json!({ "guests": [wanted(&cluster, kind, allow_env)], "by": "test" });
        let (status, answer) = companion.post("/v1/up", &guests).await;
        assert!(status.is_client_error() && answer.to_string().contains(said), "{status} {answer}");
        assert!(answer.to_string().contains("no-safe-channel"), "{answer}");
    }
    assert!(cluster.is_as_before());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_accepted_way_is_emptied_and_nothing_else_holds_the_secret() {
    let cluster = cluster();
    // The answer to the change is lost once: it is looked at again, not taken for failed.
    cluster.sim.fault(Rule::once(Method::Put, "/nodes/*/lxc/*/config", Fault::TimedOut { applied: true }));
    let companion = cluster.companion().await;
    let job = companion.up(&wanted(&cluster, Kind::Lxc, true)).await;
    let ended = companion.ended(&job, LIMIT).await;
    assert_eq!(ended.state(), "done", "{ended:#?}\n{}", companion.log());
    let secret = &ended.0["secrets"][0];
    assert_eq!(
        (&secret["confirmed"], &secret["sha256_prefix"]),
        (&json!(true), &json!(secret_prefix(KEY.as_bytes())))
    );

    let encoded = BASE64_STANDARD.encode(KEY);
    let requests = cluster.sim.requests();
    let holding: Vec<_> = requests
        .iter()
        .filter(|one| one.parameters.iter().any(|(_, value)| value.contains(&encoded)))
        .map(|one| (one.method, one.parameters.iter().map(|(name, _)| name).collect::<Vec<_>>()))
        .collect();
    assert!(!holding.is_empty(), "the search finds what is there");
    assert!(
        holding.iter().all(|(method, names)| *method == Method::Put && names.contains(&"env")),
        "{holding:?}"
    );
    // As anybody sees the guest's configuration from now on.
    let vmid = cluster.guests()[0];
    let shown = cluster.sim.with_world(|world| format!("{:?}", world.guests[&vmid].shown(false)));
    assert!(!shown.contains(&encoded) && !shown.contains("FIRSTLIGHT_SECRET"), "{shown}");

    let (jobs, secrets) = ([job], [KEY]);
    assert_process_is_clean(&companion, &secrets).await;
    assert_answers_are_clean(&companion, &jobs, &secrets).await;
    assert_commands_are_clean(&cluster, &jobs, &secrets);
    drop(companion);
    let mut looked = 0;
    for path in files(cluster.place.folder.path()) {
        if path.ends_with("keys/age.txt") || !path.is_file() {
            continue;
        }
        assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap(), &secrets);
        looked += 1;
    }
    assert!(looked >= 4, "store, log, configuration and more: {looked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_environment_cannot_take_is_refused() {
    // Containers have none before 9.1: seen before anything is made.
    let old = cluster();
    old.sim.with_world(|world| world.version = "8.4.14".to_owned());
    let companion = old.companion().await;
    let guests = json!({ "guests": [wanted(&old, Kind::Lxc, true)], "by": "test" });
    let (status, answer) = companion.post("/v1/up", &guests).await;
    assert!(status.is_client_error() && answer.to_string().contains("9.1"), "{status} {answer}");
    assert!(answer.to_string().contains("no-safe-channel") && old.is_as_before(), "{answer}");

    // And nobody knows how much there is before the sources are read.
    let cluster = cluster();
    let companion = cluster.companion().await;
    cluster.place.write("keys/age.txt", &"x".repeat((16 << 10) + 1));
    let job = companion.up(&wanted(&cluster, Kind::Lxc, true)).await;
    let ended = companion.ended(&job, LIMIT).await;
    assert_eq!(
        (ended.state(), &ended.0["failure"]["code"]),
        ("rolled-back", &json!("secret-too-large")),
        "{ended:#?}"
    );
    assert!(cluster.is_as_before());
}
