//! A real Incus server of a test's own: an `incusd` with its folder, pool, bridge and golden, in namespaces of its own.
//! Several stand beside each other, and beside the one that a machine may have; nothing of them outlives their owner.
//!
//! ```text
//!  this machine                         namespaces of the server (mount, pid, network, cgroup, uts, ipc)
//!  companion, incus ---unix socket----> incusd ---> containers
//!  GATEWAY (10.80.N.1) ---cable-------> bridge br0 (10.80.N.2, DHCP, API on port 8443) ---> eth0 of each
//! ```
//!
//! Not as elsewhere: no way out to other networks, no AppArmor, on a machine with cgroups of version 1 no limits, and
//! machines on one that is made [`IncusServer::for_machines`] only, where none starts.

mod daemon;
mod holder;
mod machines;
mod serve;
mod setup;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::daemon::Daemon;
use self::holder::Holder;
use super::subnet::Subnet;
use crate::golden::{self, Layer, Variant};
use crate::paths;
use crate::run::{self, Ran};
pub use serve::serve;

/// Alias of the image that guests are made from: Debian 13 that asks for an address, the agent in it.
pub const GOLDEN: &str = "golden";
/// As [`GOLDEN`], of guests that are ready without a network.
pub const ALONE: &str = "alone";
/// Of machines: an empty disk.
pub const MACHINE: &str = "machine";
/// Of guests that never report.
pub const SILENT: &str = "silent";
/// Pool with room for no golden.
pub const TIGHT_POOL: &str = "tight";
/// Network that gives no addresses.
pub const SILENT_NETWORK: &str = "silent";
/// Where the API is served over HTTPS.
pub const PORT: u16 = 8443;

/// Dropping it ends the server and its guests, and removes all of them.
#[derive(Debug)]
pub struct IncusServer {
    // None while it is down. First: it ends before its namespaces do.
    daemon: Mutex<Option<Daemon>>,
    holder: Holder,
    subnet: Subnet,
    folder: PathBuf,
    /// More of the daemon's environment.
    environment: Vec<(&'static str, String)>,
}

impl IncusServer {
    /// Starts one, with these root file systems (tar) as images, by their alias.
    ///
    /// # Errors
    /// Not root, a tool is missing, or the kernel refuses a namespace.
    pub fn start(images: &[(&str, &Path)]) -> Result<Self> {
        Self::start_with(images, |_| Ok(Vec::new()))
    }

    /// One that makes machines, with [`MACHINE`] to make them of.
    ///
    /// # Panics
    /// Where it cannot be had.
    pub fn for_machines() -> Self {
        let start = || {
            let disk = tempfile::Builder::new().suffix(".img").tempfile()?;
            machines::empty_disk(disk.path())?;
            Self::start_with(&[(MACHINE, disk.path())], machines::lend)
        };
        start().unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn start_with(
        images: &[(&str, &Path)],
        lend: impl FnOnce(&Path) -> Result<Vec<(&'static str, String)>>,
    ) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "an Incus server needs root");
        // The folder itself is the holder's to make and to remove.
        let unique = tempfile::Builder::new().prefix("flincus-").rand_bytes(8).tempdir()?;
        let folder = unique.path().to_owned();
        unique.close()?;
        let name = folder.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        let subnet = Subnet::reserve(80, &name)?;
        let holder = Holder::start(&name, &folder)?;
        let environment = lend(&folder)?;
        let log = folder.join("incusd.log");
        let daemon = Daemon::start(&holder, &folder.join("incus"), &log, &environment)?;
        let server = Self { daemon: Mutex::new(Some(daemon)), holder, subnet, folder, environment };
        setup::all(&server, images).with_context(|| server.log())?;
        Ok(server)
    }

    /// With images for tests: [`GOLDEN`], [`ALONE`], [`SILENT`].
    ///
    /// # Panics
    /// Where it cannot be had: a test without its server must not count as passed.
    pub fn for_tests() -> Self {
        Self::try_for_tests().unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn try_for_tests() -> Result<Self> {
        let goldens = paths::given(paths::GOLDENS_VARIABLE);
        let golden = golden::archive(&goldens, Variant::Dhcp);
        let folder = tempfile::tempdir()?;
        let alone = folder.path().join("alone.tar");
        std::fs::copy(&golden, &alone)?;
        let mut layer = Layer::default();
        layer.file("etc/firstlight/guest.toml", 0o644, "[checks]\nskip = [\"network\"]\n");
        layer.append_to(&alone)?;
        let silent = golden::archive(&goldens, Variant::Silent);
        Self::start(&[(GOLDEN, &golden), (ALONE, &alone), (SILENT, &silent)])
    }

    /// The one that tests of a program share, each in a project of its own. It goes when the program ends.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<IncusServer> = OnceLock::new();
        SHARED.get_or_init(Self::for_tests)
    }

    /// `INCUS_DIR`.
    pub fn directory(&self) -> PathBuf {
        self.folder.join("incus")
    }

    pub fn socket(&self) -> PathBuf {
        self.directory().join("unix.socket")
    }

    /// The certificate that it shows over HTTPS (PEM).
    pub fn certificate(&self) -> PathBuf {
        self.directory().join("server.crt")
    }

    /// This machine's address in the guests' network.
    pub fn gateway(&self) -> Ipv4Addr {
        self.subnet.host(1)
    }

    /// Of the API over HTTPS; reached from this machine.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.subnet.host(2), PORT))
    }

    /// `incus`, as this server's administrator, with no settings of the user's.
    pub fn command(&self) -> Command {
        let mut command = Command::new("incus");
        command.env("INCUS_DIR", self.directory()).env("INCUS_CONF", self.folder.join("client"));
        command
    }

    pub fn incus(&self, words: &[&str]) -> Ran {
        run::run(self.command().args(words)).expect("incus can be run")
    }

    /// What it prints, which must succeed.
    pub fn must(&self, words: &[&str]) -> Result<String> {
        run::must(self.command().args(words))
    }

    /// The answer of a GET, without its envelope.
    pub fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.must(&["query", path])?)?)
    }

    /// A project of its own for a test: instances, volumes and profiles; images and networks are everybody's. `more` are
    /// settings, such as `restricted=true`.
    pub fn project(&self, name: &str, more: &[&str]) -> Result<()> {
        let shared = ["features.images=false", "features.networks=false"];
        let settings = shared.iter().chain(more).flat_map(|setting| ["-c", setting]);
        let words: Vec<&str> = ["project", "create", name].into_iter().chain(settings).collect();
        self.must(&words)?;
        setup::profile(self, name)
    }

    /// All that the server lists of what a bring-up in this project could leave, by kind; the same before and after.
    pub fn inventory(&self, project: &str) -> Result<Value> {
        let mut all = serde_json::Map::new();
        for kind in ["instances", "images", "images/aliases", "networks", "profiles"] {
            all.insert(kind.to_owned(), self.sorted(&format!("/1.0/{kind}?project={project}"))?);
        }
        all.insert("projects".to_owned(), self.get(&format!("/1.0/projects/{project}"))?["config"].clone());
        for pool in ["default", TIGHT_POOL] {
            let path = format!("/1.0/storage-pools/{pool}/volumes?project={project}");
            all.insert(format!("volumes of {pool}"), self.sorted(&path)?);
        }
        Ok(Value::Object(all))
    }

    /// The server lists in any order.
    fn sorted(&self, path: &str) -> Result<Value> {
        let mut names: Vec<String> = serde_json::from_value(self.get(path)?)?;
        names.sort();
        Ok(names.into())
    }

    /// SIGKILL to the server; its guests live on.
    pub fn kill(&self) -> Result<()> {
        self.daemon().take().context("the server is down already")?.kill()
    }

    /// After [`IncusServer::kill`].
    pub fn start_again(&self) -> Result<()> {
        let log = self.folder.join("incusd.log");
        let started = Daemon::start(&self.holder, &self.directory(), &log, &self.environment)?;
        *self.daemon() = Some(started);
        Ok(())
    }

    /// A program in the server's namespaces.
    pub fn within(&self, words: &[&str]) -> Command {
        self.holder.command(words)
    }

    /// Its last words.
    pub fn log(&self) -> String {
        self.daemon().as_ref().map(Daemon::said).unwrap_or_default()
    }

    /// The cgroup and the folder of all of it, and this machine's end of its cable: none is there after the end.
    pub fn traces(&self) -> [PathBuf; 3] {
        let cable = Path::new("/sys/class/net").join(setup::cable(&self.subnet));
        [self.holder.cgroup().to_owned(), self.folder.clone(), cable]
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Daemon>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IncusServer {
    fn drop(&mut self) {
        let ended = self.holder.end();
        if let Some(daemon) = self.daemon().take() {
            daemon.bury();
        }
        if let (Err(error), false) = (ended, std::thread::panicking()) {
            panic!("{error:#}");
        }
    }
}
