//! Who asks for the guests, a hundred at a time, and counts how many have ended.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Run;
use super::api::Api;
use super::plan::Plan;
use crate::hypervisor::backend::NAME;

/// Guests of one request.
const TOGETHER: usize = 100;
/// So many are under way at once, at most.
const OPEN: usize = 2000;
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) ended: usize,
    /// Why guests were refused that are wanted.
    pub(crate) refused: Option<String>,
}

/// Works until it is aborted.
pub(crate) fn begin(run: Run, plan: Plan, api: Api) -> (JoinHandle<()>, watch::Receiver<Progress>) {
    let (tell, progress) = watch::channel(Progress::default());
    let work = async move {
        tokio::join!(count(plan, &api, &tell), ask(run, plan, &api, &tell));
    };
    (tokio::spawn(work), progress)
}

/// However long a request for more guests takes.
async fn count(plan: Plan, api: &Api, tell: &watch::Sender<Progress>) {
    loop {
        let ended = ended(plan, &api.get("/v1/counts").await);
        tell.send_modify(|progress| progress.ended = ended);
        tokio::time::sleep(LOOK).await;
    }
}

async fn ask(run: Run, plan: Plan, api: &Api, tell: &watch::Sender<Progress>) {
    let start = Instant::now();
    let mut asked = 0;
    while asked < run.guests {
        let due = (start.elapsed().as_secs_f64() / run.within.as_secs_f64()).min(1.0) * run.guests as f64;
        let room = tell.borrow().ended + OPEN;
        if asked >= room || asked as f64 > due {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let until = run.guests.min(asked + TOGETHER);
        let specs: Vec<Value> = (asked..until).map(|number| spec(run, plan, number)).collect();
        if let Err(refused) = api.up(&specs).await {
            return tell.send_modify(|progress| progress.refused = Some(refused));
        }
        asked = until;
    }
}

/// A guest that will leave has not ended when it is ready.
fn ended(plan: Plan, counts: &Value) -> usize {
    let of = |state: &str| counts["jobs"][state].as_u64().unwrap_or_default();
    let ready = if plan.leave { 0 } else { of("done") };
    let ended: u64 = ["rolled-back", "needs-operator", "abandoned"].into_iter().map(of).sum();
    usize::try_from(ended + ready).unwrap_or(usize::MAX)
}

fn spec(run: Run, plan: Plan, number: usize) -> Value {
    json!({
        "backend": NAME,
        "plan": { "name": plan.name(number), "golden": "/golden.tar", "mounts": [], "size": {} },
        "keep_on_failure": false,
        "timeout_ms": plan.role(number).patience(),
        "require": [],
        "destroy_after_ms": run.stay.map(|stay| stay.as_secs() * 1000),
    })
}
