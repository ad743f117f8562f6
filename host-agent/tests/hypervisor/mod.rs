//! A paper hypervisor: guests, tasks and a record of every request in memory, behind HTTP on a unix socket, so that to
//! companions it is a machine of its own. It plays the guests as well: what is started reports, to whichever
//! companion a test likes.

pub(crate) mod backend;
pub(crate) mod call;
mod guest;
pub(crate) mod post;
pub(crate) mod report;
mod server;
pub(crate) mod world;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

use world::{Entry, Machine, Verb, World};

/// How the hypervisor and its guests behave; may be changed at any time.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// How long a make takes, as a task.
    pub(crate) make: Duration,
    /// From the start to the guest's first report.
    pub(crate) boot: Duration,
    /// Guests do not report while this is set.
    pub(crate) silent: bool,
    /// Guests that wake while this is set tell one and the same machine-id.
    pub(crate) alike: bool,
    /// Who is sent reports, in turn.
    pub(crate) reports: Vec<SocketAddr>,
    /// Who plays the guests that are started, if the hypervisor does not play them itself.
    pub(crate) players: Option<mpsc::UnboundedSender<Machine>>,
}

/// Handle on the running hypervisor; clones share it. It ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Hypervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: PathBuf,
    world: Mutex<World>,
    manner: watch::Sender<Manner>,
    holds: Mutex<Vec<Hold>>,
}

#[derive(Debug)]
struct Hold {
    verb: Verb,
    guest: String,
    stage: watch::Sender<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Expected,
    Arrived,
    Released,
    CarriedOut,
}

/// One request that is held back until the test says so, however long its sender is gone.
#[derive(Debug)]
pub(crate) struct Held(watch::Sender<Stage>);

impl Held {
    /// The request has come, and nothing of it is done.
    pub(crate) async fn arrived(&self) {
        self.reach(Stage::Arrived).await;
    }

    /// Has it carried out now, and waits for that.
    pub(crate) async fn release(&self) {
        self.0.send_replace(Stage::Released);
        self.reach(Stage::CarriedOut).await;
    }

    async fn reach(&self, stage: Stage) {
        let mut watched = self.0.subscribe();
        let reached = watched.wait_for(|now| *now >= stage);
        tokio::time::timeout(Duration::from_secs(60), reached).await.expect("a held request comes").unwrap();
    }
}

impl Hypervisor {
    /// Serves on `folder/hypervisor.sock`.
    pub(crate) fn start(folder: &Path) -> Self {
        let socket = folder.join("hypervisor.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let manner = Manner {
            make: Duration::from_millis(100),
            boot: Duration::from_millis(100),
            silent: false,
            alike: false,
            reports: Vec::new(),
            players: None,
        };
        let hypervisor = Self {
            shared: Arc::new(Shared {
                socket,
                world: Mutex::default(),
                manner: watch::Sender::new(manner),
                holds: Mutex::default(),
            }),
        };
        let router = server::router(hypervisor.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        hypervisor
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.shared.socket
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Manner)) {
        self.shared.manner.send_modify(change);
    }

    /// Holds the next such request back.
    pub(crate) fn hold(&self, verb: Verb, guest: &str) -> Held {
        let stage = watch::Sender::new(Stage::Expected);
        let hold = Hold { verb, guest: guest.to_owned(), stage: stage.clone() };
        self.shared.holds.lock().unwrap_or_else(PoisonError::into_inner).push(hold);
        Held(stage)
    }

    /// A guest that no companion made, alive.
    #[allow(dead_code, reason = "each program uses its part")]
    pub(crate) fn somebody_makes(&self, id: &str, guest: &str) {
        self.world().make_foreign(id, guest);
        tokio::spawn(guest::live(self.clone(), id.to_owned()));
    }

    /// Every guest that is there, by job.
    pub(crate) fn machines(&self) -> Vec<Machine> {
        self.world().machines.values().cloned().collect()
    }

    pub(crate) fn machine(&self, guest: &str) -> Option<Machine> {
        self.world().machines.values().find(|machine| machine.guest == guest).cloned()
    }

    /// The guest of this job is there, and runs.
    #[allow(dead_code, reason = "each program uses its part")]
    pub(crate) fn runs(&self, job: &str) -> bool {
        self.world().machines.get(job).is_some_and(|machine| machine.running)
    }

    /// Two of one guest that ran at once.
    #[allow(dead_code, reason = "each program uses its part")]
    pub(crate) fn twins(&self) -> Vec<String> {
        self.world().twins.clone()
    }

    /// Everything that was asked for, in the order in which it was done.
    pub(crate) fn journal(&self) -> Vec<Entry> {
        self.world().journal.clone()
    }

    /// How many guests were half made at once, at most.
    pub(crate) fn most_half_made(&self) -> usize {
        self.world().most_half_made
    }

    /// From now on this guest cannot be started, or can again.
    pub(crate) fn break_guest(&self, guest: &str, broken: bool) {
        let mut world = self.world();
        if broken {
            world.broken.insert(guest.to_owned());
        } else {
            world.broken.remove(guest);
        }
    }

    /// Never did two guests of one name, or with one MAC, run at once.
    pub(crate) fn assert_never_two(&self) {
        assert_eq!(self.world().twins, Vec::<String>::new(), "two of a guest");
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a request that is held back waits; `None` lets it pass.
    fn held(&self, verb: Verb, guest: &str) -> Option<watch::Sender<Stage>> {
        let mut holds = self.shared.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let found = holds.iter().position(|hold| hold.verb == verb && hold.guest == guest)?;
        Some(holds.remove(found).stage)
    }
}
