//! A whole companion in this process, its guests on a hypervisor that takes no time: ten thousand jobs that wait at
//! once, what they cost while nothing happens, and how fast one moves on when its report comes.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firstlight::backend::Backend;
use firstlight::bringup::{GuestSpec, JobFilter};
use firstlight::config::{Sources, load};
use firstlight::daemon::{Companion, Purpose};
use firstlight::job::Phase;
use firstlight_tests::ports::free_address;
use serde_json::json;

use crate::backend::{InstantBackend, InstantGuest, NAME};
use crate::load::{self, Line};
use crate::percentile::percentile;
use crate::report::Guest;
use firstlight_tests::figures::{Row, Table};

const RESIDENT: f64 = 250.0;
const MOVED_ON: f64 = 5.0;
const IDLE: Duration = Duration::from_secs(10);
/// Reports that are sent one by one, for the time until their jobs move on.
const ONE_BY_ONE: usize = 300;

pub(crate) struct Fleet {
    pub(crate) companion: Companion,
    pub(crate) backend: Arc<InstantBackend>,
    reports: SocketAddr,
}

impl Fleet {
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_with(folder, "").await
    }

    /// `more` are lines of TOML at the configuration's end.
    pub(crate) async fn start_with(folder: &Path, more: &str) -> Self {
        let reports = free_address();
        let file = folder.join("firstlight.toml");
        let text = format!(
            "state = {:?}\n[companion]\nname = \"bench\"\nroom = 20000\n[limits]\nnode = 64\n\
             [reports]\nlisten = \"{reports}\"\nurl = \"https://{reports}\"\n{more}",
            folder.join("state")
        );
        std::fs::write(&file, text).unwrap();
        let settings = load(&Sources { file, ..Sources::default() }).unwrap().settings;
        let backend = Arc::new(InstantBackend::default());
        let others = vec![Arc::clone(&backend) as Arc<dyn Backend>];
        let companion = Companion::start(&settings, Purpose::Serve, others).await.unwrap();
        Self { companion, backend, reports }
    }

    /// Submits guests, a hundred at a time, and waits until each waits for its report.
    pub(crate) async fn bring_up(&self, count: usize) {
        let specs: Vec<GuestSpec> = (0..count).map(spec).collect();
        for batch in specs.chunks(100) {
            self.companion.service.submit(batch, "bench").await.unwrap();
        }
        self.none_in(&[Phase::Queued, Phase::Running]).await;
        assert_eq!(self.backend.guests().len(), count, "some guests were not started");
    }

    /// Waits until no job is in one of these states.
    pub(crate) async fn none_in(&self, states: &[Phase]) {
        let filter = JobFilter { states: states.to_vec(), limit: 1, ..JobFilter::default() };
        while !self.companion.service.jobs(&filter).await.unwrap().jobs.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Job and signed report of every guest.
    pub(crate) async fn sign(&self) -> Vec<(String, String)> {
        let guests: Vec<(String, InstantGuest)> =
            self.backend.guests().iter().map(|(job, guest)| (job.clone(), guest.clone())).collect();
        let sign = |(job, guest): (String, InstantGuest)| {
            let played = Guest { name: guest.name, mac: guest.mac, address: guest.address };
            (job, played.report(Some(&guest.claim)))
        };
        tokio::task::spawn_blocking(move || guests.into_iter().map(sign).collect()).await.unwrap()
    }

    /// Sends every report, and waits until all jobs are done.
    pub(crate) async fn finish(&self, reports: Vec<String>) -> (Duration, Duration) {
        let start = Instant::now();
        let (_, sent) = load::send(self.reports, reports, None).await;
        self.none_in(&[Phase::Waiting, Phase::Running]).await;
        (sent, start.elapsed())
    }
}

pub(crate) async fn measure(count: usize, table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let before = resident();
    let fleet = Fleet::start(folder.path()).await;
    let start = Instant::now();
    fleet.bring_up(count).await;
    eprintln!("{count} jobs wait after {:.1} s", start.elapsed().as_secs_f64());
    still(&fleet, count, before, table).await;

    let mut reports = fleet.sign().await;
    let rest = reports.split_off(ONE_BY_ONE.min(count));
    one_by_one(&fleet, reports, count, table).await;

    let sent = rest.len();
    let (taken, done) = fleet.finish(rest.into_iter().map(|(_, report)| report).collect()).await;
    table.add(Row {
        figure: format!("{sent} waiting jobs whose reports come all at once: verified and finished"),
        ours: format!("{:.0} jobs/s", sent as f64 / done.as_secs_f64()),
        beside: format!("their reports were taken at {:.0}/s meanwhile", sent as f64 / taken.as_secs_f64()),
        aim: "".into(),
        met: None,
    });
    fleet.companion.stop().await;
}

async fn still(fleet: &Fleet, count: usize, before: f64, table: &mut Table) {
    let memory = resident();
    table.add(Row {
        figure: format!("{count} jobs that wait for reports: resident memory"),
        ours: format!("{memory:.0} MB"),
        beside: format!("this process before: {before:.0} MB; the hypervisor's own records are in it"),
        aim: "<= 250 MB".into(),
        met: Some(memory <= RESIDENT),
    });
    let (from, start) = (processor_time(), Instant::now());
    tokio::time::sleep(IDLE).await;
    let used = processor_time().saturating_sub(from);
    table.add(Row {
        figure: format!("{count} jobs that wait: processor time while nothing happens"),
        ours: format!("{:.1} % of a core", 100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64()),
        beside: "leases renewed, one survey of the hypervisor now and then".to_owned(),
        aim: "no polling per job".into(),
        met: None,
    });
    assert!(fleet.companion.service.jobs(&JobFilter { limit: 1, ..JobFilter::default() }).await.is_ok());
}

async fn one_by_one(fleet: &Fleet, reports: Vec<(String, String)>, count: usize, table: &mut Table) {
    let mut line = Line::default();
    let mut took = Vec::with_capacity(reports.len());
    for (job, report) in &reports {
        let sent = Instant::now();
        while !line.taken(fleet.reports, IpAddr::from([127, 0, 3, 1]), report).await {}
        let moved_on = loop {
            let seen = fleet.backend.guests().get(job).and_then(|guest| guest.moved_on);
            match seen {
                Some(moved_on) => break moved_on,
                None => tokio::time::sleep(Duration::from_micros(200)).await,
            }
        };
        took.push(moved_on.saturating_duration_since(sent));
    }
    took.sort_unstable();
    let (median, late) = (percentile(&took, 0.5), percentile(&took, 0.99));
    table.add(Row {
        figure: format!("report sent -> its job is at its next step ({count} wait, {} reports)", took.len()),
        ours: format!("p50 {median:.1} ms, p99 {late:.1} ms"),
        beside: "the way there, proof and two durable commits are in it".to_owned(),
        aim: "p50 <= 5 ms".into(),
        met: Some(median <= MOVED_ON),
    });
}

pub(crate) fn spec(number: usize) -> GuestSpec {
    let spec = json!({
        "backend": NAME,
        "plan": { "name": format!("guest-{number:05}"), "golden": "/golden.tar", "mounts": [], "size": {} },
        "intent": "provision",
        "keep_on_failure": false,
        "timeout_ms": 3_600_000,
        "require": [],
    });
    serde_json::from_value(spec).unwrap()
}

/// Resident memory of this process, in MB of a million bytes.
pub(crate) fn resident() -> f64 {
    firstlight_tests::memory::resident(std::process::id()).unwrap() as f64 / 1e6
}

/// Of this process so far. Source: proc_pid_stat(5), utime and stime, in hundredths of a second.
pub(crate) fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}
