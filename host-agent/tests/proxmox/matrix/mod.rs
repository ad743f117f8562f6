//! Whole bring-ups through the companion itself, each with one thing that goes wrong. However it ends, it ends in one of
//! three ways: one guest and all is well; everything as it was before; or an operator is told what is left, truly.

mod broken;
#[path = "../../hypervisor/matrix.rs"]
mod cases;
mod killed;
mod undone;

use std::time::Duration;

use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::guest::Kind;

use cases::End;

use crate::field::{Cluster, Companion, GUEST, Job, spec};

const KINDS: [Kind; 2] = [Kind::Lxc, Kind::Qemu];
/// Clusters at once: most of the time all of them wait.
const AT_ONCE: usize = 10;
/// Every case ends sooner: the job's own deadline is 40 s.
const LIMIT: Duration = Duration::from_secs(120);

/// A request of a bring-up: the `nth` (from 0) of those with this method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    method: Method,
    /// As rules of faults have it: `/nodes/*/lxc/*/config`.
    path: String,
    nth: u32,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.method.as_str(), self.path, self.nth)
    }
}

/// The requests of a bring-up that goes well, in their order.
async fn spots(kind: Kind) -> Vec<Spot> {
    let cluster = Cluster::start();
    let companion = cluster.companion().await;
    let job = companion.up(&spec(kind)).await;
    let ended = companion.ended(&job, LIMIT).await;
    assert_eq!(judge(&cluster, &ended).await, Ok(End::Complete), "{ended:#?}\n{}", companion.log());
    let mut spots: Vec<Spot> = Vec::new();
    for one in cluster.sim.requests() {
        let path = pattern(&one.path);
        let same = spots.iter().filter(|spot| spot.method == one.method && spot.path == path).count();
        spots.push(Spot { method: one.method, path, nth: u32::try_from(same).unwrap() });
    }
    spots
}

/// Nodes, guests, storages and tasks are any.
fn pattern(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let is_any = |place: usize| {
        let before = parts[place - 1];
        (["nodes", "storage", "tasks"].contains(&before) && place > 1)
            || parts[place].chars().all(|c| c.is_ascii_digit())
    };
    let part = |place: usize| if place > 0 && is_any(place) { "*" } else { parts[place] };
    (0..parts.len()).map(part).collect::<Vec<_>>().join("/")
}

/// Which of the three it is, or what is wrong with it.
async fn judge(cluster: &Cluster, ended: &Job) -> Result<End, String> {
    cluster.sim.settle();
    let ours = ours(cluster);
    if ours.len() > 1 {
        return Err(format!("two guests: {ours:?}"));
    }
    let inventory = || format!("{:#}", cluster.sim.inventory());
    match ended.state() {
        "done" => {
            let [id] = ours[..] else { return Err(format!("done, and no guest is there\n{}", inventory())) };
            as_wanted(cluster, id)?;
            Ok(End::Complete)
        }
        "rolled-back" => {
            for _ in 0..100 {
                if cluster.is_as_before() {
                    return Ok(End::Clean);
                }
                // What was carried out late is swept up.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(format!("rolled back, and something is left\n{}", inventory()))
        }
        "needs-operator" => {
            let told = ended.leftovers().join("\n");
            if told.is_empty() {
                return Err("an operator is needed, and is told nothing".to_owned());
            }
            if ours.is_empty() {
                return Err(format!("an operator is told of what is not there: {told}"));
            }
            for id in ours {
                if !told.contains(&id.to_string()) {
                    return Err(format!("{id} is there, and not told: {told}"));
                }
            }
            Ok(End::NeedsOperator)
        }
        other => Err(format!("it is {other}")),
    }
}

/// VMIDs of guests that the job made, finished or not: all but those that were there, or that were faster.
fn ours(cluster: &Cluster) -> Vec<u32> {
    let all = cluster.guests();
    cluster.sim.with_world(|world| {
        let was_faster = |id: &u32| {
            let name = world.guests[id].get("hostname").or_else(|| world.guests[id].get("name"));
            name == Some("faster")
        };
        all.into_iter().filter(|id| !was_faster(id)).collect()
    })
}

fn as_wanted(cluster: &Cluster, id: u32) -> Result<(), String> {
    cluster.sim.with_world(|world| {
        let guest = &world.guests[&id];
        let has = |key: &str, text: &str| {
            let found = guest.get(key).unwrap_or_default();
            if found.contains(text) { Ok(()) } else { Err(format!("{key} is {found:?}, without {text:?}")) }
        };
        match guest.kind {
            Kind::Lxc => {
                has("hostname", GUEST)?;
                has("rootfs", "size=10G")?;
                has("mp0", "size=1G")?;
                has("features", "keyctl=1")?;
            }
            Kind::Qemu => {
                has("name", GUEST)?;
                has("scsi0", "size=4G")?;
                has("scsi1", "serial=fl-0")?;
            }
        }
        has("net0", "bridge=vmbr0")?;
        has("memory", "1024")?;
        if guest.get("net0").unwrap_or_default().contains("AA:BB:CC") {
            return Err("it has the golden's MAC".to_owned());
        }
        if guest.get("lock").is_some() || !guest.is_running() {
            return Err(format!("it is locked, or does not run: {:?}", guest.config));
        }
        Ok(())
    })
}

/// The job's end, and what a failed judgement should show besides.
async fn ending(cluster: &Cluster, companion: &Companion, job: &str) -> Result<End, String> {
    let ended = companion.ended(job, LIMIT).await;
    judge(cluster, &ended)
        .await
        .map_err(|why| format!("{why}\n{:#}\n{}", ended.0["leftovers"], companion.log()))
}
