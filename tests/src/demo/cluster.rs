//! The demo's other hypervisor: a simulated Proxmox VE, whose containers are real.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::rig::leftovers;
use crate::simpve::example::{self, CONTAINER_GOLDEN, SECRET, TOKEN};
use crate::simpve::profile::Profile;
use crate::simpve::real::RealGuests;
use crate::simpve::wire::{Pace, SimPve};

#[derive(Debug)]
pub(super) struct Cluster {
    // In the order of their ends: nobody asks for guests any more when they go.
    sim: SimPve,
    guests: RealGuests,
    before: Value,
    folder: PathBuf,
}

impl Cluster {
    /// One node, as slow as the real API was measured to be; its goldens' archive is this one.
    pub(super) fn start(state: &Path, golden: &Path) -> Result<Self> {
        let guests = RealGuests::start(&state.join("cluster"), &[(CONTAINER_GOLDEN, golden)])?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let profile = Profile::measured();
        let mut world = example::cluster(1, profile.clone(), now, now);
        world.machines = guests.guests(&profile);
        let sim = SimPve::on_loopback(world, Pace::Auto)?;
        let before = sim.inventory();
        let folder = guests.folder().to_owned();
        let cluster = Self { sim, guests, before, folder };
        eprintln!("a simulated Proxmox VE at https://{}, whose containers are real", cluster.address()?);
        Ok(cluster)
    }

    fn address(&self) -> Result<SocketAddr> {
        self.sim.addresses().values().next().copied().context("the cluster has no node")
    }

    /// What the companion is told, which listens at this port; the files beside its state folder are what it names.
    pub(super) fn configure(&self, state: &Path, port: u16) -> Result<()> {
        let (authority, token) = (state.with_extension("ca.pem"), state.with_extension("token"));
        fs::write(&authority, self.sim.authority())?;
        let _ = fs::remove_file(&token);
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&token)?;
        std::io::Write::write_all(&mut &file, format!("{TOKEN}={SECRET}\n").as_bytes())?;
        let text = format!(
            "[reports]\nurl = \"https://{}:{port}\"\n\n\
             [proxmox]\naddresses = [\"{}\"]\ntoken = \"{}\"\nca = \"{}\"\n",
            self.guests.gateway(),
            self.address()?,
            token.display(),
            authority.display()
        );
        fs::write(state.with_extension("toml"), text)
            .context("the companion's configuration cannot be written")
    }

    /// What could not be done for guests, and what their consoles said, for messages.
    pub(super) fn diagnosis(&self) -> String {
        let ids = fs::read_dir(self.folder.join("guests")).into_iter().flatten().flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let consoles = ids.map(|id| format!("--- console of {id}\n{}", self.guests.console(id)));
        let problems = self.guests.problems().into_iter();
        problems.chain(consoles).collect::<Vec<_>>().join("\n")
    }

    /// Ends it, and judges what the companion left in it.
    pub(super) fn end(self) -> Result<()> {
        let Self { sim, guests, before, folder } = self;
        let (after, requests) = (sim.inventory(), sim.requests().len());
        drop(sim);
        drop(guests);
        let left = leftovers::find(&folder);
        ensure!(left.is_empty(), "left behind:\n{}", left.join("\n"));
        ensure!(after == before, "the cluster is not as it was before: {after:#}");
        eprintln!("after {requests} requests the cluster is as it was before");
        Ok(())
    }
}

/// What [`Cluster::configure`] wrote.
pub(super) fn forget(state: &Path) {
    for extension in ["ca.pem", "token", "toml"] {
        let _ = fs::remove_file(state.with_extension(extension));
    }
}
