//! Whole bring-ups and removals by the companion itself on an Incus in memory, each with one thing that goes wrong at one
//! of its requests: what would take minutes on a real server, where the same is done for the rest.

#[path = "../../hypervisor/call.rs"]
#[allow(dead_code, reason = "why there is no answer is shown by others")]
mod call;
#[path = "../../hypervisor/matrix.rs"]
#[allow(dead_code, reason = "no case may need an operator here")]
mod cases;
#[path = "../../proxmox/field/companion.rs"]
#[allow(dead_code, reason = "each program uses its part")]
mod companion;
#[path = "../../proxmox/field/place.rs"]
#[allow(dead_code, reason = "each program uses its part")]
mod place;
#[path = "../../hypervisor/report.rs"]
mod report;
mod requests;
mod world;

use std::time::Duration;

use firstlight_tests::rig::incus::{Between, Fate, Onward, Spot};
use firstlight_tests::wait::until_so;
use serde_json::{Value, json};

use crate::fake::Server;
use cases::End;
use companion::Companion;
use place::Place;
use world::{GOLDEN, World};

const GUEST: &str = "web-01";
/// Every case ends sooner.
const LIMIT: Duration = Duration::from_secs(280);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    BringUp,
    Removal,
}

#[derive(Debug, Clone)]
struct Case {
    work: Work,
    spot: Spot,
    fate: Fate,
}

struct Ground {
    world: World,
    between: Between,
    place: Place,
    _server: Server,
}

impl Ground {
    /// In a runtime: its operations go on there.
    fn new() -> Self {
        let world = World::new();
        let answering = world.clone();
        let server = Server::telling(&world.telling(), move |_, seen| answering.answer(seen));
        let between = Between::before(&server.socket).unwrap();
        let incus = format!("[incus]\nsocket = {:?}\nnetwork = \"br0\"\n", between.socket());
        let place = Place::with(&incus, "warn,firstlight=debug");
        Self { world, between, place, _server: server }
    }

    async fn companion(&self) -> Companion {
        Companion::start(&self.place).await
    }

    /// The requests of a bring-up and of a removal that go well, in their order.
    async fn spots(&self) -> [Vec<Spot>; 2] {
        let companion = self.companion().await;
        self.between.pass();
        let job = companion.up(&spec()).await;
        let ended = companion.ended(&job, LIMIT).await;
        assert_eq!(self.judge(&ended).await, Ok(End::Complete), "{ended:#?}\n{}", companion.log());
        let up = self.between.seen();
        self.between.pass();
        destroy(&companion).await;
        self.gone(&companion, &job).await.unwrap();
        [up, self.between.seen()]
    }

    async fn judge(&self, ended: &companion::Job) -> Result<End, String> {
        let there = self.world.inventory();
        match ended.state() {
            "done" => match &there.0[..] {
                [(name, "Running")] if name == GUEST && ended.0["trust"] == "attested" => Ok(End::Complete),
                _ => Err(format!("it is done, {}, and this is there: {there:?}", ended.0["trust"])),
            },
            "rolled-back" => self.clean().await,
            other => Err(format!("it is {other}, and this is there: {there:?}")),
        }
    }

    /// What was carried out late is swept up.
    async fn clean(&self) -> Result<End, String> {
        for _ in 0..600 {
            if self.world.inventory() == Default::default() {
                return Ok(End::Clean);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("something is left: {:?}", self.world.inventory()))
    }

    async fn gone(&self, companion: &Companion, job: &str) -> Result<End, String> {
        until_so("the removal", LIMIT, async || {
            companion.job(job).await.is_some_and(|job| job.is_final() && job.state() != "done")
        })
        .await;
        match companion.job(job).await.unwrap().state() {
            "rolled-back" => self.clean().await,
            other => Err(format!("it is {other} after its removal: {:?}", self.world.inventory())),
        }
    }
}

impl Case {
    async fn play(mut self) -> (String, Result<End, String>) {
        let name = format!("{:?}, {}, {:?}", self.work, self.spot, self.fate);
        loop {
            let (end, met) = self.play_once().await;
            // How often it looks depends on how long things take: then the last look is an earlier one.
            if met || end.is_err() || self.spot.nth == 0 {
                let may_not_come = self.spot.may_not_come();
                let end = end.and_then(|end| match met || may_not_come {
                    true => self.expect(end),
                    false => Err("its request did not come".to_owned()),
                });
                return (name, end);
            }
            self.spot.nth -= 1;
        }
    }

    /// How it ended, and whether its request came.
    async fn play_once(&self) -> (Result<End, String>, bool) {
        let ground = Ground::new();
        let mut companion = ground.companion().await;
        let job = match self.work {
            Work::BringUp => {
                ground.between.meet_at(&self.spot, self.fate);
                companion.up(&spec()).await
            }
            Work::Removal => {
                let job = companion.up(&spec()).await;
                let ended = companion.ended(&job, LIMIT).await;
                if ended.state() != "done" {
                    return (Err(format!("nothing is wrong yet: {ended:#?}\n{}", companion.log())), true);
                }
                ground.between.meet_at(&self.spot, self.fate);
                destroy(&companion).await;
                job
            }
        };
        if matches!(self.fate, Fate::HeldBefore | Fate::HeldAfter) {
            let ended = async || match companion.job(&job).await {
                Some(job) => job.is_final() && (self.work == Work::BringUp || job.state() != "done"),
                None => false,
            };
            until_so("the request", LIMIT, async || ground.between.has_met() || ended().await).await;
            companion.kill();
            companion = ground.companion().await;
            ground.between.release(Onward::Passes);
        }
        let end = match self.work {
            Work::BringUp => ground.judge(&companion.ended(&job, LIMIT).await).await,
            Work::Removal => ground.gone(&companion, &job).await,
        };
        let end = end.map_err(|why| format!("{why}\n{}", companion.log()));
        (end, ground.between.has_met())
    }

    fn expect(&self, end: End) -> Result<End, String> {
        let may_refuse = matches!(self.fate, Fate::Refused(500 | 403, _));
        match (self.work, end) {
            (Work::BringUp, End::Clean) if !may_refuse => Err("it was undone, for nothing".to_owned()),
            _ => Ok(end),
        }
    }
}

async fn destroy(companion: &Companion) {
    companion.insist("/v1/destroy", &json!({ "guests": [GUEST] })).await;
}

/// With a volume.
fn spec() -> Value {
    json!({
        "backend": "incus",
        "plan": {
            "name": GUEST, "golden": GOLDEN,
            "mounts": [{ "path": "/srv/data", "size_bytes": 1_u64 << 30 }],
            "size": { "memory_bytes": 1_u64 << 30 },
        },
        "keep_on_failure": false,
        "timeout_ms": 200_000,
        "deadline_ms": 260_000,
        "require": [],
    })
}
