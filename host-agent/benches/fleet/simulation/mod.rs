//! A whole fleet against real companions: guests that report, retry, die, lie, copy and come back, while companions and the
//! database are killed and lines are cut; and the ledger at the end, from outside.

mod api;
mod book;
mod chaos;
mod gauge;
mod ground;
mod ledger;
mod operator;
#[path = "../../engine/percentile.rs"]
mod percentile;
mod plan;
mod player;
mod proxy;
mod words;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use api::Api;
use chaos::{Due, carry_out, schedule};
use gauge::Gauge;
pub(crate) use gauge::Tenth;
use ground::Ground;
use ledger::{Ledger, Line};
use percentile::percentile;
use plan::Plan;
use player::Players;

/// What keeps the companions' records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// One companion.
    Sqlite,
    /// Three companions.
    Postgresql,
}

impl Store {
    pub(crate) fn companions(self) -> usize {
        if self == Self::Sqlite { 1 } else { 3 }
    }

    fn actors(self) -> &'static str {
        match self {
            Self::Sqlite => "one companion and its hypervisor",
            Self::Postgresql => "three companions, PostgreSQL and their hypervisor",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        if self == Self::Sqlite { "SQLite" } else { "PostgreSQL" }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) guests: usize,
    pub(crate) seed: u64,
    pub(crate) store: Store,
    pub(crate) faults: usize,
    /// All are asked for within this time, evenly; zero: as fast as they end.
    pub(crate) within: Duration,
    /// So long after it is ready a guest is destroyed; none: it stays.
    pub(crate) stay: Option<Duration>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What did not add up; empty: every guest is accounted for, once.
    pub(crate) findings: Vec<String>,
    /// Guests by state.
    pub(crate) states: BTreeMap<String, usize>,
    pub(crate) whole: Duration,
    pub(crate) tenths: Vec<Tenth>,
    /// Milliseconds of reports that were answered at the first try: median, 99th percentile.
    pub(crate) first_try: (f64, f64),
    /// Seconds from a report's first try to its answer, over all faults: the longest.
    pub(crate) longest: f64,
    pub(crate) answered: usize,
    /// Answered at a later try.
    pub(crate) again: usize,
    /// Refused as they had to be.
    pub(crate) refused: usize,
    /// Milliseconds from the request to ready, of guests that became it: median.
    pub(crate) ready: f64,
    /// The most that one companion ever had, in MB.
    pub(crate) memory: f64,
    pub(crate) store_bytes: u64,
}

/// Nothing ended for so long: something hangs.
const STUCK: Duration = Duration::from_secs(120);
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(250);
/// Between two words about it.
const TELL: Duration = Duration::from_secs(10);

pub(crate) async fn run(run: &Run) -> Outcome {
    let plan = Plan { seed: run.seed, leave: run.stay.is_some() };
    eprintln!("  starting {}", run.store.actors());
    let mut ground = Ground::prepare(run).await;
    let api = Api::new(ground.companions.iter().map(crate::companion::Companion::socket).collect());
    let players = Players::new(plan, ground.hypervisor.clone(), ground.addresses(), api.clone());
    let (started, mut machines) = mpsc::unbounded_channel();
    ground.hypervisor.change(|manner| manner.players = Some(started));
    let stage = std::sync::Arc::clone(&players);
    let playing = tokio::spawn(async move {
        while let Some(machine) = machines.recv().await {
            stage.play(machine);
        }
    });
    let gauge = Gauge::default();
    let watching = gauge.watch(std::sync::Arc::clone(&ground.ids));
    let start = Instant::now();
    let (asked, ended) = operator::begin(*run, plan, api.clone());

    let due = schedule(run.seed, run.guests, run.faults, run.store.companions());
    let mut findings = watch(run, &players, &ended, due, &mut ground).await;
    let whole = start.elapsed();
    asked.abort();
    watching.abort();
    ground.hypervisor.change(|manner| manner.players = None);
    playing.abort();
    eprintln!("  comparing what {} say", run.store.actors());

    let mut lines = Vec::new();
    if let Err(error) = api.export(|exported| lines.push(Line::of(&exported))).await {
        findings.push(format!("the export broke off: {error:#}"));
    }
    let (counts, digests) = (api.get("/v1/counts").await, players.book.digests());
    let (there, journal) = (ground.hypervisor.machines(), ground.hypervisor.journal());
    let ledger = Ledger {
        plan,
        guests: run.guests,
        lines: &lines,
        counts: &counts,
        digests: &digests,
        machines: &there,
        journal: &journal,
    };
    findings.extend(ledger.findings());
    findings.extend(ground.hypervisor.twins());
    findings.extend(players.book.wrongs());
    let problems = api.get_slow("/v1/store/check").await["problems"].take();
    findings.extend(problems.as_array().into_iter().flatten().map(ToString::to_string));
    outcome(findings, &lines, whole, &players, &gauge, start, ground.store_bytes())
}

/// Lets things go wrong when they are due, until every guest has ended.
async fn watch(
    run: &Run,
    players: &Players,
    ended: &tokio::sync::watch::Receiver<operator::Progress>,
    due: Vec<Due>,
    ground: &mut Ground,
) -> Vec<String> {
    let mut due = due.into_iter().peekable();
    let mut last = (Instant::now(), 0);
    let (start, mut told) = (Instant::now(), Instant::now());
    loop {
        let progress = ended.borrow().clone();
        if let Some(refused) = progress.refused {
            return vec![format!("guests were refused: {refused}")];
        }
        if let Some(now) = due.next_if(|due| due.ended <= progress.ended) {
            eprintln!("  {} of {} have ended: {:?}", progress.ended, run.guests, now.fault);
            carry_out(now.fault, ground).await;
            last.0 = Instant::now();
            continue;
        }
        if progress.ended >= run.guests && players.busy() == 0 {
            return Vec::new();
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            let seconds = start.elapsed().as_secs();
            eprintln!("  {} of {} have ended after {seconds} s", progress.ended, run.guests);
        }
        // Guests that end, and guests that have still something to say.
        let moved = progress.ended * 2 + run.guests.saturating_sub(players.busy());
        if moved != last.1 {
            last = (Instant::now(), moved);
        }
        if last.0.elapsed() > STUCK + run.within + run.stay.unwrap_or_default() {
            let busy = players.busy();
            return vec![format!("stuck: {} of {} have ended, {busy} play", progress.ended, run.guests)];
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn outcome(
    findings: Vec<String>,
    lines: &[Line],
    whole: Duration,
    players: &Players,
    gauge: &Gauge,
    start: Instant,
    store_bytes: u64,
) -> Outcome {
    let shots = players.book.shots();
    let mut first: Vec<Duration> = shots.iter().filter(|shot| !shot.again).map(|shot| shot.took).collect();
    first.sort_unstable();
    let mut ready: Vec<Duration> = lines.iter().filter_map(|line| line.ready).collect();
    ready.sort_unstable();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines {
        *states.entry(line.state().to_owned()).or_default() += 1;
    }
    Outcome {
        findings,
        states,
        whole,
        tenths: gauge.tenths(start, start + whole, &shots),
        first_try: (percentile(&first, 0.5), percentile(&first, 0.99)),
        longest: shots.iter().map(|shot| shot.in_all.as_secs_f64()).fold(0.0, f64::max),
        answered: shots.len(),
        again: shots.iter().filter(|shot| shot.again).count(),
        refused: players.book.refusals(),
        ready: percentile(&ready, 0.5),
        memory: gauge.most(),
        store_bytes,
    }
}
