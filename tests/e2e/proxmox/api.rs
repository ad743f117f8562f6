//! The simulated cluster's API as curl speaks to it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::rig::leftovers;
use firstlight_tests::simpve::example::{self, CONTAINER_GOLDEN, SECRET, TOKEN};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::real::RealGuests;
use firstlight_tests::simpve::storage::Archive;
use firstlight_tests::simpve::wire::{Pace, SimPve};
use firstlight_tests::{run, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::archive;

/// How the only node is asked.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) port: u16,
    pub(super) authority: PathBuf,
}

impl Api {
    /// `data` of an answer that must be 200.
    pub(super) fn ask(&self, method: &str, path: &str, parameters: &[&str]) -> Result<Value> {
        let mut curl =
            run::command(["curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]);
        curl.args(["--max-time", "20", "--request", method, "--cacert"]).arg(&self.authority);
        curl.args(["--resolve", &format!("pve1:{}:127.0.0.1", self.port)]);
        curl.args(["--header", &format!("Authorization: PVEAPIToken={TOKEN}={SECRET}")]);
        for parameter in parameters {
            let (name, value) = parameter.split_once('=').context("a parameter has a value")?;
            curl.args(["--data", &format!("{name}={}", encoded(value))]);
        }
        curl.arg(format!("https://pve1:{}/api2/json{path}", self.port));
        let answer: Value = serde_json::from_str(&run::must(&mut curl)?)?;
        Ok(answer["data"].clone())
    }

    /// Waits for the end of the task that a call starts, which must be OK.
    pub(super) fn task(&self, method: &str, path: &str, parameters: &[&str]) -> Result<()> {
        let upid = self.ask(method, path, parameters)?;
        let upid = upid.as_str().context("a task has a UPID")?;
        let status = format!("/nodes/pve1/tasks/{}/status", encoded(upid));
        let exit = wait::until("the task", Duration::from_secs(60), || {
            self.ask("GET", &status, &[]).ok()?["exitstatus"].as_str().map(str::to_owned)
        })?;
        ensure!(exit == "OK", "{upid} ended with {exit}");
        Ok(())
    }
}

/// A cluster of one node whose containers are real.
#[derive(Debug)]
pub(super) struct Cluster {
    // In the order of their ends: whoever asks, the guests, their folder.
    pub(super) sim: SimPve,
    pub(super) guests: RealGuests,
    folder: TempDir,
}

impl Cluster {
    pub(super) fn start(variant: Variant) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-simpve-").tempdir().unwrap();
        Self::with(folder, &archive(variant), None)
    }

    /// Of a backup as Proxmox makes them, whose own configuration counts.
    pub(super) fn of(golden: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-simpve-").tempdir().unwrap();
        let mut tar = run::command(["tar", "--extract", "--to-stdout", "--occurrence=1", "--file"]);
        let config = run::must(tar.arg(golden).arg("./etc/vzdump/pct.conf")).unwrap();
        Self::with(folder, golden, Some(&config))
    }

    fn with(folder: TempDir, golden: &Path, config: Option<&str>) -> Self {
        let guests =
            RealGuests::start(&folder.path().join("cluster"), &[(CONTAINER_GOLDEN, golden)]).unwrap();
        let profile = Profile::measured().scaled(0.2);
        let mut world = example::cluster(1, profile.clone(), 1, 1_795_259_766);
        world.machines = guests.guests(&profile);
        if let Some(config) = config {
            world.archives.insert(CONTAINER_GOLDEN.into(), Archive::new(Kind::Lxc, 9100, config.trim_end()));
        }
        let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
        std::fs::write(folder.path().join("ca.pem"), sim.authority()).unwrap();
        Self { sim, guests, folder }
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(super) fn api(&self) -> Api {
        Api { port: self.sim.addresses()["pve1"].port(), authority: self.authority() }
    }

    /// Waits for the end of the task that a call starts, which must be OK.
    pub(super) fn task(&self, method: &str, path: &str, parameters: &[&str]) {
        let done = self.api().task(method, path, parameters);
        done.unwrap_or_else(|error| panic!("{error:#}\n{}", self.said()));
    }

    pub(super) fn interfaces(&self, id: u32) -> Value {
        self.api().ask("GET", &format!("/nodes/pve1/lxc/{id}/interfaces"), &[]).unwrap()
    }

    /// The container's first process; its root may still be on its way.
    pub(super) fn leader(&self, id: u32) -> Leader {
        let root = self.guests.root(id);
        let leader =
            wait::until("the container's first process", Duration::from_secs(90), || Leader::of(&root));
        leader.unwrap_or_else(|error| panic!("{error}\n{}", self.said()))
    }

    /// Whether this guest can connect to the machine where a companion listens.
    pub(super) fn is_reached_by(&self, guest: Leader) -> bool {
        let listener = TcpListener::bind((self.guests.gateway(), 0)).unwrap();
        let open =
            format!("exec 3<>/dev/tcp/{}/{}", self.guests.gateway(), listener.local_addr().unwrap().port());
        guest.run(&["/usr/bin/timeout", "4", "/bin/bash", "-c", &open]).unwrap().ok()
    }

    /// For messages.
    pub(super) fn said(&self) -> String {
        let consoles: Vec<String> = (100..105).map(|id| self.guests.console(id)).collect();
        format!("{:#?}\n{}", self.guests.problems(), consoles.join("\n---\n"))
    }

    /// Ends it, and demands that nothing is left.
    pub(super) fn end(self) {
        let folder = self.guests.folder().to_owned();
        let Self { sim, guests, folder: outer } = self;
        drop(sim);
        drop(guests);
        let left = leftovers::find(&folder);
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
        drop(outer);
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
