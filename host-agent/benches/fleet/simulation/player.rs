//! The guests: each started machine is one task, which does what its role says and writes down what it was answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use firstlight_shared::wire::Ack;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

use super::api::Api;
use super::book::Book;
use super::plan::{Plan, Role};
use super::words::{forged, garbage, report};
use crate::hypervisor::Hypervisor;
use crate::hypervisor::post::{connect, post};
use crate::hypervisor::report::Guest;
use crate::hypervisor::world::Machine;

/// A try that takes longer is given up.
const TRY: Duration = Duration::from_secs(8);
/// Between two tries, at most.
const PAUSE: Duration = Duration::from_secs(1);
/// Connections at once, of all guests.
const AT_ONCE: usize = 48;

#[derive(Debug)]
pub(crate) struct Players {
    pub(crate) plan: Plan,
    pub(crate) hypervisor: Hypervisor,
    /// Where reports are taken, by way of the proxies.
    pub(crate) doors: Vec<SocketAddr>,
    pub(crate) api: Api,
    pub(crate) book: Book,
    busy: AtomicUsize,
    connections: Semaphore,
}

impl Players {
    pub(crate) fn new(plan: Plan, hypervisor: Hypervisor, doors: Vec<SocketAddr>, api: Api) -> Arc<Self> {
        let (busy, connections) = (AtomicUsize::new(0), Semaphore::new(AT_ONCE));
        Arc::new(Self { plan, hypervisor, doors, api, book: Book::default(), busy, connections })
    }

    /// Guests that still have something to do.
    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    pub(crate) fn play(self: &Arc<Self>, machine: Machine) {
        let players = Arc::clone(self);
        self.busy.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            match players.plan.number(&machine.guest) {
                Some(number) => Player { players: &players, number, machine: &machine }.live().await,
                None => players.book.wrong(format!("a guest called {} was started", machine.guest)),
            }
            players.busy.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

struct Player<'a> {
    players: &'a Players,
    number: usize,
    machine: &'a Machine,
}

impl Player<'_> {
    async fn live(&self) {
        let Self { players, number, machine } = *self;
        let plan = players.plan;
        let role = plan.role(number);
        match role {
            Role::Dead => return,
            Role::Late => {
                self.gone().await;
                return self.refused(report(plan, number, machine), &[403]).await;
            }
            Role::Garbage => {
                for (text, status) in garbage(plan, number, machine) {
                    self.refused(text, &[status]).await;
                }
                return;
            }
            Role::Impostor => {
                let victim = players.hypervisor.machine(&plan.name(number - 1));
                let claim = victim.and_then(|victim| victim.claim).or_else(|| machine.claim.clone());
                let id = claim.map_or_else(String::new, |claim| claim.id);
                self.refused(forged(plan, number, machine, &id), &[403, 409]).await;
            }
            Role::Twin => self.original_ready().await,
            _ => {}
        }
        let own = report(plan, number, machine);
        if role == Role::Torn {
            for share in [3, 2] {
                self.break_off(&own[..own.len() / share]).await;
            }
        }
        match role {
            Role::Impatient => {
                tokio::join!(self.acknowledged(&own, 0), self.acknowledged(&own, 1));
                self.acknowledged(&own, 2).await;
            }
            Role::Returning => {
                self.acknowledged(&own, 0).await;
                tokio::time::sleep(Duration::from_millis(500)).await; // it is dead
                self.acknowledged(&own, 1).await;
            }
            Role::Changed => {
                self.acknowledged(&own, 0).await;
                self.refused(report(plan, number, machine), &[409]).await;
            }
            _ => self.acknowledged(&own, 0).await,
        }
    }

    /// Sends until it is acknowledged; a refusal is written down as wrong.
    async fn acknowledged(&self, text: &str, turn: usize) {
        let (status, body) = self.send(text, turn).await;
        let book = &self.players.book;
        match serde_json::from_str::<Ack>(&body) {
            Ok(ack) if status == 200 => book.acknowledged(&self.machine.guest, &ack),
            _ => book.wrong(format!("{}: {status} for its report: {body}", self.machine.guest)),
        }
    }

    /// Sends until it is refused; anything else is written down as wrong.
    async fn refused(&self, text: String, wanted: &[u16]) {
        let (status, body) = self.send(&text, 0).await;
        let book = &self.players.book;
        match wanted.contains(&status) {
            true => book.refused(),
            false => book.wrong(format!(
                "{}: {status}, not {wanted:?}, for what is not to be taken: {body}",
                self.machine.guest
            )),
        }
    }

    /// As guests do: again and again, until the answer is final.
    async fn send(&self, text: &str, turn: usize) -> (u16, String) {
        let players = self.players;
        let first = Instant::now();
        let mut pause = Duration::from_millis(100);
        for attempt in 0.. {
            let door = players.doors[(self.number + turn + attempt) % players.doors.len()];
            let place = players.connections.acquire().await.unwrap();
            let sent = Instant::now();
            let answered =
                tokio::time::timeout(TRY, post(door, self.guest().source(), text.to_owned())).await;
            drop(place);
            match answered {
                Ok(Ok((status, body))) if status < 500 => {
                    players.book.answered(first, sent, attempt > 0);
                    return (status, body);
                }
                _ => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(PAUSE);
        }
        (0, String::new())
    }

    /// Begins to send, and hangs up.
    async fn break_off(&self, part: &str) {
        let door = self.players.doors[self.number % self.players.doors.len()];
        let place = self.players.connections.acquire().await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: companion\r\ncontent-length: {}\r\n\r\n",
            firstlight_shared::paths::REPORT_ENDPOINT,
            part.len() * 2
        );
        let sent = async {
            let mut stream = connect(door, self.guest().source()).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(part.as_bytes()).await?;
            anyhow::Ok(stream.flush().await?)
        };
        // Whatever comes of it: the connection is dropped.
        let _ = tokio::time::timeout(TRY, sent).await;
        drop(place);
    }

    fn guest(&self) -> Guest {
        let Machine { guest, mac, addresses, .. } = self.machine;
        Guest { name: guest.clone(), mac: *mac, address: addresses[0] }
    }

    /// Until its job is rolled back.
    async fn gone(&self) {
        self.until(&self.machine.guest, "rolled-back").await;
    }

    /// Until the guest whose identity it tells is ready: else both would be found out.
    async fn original_ready(&self) {
        let plan = self.players.plan;
        self.until(&plan.name(plan.original(self.number)), "done").await;
    }

    async fn until(&self, guest: &str, state: &str) {
        let path = format!("/v1/jobs?state={state}&guest={guest}&limit=1");
        while self.players.api.get(&path).await["jobs"].as_array().is_none_or(Vec::is_empty) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
