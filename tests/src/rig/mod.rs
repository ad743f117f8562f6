//! A companion of a test's own: state folder, daemon and guests, all gone when it is dropped, which is asserted.

mod companion;
pub mod incus;
pub mod leftovers;
pub mod ssh;
pub(crate) mod subnet;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use firstlight_shared::wire::Claim;
use serde_json::Value;
use tempfile::TempDir;

use crate::golden::Variant;
use crate::guest::{Leader, Plug};
use crate::run::{self, Ran};
use crate::{golden, paths, ports, wait};
pub use companion::{Companion, terminate};

/// The companion's address in its guests' network.
const GATEWAY: &str = "10.77.0.1";

#[derive(Debug)]
pub struct Rig {
    folder: TempDir,
    program: PathBuf,
    companion: Option<Companion>,
    /// State folder of the daemon, if it is not the guests' own.
    other: Option<PathBuf>,
    port: u16,
}

impl Rig {
    /// A state folder without a daemon.
    pub fn new() -> Self {
        Self::with(&paths::given(paths::COMPANION_VARIABLE))
    }

    pub fn with(program: &Path) -> Self {
        let folder =
            tempfile::Builder::new().prefix("firstlight-test-").tempdir().expect("a folder can be made");
        fs::create_dir(folder.path().join("state")).expect("a folder can be made");
        Self { folder, program: program.to_owned(), companion: None, other: None, port: ports::free() }
    }

    /// With a daemon that answers.
    pub fn serving() -> Self {
        let mut rig = Self::new();
        rig.serve();
        rig
    }

    /// With a daemon that answers, and is told this (TOML).
    pub fn configured(configuration: &str) -> Self {
        let mut rig = Self::new();
        rig.configure(configuration);
        rig.serve();
        rig
    }

    /// What the next daemon is told.
    pub fn configure(&self, configuration: &str) {
        fs::write(self.daemon_state().with_extension("toml"), configuration).expect("a file can be written");
    }

    /// A second daemon on a state folder of its own, which must serve the same guests.
    pub fn beside(&self, name: &str, configuration: &str) -> Companion {
        let state = self.path(name);
        fs::create_dir_all(&state).expect("a folder can be made");
        fs::write(state.with_extension("toml"), configuration).expect("a file can be written");
        // Guests know the port only, in their own network; on this machine each daemon has an address of its own.
        let listen = SocketAddr::from(([127, 0, 0, 2], self.port));
        Companion::start(&self.program, &state, listen).expect("the second companion starts")
    }

    /// From now on `companion` (see [`Rig::beside`]) is the one that is spoken to, and stopped in the end.
    pub fn adopt(&mut self, name: &str, companion: Companion) {
        self.other = Some(self.path(name));
        self.companion = Some(companion);
    }

    fn listen(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The folder of the daemon that is spoken to; guests live in [`Rig::state`] all the same.
    fn daemon_state(&self) -> PathBuf {
        self.other.clone().unwrap_or_else(|| self.state())
    }

    pub fn serve(&mut self) {
        let companion = Companion::start(&self.program, &self.daemon_state(), self.listen())
            .expect("the companion starts");
        self.companion = Some(companion);
    }

    /// SIGKILL: nothing is said and nothing is put in order.
    pub fn kill_companion(&mut self) {
        self.companion.take().expect("a companion runs").kill();
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The port that the daemon listens at.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn guest_root(&self, name: &str) -> PathBuf {
        self.state().join("guests").join(name).join("root")
    }

    /// The network namespace of one guest.
    pub fn namespace(&self, name: &str) -> String {
        format!("fl-{}-{name}", leftovers::tag(&self.state()))
    }

    pub fn leader(&self, name: &str) -> Leader {
        Leader::wait_for(&self.guest_root(name)).expect("the guest runs")
    }

    /// A place on the guests' own network, for one that nobody here made.
    pub fn plug(&self, address: &str) -> Plug {
        Plug {
            namespace: format!("fl-{}", leftovers::tag(&self.state())),
            bridge: "flbr0".to_owned(),
            address: address.to_owned(),
            gateway: GATEWAY.to_owned(),
        }
    }

    /// Where guests reach the companion.
    pub fn reports(&self) -> String {
        format!("https://{GATEWAY}:{}", self.port)
    }

    /// `firstlight ...` on this rig's state folder.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("FIRSTLIGHT_STATE", self.daemon_state()).current_dir(self.folder.path());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        run::run(&mut self.command(words)).expect("the companion can be run")
    }

    /// The document that a command with `--json` prints, whatever its exit code.
    pub fn json(&self, words: &[&str]) -> Value {
        let ran = self.run(words);
        serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{words:?} printed no JSON ({error}): {}", ran.said()))
    }

    /// Writes a spec of one `[[guest]]` with these lines besides name, backend and golden.
    pub fn spec(&self, name: &str, variant: Variant, more: &str) -> String {
        let golden = golden::archive(&paths::given(paths::GOLDENS_VARIABLE), variant);
        self.spec_of(name, &golden, more)
    }

    pub fn spec_of(&self, name: &str, golden: &Path, more: &str) -> String {
        let text = format!(
            "[[guest]]\nname = \"{name}\"\nbackend = \"local\"\ngolden = \"{}\"\n{more}\n",
            golden.display()
        );
        let path = self.path("spec.toml");
        fs::write(&path, text).expect("a spec can be written");
        path.to_string_lossy().into_owned()
    }

    /// `up --json`, which must succeed; its guests.
    pub fn up(&self, spec: &str) -> Vec<Value> {
        let ran = self.run(&["up", spec, "--json"]);
        assert!(ran.ok(), "up failed: {}\n{}", ran.said(), self.diagnosis());
        let document: Value = serde_json::from_str(&ran.stdout).expect("up prints JSON");
        assert_eq!(document["duplicates"], serde_json::json!([]), "{document:#}");
        document["guests"].as_array().expect("up lists guests").clone()
    }

    /// `up --detach`, then waits until this guest runs and its job waits for the report.
    pub fn up_waiting(&self, spec: &str, names: &[&str]) {
        let ran = self.run(&["up", spec, "--detach"]);
        assert!(ran.ok(), "up --detach failed: {}", ran.said());
        for name in names {
            self.await_state(name, "waiting");
            self.leader(name).settled().expect("the guest boots");
        }
    }

    /// The state of a guest's newest job.
    pub fn job_state(&self, guest: &str) -> Option<String> {
        let jobs = self.json(&["jobs", "--json"]);
        let jobs = jobs["jobs"].as_array()?;
        let newest = jobs
            .iter()
            .filter(|job| job["guest"] == guest)
            .max_by_key(|job| job["created_at_ms"].as_u64())?;
        Some(newest["state"].as_str()?.to_owned())
    }

    pub fn await_state(&self, guest: &str, state: &str) {
        let mut last = None;
        wait::until(&format!("{guest} to be {state}"), Duration::from_secs(90), || {
            last = self.job_state(guest);
            (last.as_deref() == Some(state)).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}; it is {last:?}\n{}", self.diagnosis()));
    }

    /// The claim that was handed to a guest, read where the hypervisor keeps it.
    pub fn claim(&self, guest: &str) -> Claim {
        let folder = self.state().join("guests").join(guest);
        let files = fs::read_dir(&folder).expect("the guest has a folder").flatten();
        let claim = files
            .filter(|entry| entry.path().is_file())
            .find_map(|entry| serde_json::from_slice::<Claim>(&fs::read(entry.path()).ok()?).ok());
        claim.unwrap_or_else(|| panic!("no claim in {}", folder.display()))
    }

    /// Refusals that are recorded, newest last.
    pub fn refusals(&self) -> Vec<Value> {
        self.json(&["reports", "--json"])["refusals"].as_array().cloned().unwrap_or_default()
    }

    /// Fails if anything is left of this rig's guests.
    pub fn assert_clean(&self) {
        let left = leftovers::find(&self.state());
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// What daemon and consoles said last, for messages.
    pub fn diagnosis(&self) -> String {
        let mut text = self.companion.as_ref().map(Companion::log).unwrap_or_default();
        for entry in fs::read_dir(self.state().join("guests")).into_iter().flatten().flatten() {
            let console = fs::read(entry.path().join("console.log")).unwrap_or_default();
            let console = run::tail(&String::from_utf8_lossy(&console), 30);
            text.push_str(&format!("\n--- console of {}\n{console}", entry.file_name().to_string_lossy()));
        }
        text
    }

    fn tear_down(&mut self) -> Result<()> {
        // The daemon may have been killed, and a daemon is the only one who knows of running jobs.
        if self.companion.is_none() {
            self.companion = Some(Companion::start(&self.program, &self.daemon_state(), self.listen())?);
        }
        let destroyed = wait::until("destroy --all to succeed", Duration::from_secs(60), || {
            run::run(&mut self.command(&["destroy", "--all"])).ok().filter(Ran::ok)
        });
        let stopped = self.companion.take().map_or(Ok(()), Companion::stop);
        destroyed.context("guests could not be destroyed")?;
        stopped
    }
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        if failing {
            eprintln!("{}", self.diagnosis());
        }
        let torn_down = self.tear_down();
        let left = leftovers::find(&self.state());
        if failing {
            eprintln!("tear-down: {torn_down:?}; left behind: {left:?}");
            leftovers::sweep(&self.state());
            return;
        }
        if torn_down.is_err() || !left.is_empty() {
            leftovers::sweep(&self.state());
            panic!("tear-down: {torn_down:?}; left behind:\n{}", left.join("\n"));
        }
    }
}
