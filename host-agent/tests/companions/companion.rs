//! One companion: this very program again, running the library's daemon with the paper hypervisor as a backend.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use firstlight::config::{Sources, load};
use firstlight::daemon::{LogLevel, serve};
use firstlight_tests::ports::free_address;
use hyper::StatusCode;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::hypervisor::backend::{NAME, Paper};
use crate::hypervisor::call::call;

/// What tells the child that it is one: its configuration file.
const CONFIGURATION: &str = "FIRSTLIGHT_TEST_COMPANION";
/// The socket of its hypervisor.
const HYPERVISOR: &str = "FIRSTLIGHT_TEST_HYPERVISOR";

/// Lease and grace of a companion, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) lease: u64,
    pub(crate) grace: u64,
    /// Of memory, on the one node.
    pub(crate) budget: Option<&'static str>,
    /// Jobs that work at once.
    pub(crate) places: usize,
    pub(crate) log: &'static str,
}

/// Short, so that a take-over is soon; the grace is longer than any request of [`Paper`] waits for its answer.
pub(crate) const SHORT: Terms =
    Terms { lease: 2, grace: 2, budget: None, places: 4, log: "warn,firstlight=debug" };

#[derive(Debug)]
pub(crate) struct Companion {
    pub(crate) name: String,
    /// Where it takes reports.
    pub(crate) reports: SocketAddr,
    child: Child,
    folder: PathBuf,
    hypervisor: PathBuf,
}

impl Companion {
    /// Starts one and waits until it answers.
    pub(crate) async fn start(
        folder: &Path,
        name: &str,
        database: &str,
        hypervisor: &Path,
        terms: Terms,
    ) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let reports = free_address();
        let configuration = folder.join("firstlight.toml");
        std::fs::write(&configuration, configured(&folder, name, database, reports, terms)).unwrap();
        let child = spawned(&folder, hypervisor);
        let hypervisor = hypervisor.to_owned();
        let mut companion = Self { name: name.to_owned(), reports, child, folder, hypervisor };
        companion.answers().await;
        companion
    }

    /// Starts it again, as it was configured.
    #[allow(dead_code, reason = "each program uses its part")]
    pub(crate) fn start_again(&mut self) {
        self.child = spawned(&self.folder, &self.hypervisor);
    }

    pub(crate) async fn answers(&mut self) {
        let socket = self.socket();
        until("the companion to answer", 30, async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, self.log());
            call(&socket, "", "GET", "/v1/status", &Value::Null).await.is_ok()
        })
        .await;
    }

    #[allow(dead_code, reason = "each program uses its part")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// SIGKILL: nothing is said and nothing is put in order.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let mut status = None;
        until("the companion to end", 30, async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, &body).await
    }

    /// The answer of the API, whatever it says; a store that is busy may be asked again.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut answer = None;
        until(&format!("{path} to be answered"), 20, async || {
            let answered = call(&self.socket(), "", "POST", path, body).await.ok();
            let away = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE];
            answer = answered.filter(|(status, _)| !away.contains(status));
            answer.is_some()
        })
        .await;
        answer.unwrap()
    }

    /// The answer of the API, which must be a good one; a store that is not there for a moment may be asked again.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut answer = Value::Null;
        until(&format!("{method} {path} to be answered"), 20, async || {
            match call(&self.socket(), "", method, path, body).await {
                Ok((StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE, _)) | Err(_) => {
                    false
                }
                Ok((status, said)) => {
                    assert!(status.is_success(), "{method} {path}: {status} {said}");
                    answer = said;
                    true
                }
            }
        })
        .await;
        answer
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// Its last words.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- companion {}\n{}", self.name, self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configured(folder: &Path, name: &str, database: &str, reports: SocketAddr, terms: Terms) -> String {
    let budget = terms.budget.map(|most| format!("[budget]\n\"node:{NAME}\" = {most:?}\n"));
    format!(
        "state = {folder:?}\n[store]\nurl = {database:?}\n\
         [companion]\nname = {name:?}\nlease = \"{lease}s\"\ngrace = \"{grace}s\"\ndrain = \"5s\"\n\
         [limits]\nnode = {places}\n[reports]\nlisten = \"{reports}\"\nurl = \"https://{reports}\"\n\
         [log]\nlevel = {log:?}\n{budget}",
        budget = budget.unwrap_or_default(),
        lease = terms.lease,
        grace = terms.grace,
        places = terms.places,
        log = terms.log,
    )
}

/// This program again, as a companion.
fn spawned(folder: &Path, hypervisor: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "companion::is_one", "--ignored", "--nocapture", "--test-threads=1"])
        .env(CONFIGURATION, folder.join("firstlight.toml"))
        .env(HYPERVISOR, hypervisor)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Asks again and again, at most for so long.
pub(crate) async fn until(what: &str, seconds: u64, mut look: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !look().await {
        assert!(Instant::now() < deadline, "waited {seconds} s for {what} in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Not a test: what [`Companion::start`] starts. Without its variables it does nothing.
#[test]
#[ignore = "the other tests start it"]
fn is_one() {
    be_one();
}

/// False: nobody said that this process is to be a companion.
pub(crate) fn be_one() -> bool {
    let (Some(file), Some(hypervisor)) = (std::env::var_os(CONFIGURATION), std::env::var_os(HYPERVISOR))
    else {
        return false;
    };
    // Whatever ends the program that plays against it.
    set_pdeathsig(Signal::SIGKILL).unwrap();
    let sources = Sources::of_machine(Some(Path::new(&file)));
    let settings = load(&sources).unwrap().settings;
    let paper = Paper {
        name: NAME,
        socket: hypervisor.into(),
        companion: settings.companion.name.clone(),
        url: settings.reports.url.unwrap(),
    };
    let log = LogLevel::start(&settings.log.level);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(&sources, &log, vec![Arc::new(paper)])).unwrap();
    true
}
