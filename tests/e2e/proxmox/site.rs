//! A companion beside the cluster.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use firstlight_tests::golden::Variant;
use firstlight_tests::rig::{Companion, leftovers, ssh};
use firstlight_tests::run::{self, Ran};
use firstlight_tests::simpve::example::{CONTAINER_GOLDEN, SECRET, TOKEN};
use firstlight_tests::simpve::wire::SimPve;
use firstlight_tests::{paths, ports};
use serde_json::Value;
use tempfile::TempDir;

use super::api::Cluster;

#[derive(Debug)]
pub(crate) struct Site {
    // In the order of their ends.
    companion: Daemon,
    pub(super) cluster: Cluster,
    folder: TempDir,
}

impl Site {
    pub(super) fn start() -> Self {
        Self::with(Cluster::start(Variant::Dhcp))
    }

    /// On a cluster whose backup is this file.
    pub(crate) fn of(golden: &Path) -> Self {
        Self::with(Cluster::of(golden))
    }

    fn with(cluster: Cluster) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-site-").tempdir().unwrap();
        let gateway = cluster.guests.gateway().to_string();
        let companion = companion(folder.path(), &cluster.sim, &gateway);
        Self { companion: Daemon(Some(companion)), cluster, folder }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn run(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(paths::given(paths::COMPANION_VARIABLE));
        run::run(command.args(words).env("FIRSTLIGHT_STATE", self.state())).unwrap()
    }

    /// Brings guests up, which must all become ready; the document that `up` prints.
    pub(crate) fn up(&self, name: &str, more: &str) -> Value {
        let spec = self.folder.path().join("spec.toml");
        let text = format!(
            "[[guest]]\nname = \"{name}\"\nbackend = \"proxmox\"\ngolden = \"{CONTAINER_GOLDEN}\"\n{more}"
        );
        fs::write(&spec, text).unwrap();
        let ran = self.run(&["up", &spec.to_string_lossy(), "--json"]);
        assert!(ran.ok(), "up failed: {}\n{}", ran.said(), self.said());
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// The number of the container of this name.
    pub(super) fn vmid(&self, hostname: &str) -> u32 {
        let named = |world: &mut firstlight_tests::simpve::world::World| {
            let mut guests = world.guests.iter();
            guests.find(|(_, guest)| guest.get("hostname") == Some(hostname)).map(|(id, _)| *id)
        };
        self.cluster.sim.with_world(named).unwrap_or_else(|| panic!("no container is called {hostname}"))
    }

    /// Logs in from the guests' own bridge, with what `known-hosts` prints and nothing else.
    pub(super) fn log_in(&self, address: &str, words: &[&str]) -> Ran {
        let known_hosts = self.folder.path().join("known_hosts");
        fs::write(&known_hosts, self.run(&["known-hosts"]).stdout).unwrap();
        let mut ssh = run::command(["ip", "netns", "exec", self.cluster.guests.namespace(), "ssh"]);
        ssh::log_in_at(&mut ssh, address, &known_hosts, &[], words).unwrap()
    }

    /// For messages.
    pub(super) fn said(&self) -> String {
        let log = self.companion.0.as_ref().map(Companion::log).unwrap_or_default();
        format!("{log}\n{}", self.cluster.said())
    }

    /// Ends all, and demands that nothing is left of guests and companion.
    pub(crate) fn end(mut self) {
        let state = self.state();
        self.companion.0.take().unwrap().stop().unwrap();
        self.cluster.end();
        let left = leftovers::find(&state);
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }
}

/// One that works on this cluster, and is reached by its guests at this address; its state is `folder`'s `state`.
pub(super) fn companion(folder: &Path, cluster: &SimPve, gateway: &str) -> Companion {
    let (port, token, authority) = (ports::free(), folder.join("token"), folder.join("ca.pem"));
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&token).unwrap();
    writeln!(file, "{TOKEN}={SECRET}").unwrap();
    fs::write(&authority, cluster.authority()).unwrap();
    let configuration = format!(
        "[reports]\nurl = \"https://{gateway}:{port}\"\n[proxmox]\naddresses = [\"{}\"]\ntoken = \"{}\"\nca = \"{}\"\n",
        cluster.addresses()["pve1"],
        token.display(),
        authority.display(),
    );
    let state = folder.join("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.with_extension("toml"), configuration).unwrap();
    let program = paths::given(paths::COMPANION_VARIABLE);
    Companion::start(&program, &state, ([0, 0, 0, 0], port).into()).unwrap()
}

/// After a failure, too, it ends.
#[derive(Debug)]
pub(super) struct Daemon(pub(super) Option<Companion>);

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(companion) = self.0.take() {
            companion.kill();
        }
    }
}
