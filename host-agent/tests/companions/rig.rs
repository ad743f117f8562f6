//! A database, a hypervisor and a folder of a test's own, and what tests ask of companions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firstlight::bringup::GuestSpec;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use crate::companion::until;
use crate::companion::{Companion, SHORT, Terms};
use crate::hypervisor::world::{Entry, Outcome, Verb};
use crate::hypervisor::{Hypervisor, backend};
use crate::postgres::Cluster;

pub(crate) struct Rig {
    pub(crate) hypervisor: Hypervisor,
    pub(crate) postgres: Cluster,
    folder: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-several-").tempdir().unwrap();
        Self { hypervisor: Hypervisor::start(folder.path()), postgres: Cluster::start(), folder }
    }

    pub(crate) async fn companion(&self, name: &str) -> Companion {
        self.companion_with(name, SHORT).await
    }

    pub(crate) async fn companion_with(&self, name: &str, terms: Terms) -> Companion {
        let (folder, socket) = (self.folder.path(), self.hypervisor.socket());
        Companion::start(folder, name, &self.postgres.url(), socket, terms).await
    }

    /// Guests report to these companions, in turn.
    pub(crate) fn report_to(&self, companions: &[&Companion]) {
        let addresses = companions.iter().map(|companion| companion.reports).collect();
        self.hypervisor.change(|manner| manner.reports = addresses);
    }

    /// What was done (not repeated, not refused) to a guest.
    pub(crate) fn done(&self, verb: Verb, guest: &str) -> Vec<Entry> {
        let journal = self.hypervisor.journal().into_iter();
        journal
            .filter(|entry| entry.verb == verb && entry.guest == guest && entry.outcome == Outcome::Done)
            .collect()
    }

    /// Each of these guests was made and started once in all, and runs; nothing else is there.
    pub(crate) fn assert_each_made_once(&self, guests: &[String]) {
        self.hypervisor.assert_never_two();
        for guest in guests {
            for verb in [Verb::Make, Verb::Start] {
                assert_eq!(
                    self.done(verb, guest).len(),
                    1,
                    "{verb:?} {guest}: {:#?}",
                    self.hypervisor.journal()
                );
            }
        }
        let mut there: Vec<String> =
            self.hypervisor.machines().into_iter().map(|machine| machine.guest).collect();
        there.sort();
        assert_eq!(there, guests);
    }
}

/// `web-01`, `web-02`...
pub(crate) fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("web-{number:02}")).collect()
}

/// Submits guests; their jobs by name.
pub(crate) async fn up(companion: &Companion, guests: &[String]) -> BTreeMap<String, String> {
    up_with(companion, guests, |_| {}).await
}

pub(crate) async fn up_with(
    companion: &Companion,
    guests: &[String],
    change: impl Fn(&mut GuestSpec),
) -> BTreeMap<String, String> {
    let specs: Vec<GuestSpec> = guests
        .iter()
        .map(|guest| {
            let mut spec = spec(guest);
            change(&mut spec);
            spec
        })
        .collect();
    let answer = companion.post("/v1/up", json!({ "guests": specs, "by": "test" })).await;
    let jobs = answer["jobs"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    jobs.iter().map(|job| (text(&job["guest"]), text(&job["job"]))).collect()
}

pub(crate) fn spec(guest: &str) -> GuestSpec {
    let spec = json!({
        "backend": backend::NAME,
        "plan": { "name": guest, "golden": "/golden.tar", "mounts": [], "size": {} },
        "intent": "provision",
        "keep_on_failure": false,
        "timeout_ms": 120_000,
        "require": [],
    });
    serde_json::from_value(spec).unwrap()
}

/// State of one job.
pub(crate) async fn state(companion: &Companion, job: &str) -> String {
    let answer = companion.get(&format!("/v1/jobs/{job}")).await;
    let found = [&answer["state"], &answer["job"]["state"]].into_iter().find_map(Value::as_str);
    found.unwrap_or_else(|| panic!("no state in {answer:#}")).to_owned()
}

/// Waits until every job is in this state, as this companion tells it.
pub(crate) async fn await_state(
    companion: &Companion,
    jobs: &BTreeMap<String, String>,
    wanted: &str,
    seconds: u64,
) {
    let mut open: Vec<&String> = jobs.values().collect();
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while let Some(job) = open.last() {
        let found = state(companion, job).await;
        if found == wanted {
            open.pop();
            continue;
        }
        let answer = if Instant::now() > deadline {
            companion.get(&format!("/v1/jobs/{job}")).await
        } else {
            Value::Null
        };
        assert!(answer.is_null(), "{} jobs are not {wanted}; {job} is {found}: {answer:#}", open.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
