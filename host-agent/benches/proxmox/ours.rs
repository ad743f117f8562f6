//! Ours: a whole companion in this process, as `firstlight serve` would be, over HTTPS.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use firstlight::bringup::{JobFilter, load_spec};
use firstlight::clock::now_ms;
use firstlight::config::{Sources, load};
use firstlight::daemon::{Companion, Purpose};
use firstlight::job::{Event, Phase, Recorded};
use firstlight_tests::simpve::example;
use firstlight_tests::simpve::wire::SimPve;
use tempfile::TempDir;

use crate::guests::{Manner, Reporting};
use crate::rig::{self, AT_ONCE, DISK, MOUNT};

#[derive(Debug)]
pub(crate) struct Ours {
    /// From the order until the last guest's start task had ended.
    pub(crate) started: Duration,
    pub(crate) done: Duration,
    /// Until the last guest was started, without looks at those that were started before it.
    pub(crate) calls: usize,
    pub(crate) calls_in_all: usize,
    /// `interfaces` calls, in all and in the busiest second.
    pub(crate) looks: usize,
    pub(crate) busiest: usize,
}

pub(crate) struct Rig {
    pub(crate) sim: SimPve,
    pub(crate) companion: Companion,
    folder: TempDir,
}

impl Rig {
    pub(crate) async fn start(manner: Manner) -> Self {
        let mut world = rig::world();
        world.machines = Box::new(Reporting::new(&world.profile, manner));
        let sim = rig::serve(world);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ca.pem"), sim.authority()).unwrap();
        std::fs::write(path("token"), format!("{}={}\n", example::TOKEN, example::SECRET)).unwrap();
        std::fs::set_permissions(path("token"), PermissionsExt::from_mode(0o600)).unwrap();
        let reports = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let node = sim.addresses().values().next().unwrap();
        let text = format!(
            "state = {:?}\n[companion]\nname = \"bench\"\n[limits]\nnode = {AT_ONCE}\n\
             [reports]\nlisten = \"{reports}\"\nurl = \"https://{reports}\"\n\
             [proxmox]\naddresses = [\"{node}\"]\ntoken = {:?}\nca = {:?}\nstorage = \"local\"\nnode = \"pve1\"\n",
            path("state"),
            path("token"),
            path("ca.pem")
        );
        std::fs::write(path("firstlight.toml"), text).unwrap();
        let sources = Sources { file: path("firstlight.toml"), ..Sources::default() };
        let settings = load(&sources).unwrap_or_else(|error| panic!("{error}")).settings;
        let companion = Companion::start(&settings, Purpose::Serve, Vec::new()).await.unwrap();
        // What the companion asks at its start is not the guests' price.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { sim, companion, folder }
    }

    /// Orders so many guests; their jobs.
    pub(crate) async fn order(&self, name: &str, count: usize) -> Vec<String> {
        let spec = self.folder.path().join("spec.toml");
        let text = format!(
            "[[guest]]\nname = \"{name}-{{n}}\"\ncount = {count}\nbackend = \"proxmox\"\ngolden = \"{}\"\ndisk = \"{DISK}\"\n\
             mounts = [{{ path = \"{MOUNT}\", size = \"1G\" }}]\n",
            example::CONTAINER_GOLDEN
        );
        std::fs::write(&spec, text).unwrap();
        let specs = load_spec(&spec).unwrap();
        let submitted = self.companion.service.submit(&specs, "bench").await.unwrap();
        submitted.into_iter().map(|one| one.job).collect()
    }

    /// Waits until every job has ended; their journals.
    pub(crate) async fn ended(&self, jobs: &[String]) -> BTreeMap<String, Vec<Recorded>> {
        let open = vec![Phase::Queued, Phase::Running, Phase::Waiting, Phase::Unwinding];
        let filter = JobFilter { states: open, limit: 1, ..JobFilter::default() };
        while !self.companion.service.jobs(&filter).await.unwrap().jobs.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut journals = BTreeMap::new();
        for job in jobs {
            journals.insert(job.clone(), self.companion.service.events(job).await.unwrap());
        }
        journals
    }
}

/// `known`: the companion has made a guest here before.
pub(crate) async fn measure(count: usize, known: bool) -> Ours {
    let rig = Rig::start(Manner::Report).await;
    if known {
        let first = rig.order("first", 1).await;
        rig.ended(&first).await;
    }
    let before = rig.sim.requests().len();
    rig.sim.advance(Duration::ZERO);
    let ordered_at = rig.sim.with_world(|world| world.now());
    let (ordered, clock) = (Instant::now(), now_ms());
    let jobs = rig.order("web", count).await;
    let journals = rig.ended(&jobs).await;
    let done = ordered.elapsed();
    let calls = rig.sim.requests().split_off(before);
    let mut started = 0;
    for (job, events) in &journals {
        let succeeded = |wanted: &str| {
            let at = events.iter().find_map(|recorded| match &recorded.event {
                Event::StepSucceeded { step, .. } if step == wanted => Some(recorded.at_ms),
                _ => None,
            });
            at.unwrap_or_else(|| panic!("job {job} did not get to {wanted}: {events:#?}"))
        };
        succeeded("finish");
        started = started.max(succeeded("start"));
    }
    let mut looks: Vec<Duration> =
        calls.iter().filter(|call| is_look(&call.path)).map(|call| call.at).collect();
    looks.sort_unstable();
    let started = Duration::from_millis(started.saturating_sub(clock));
    if std::env::var_os("FIRSTLIGHT_CALLS").is_some() {
        for call in &calls {
            eprintln!("{:>7.3} {} {}", (call.at - ordered_at).as_secs_f64(), call.method.as_str(), call.path);
        }
    }
    let ours = Ours {
        started,
        done,
        calls: calls.iter().filter(|call| call.at < ordered_at + started && !is_look(&call.path)).count(),
        calls_in_all: calls.len(),
        looks: looks.len(),
        busiest: busiest(&looks),
    };
    rig.companion.stop().await;
    ours
}

fn is_look(path: &str) -> bool {
    path.ends_with("/interfaces")
}

/// The most of these moments in any one second.
fn busiest(sorted: &[Duration]) -> usize {
    let within = |from: &Duration| {
        sorted.iter().filter(|at| *at >= from && **at < *from + Duration::from_secs(1)).count()
    };
    sorted.iter().map(within).max().unwrap_or_default()
}
