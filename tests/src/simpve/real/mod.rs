//! Real containers for the simulated cluster: each is a systemd-nspawn guest of its own, booted from the golden that
//! stands for its archive, with the MAC, the name, the environment and the mounts of its configuration. What the API
//! lists of it is what its network has.
//!
//! They live on a bridge in a network namespace of the rig, with DHCP from dnsmasq; this machine has one cable into it, at
//! the [`RealGuests::gateway`], where a companion that listens on all addresses is reached. Nothing outlives the rig, not
//! even where its process is killed: a caretaker waits for that.
//!
//! Not as in Proxmox VE: no user namespace (root in such a guest is root here: boot only goldens that you trust), no
//! limits of memory, processors and disks (a mount is a folder). Virtual machines, and containers that were not restored
//! from an archive, stay scripted.

mod caretaker;
mod fabric;
mod hook;
mod kernel;
mod line;
mod look;
mod seat;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use anyhow::{Context as _, Result, ensure};

use self::caretaker::Caretaker;
use self::fabric::Fabric;
use self::seat::Seat;
use super::call::Moment;
use super::guest::Kind;
use super::guests::{Boot, Finished, Guests, Interface, Scripted};
use super::profile::Profile;
use crate::guest::bare::cgroup_mount;
use crate::rig::leftovers;
use crate::run;

/// Owns all that its guests are made of. Dropping it ends them and removes it, the folder too.
#[derive(Debug)]
pub struct RealGuests {
    rig: Arc<Rig>,
    fabric: Fabric,
    caretaker: Caretaker,
}

/// What the owner and the guests' threads share.
#[derive(Debug)]
struct Rig {
    folder: PathBuf,
    /// Everything that the kernel names carries it: `flpve-TAG`.
    name: String,
    cgroup: PathBuf,
    goldens: BTreeMap<String, PathBuf>,
    /// Names of the guests that shall not reach the gateway.
    cut_off: Mutex<BTreeSet<String>>,
    problems: Mutex<Vec<String>>,
    /// True once all goes. Held for reading by whoever makes something.
    closing: RwLock<bool>,
}

impl RealGuests {
    /// Makes the guests' network; everything else lies in `folder`, which is made and removed. `goldens` are archives of
    /// root file systems, by the volume that stands for each.
    ///
    /// # Errors
    /// Not root, a golden or a tool is missing, or the kernel refuses a namespace, a bridge or a cgroup.
    pub fn start(folder: &Path, goldens: &[(&str, &Path)]) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "real guests need root");
        for (_, golden) in goldens {
            ensure!(golden.is_file(), "there is no golden {}: cargo xtask golden", golden.display());
        }
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let folder = fs::canonicalize(folder)?;
        let name = format!("flpve-{}", leftovers::tag(&folder));
        let rig = Arc::new(Rig {
            cgroup: cgroup_mount()?.join(&name),
            name,
            folder,
            goldens: goldens
                .iter()
                .map(|(volume, path)| ((*volume).to_owned(), path.to_path_buf()))
                .collect(),
            cut_off: Mutex::default(),
            problems: Mutex::default(),
            closing: RwLock::new(false),
        });
        // First: what is made from here on goes with it, whatever fails.
        let caretaker = Caretaker::start(&rig)?;
        let fabric = Fabric::make(&rig)?;
        Ok(Self { rig, fabric, caretaker })
    }

    /// For [`super::world::World::machines`]; what is not real follows the profile's script.
    pub fn guests(&self, profile: &Profile) -> Box<dyn Guests> {
        let (rig, others) = (Arc::clone(&self.rig), Scripted::of(profile));
        Box::new(Seats { rig, seats: BTreeMap::new(), others })
    }

    /// This machine's address in the guests' network, and their default route.
    pub fn gateway(&self) -> Ipv4Addr {
        self.fabric.gateway
    }

    /// The namespace of the guests' bridge: from in there those are reached, too, that were cut off.
    pub fn namespace(&self) -> &str {
        &self.rig.name
    }

    /// Where all of it lies; [`leftovers::find`] takes it.
    pub fn folder(&self) -> &Path {
        &self.rig.folder
    }

    pub fn root(&self, id: u32) -> PathBuf {
        self.rig.root(id)
    }

    /// The guest's last words on its console.
    pub fn console(&self, id: u32) -> String {
        let console = fs::read(self.rig.guest(id).join("console.log")).unwrap_or_default();
        run::tail(&String::from_utf8_lossy(&console), 30)
    }

    /// A guest of this name gets an address and a default route, and no word from it reaches this machine. Counts from its
    /// next start on.
    pub fn cut_off(&self, hostname: &str) {
        locked(&self.rig.cut_off).insert(hostname.to_owned());
    }

    /// What could not be done for guests, with the words of the tool that failed.
    pub fn problems(&self) -> Vec<String> {
        locked(&self.rig.problems).clone()
    }
}

impl Drop for RealGuests {
    fn drop(&mut self) {
        // A tar or a nspawn that is at work would keep its thread, and this one, for long.
        let _ = fs::write(self.rig.cgroup.join("cgroup.kill"), "1");
        *self.rig.closing.write().unwrap_or_else(PoisonError::into_inner) = true;
        let gone = self.caretaker.clean();
        self.fabric.reap();
        if let (Err(error), false) = (gone, std::thread::panicking()) {
            panic!("real guests left something: {error:#}");
        }
    }
}

impl Rig {
    fn guest(&self, id: u32) -> PathBuf {
        self.folder.join("guests").join(id.to_string())
    }

    fn root(&self, id: u32) -> PathBuf {
        self.guest(id).join("root")
    }

    fn namespace(&self, id: u32) -> String {
        format!("{}-{id}", self.name)
    }

    fn guest_cgroup(&self, id: u32) -> PathBuf {
        self.cgroup.join(id.to_string())
    }

    fn tell(&self, problem: String) {
        locked(&self.problems).push(problem);
    }
}

/// What the world asks: never waits, the guests' threads do.
#[derive(Debug)]
struct Seats {
    rig: Arc<Rig>,
    seats: BTreeMap<u32, Seat>,
    others: Scripted,
}

impl Seats {
    fn seat(&mut self, id: u32) -> &mut Seat {
        self.seats.entry(id).or_insert_with(|| Seat::take(&self.rig, id))
    }

    fn real(&self, id: u32) -> Option<&Seat> {
        self.seats.get(&id).filter(|seat| seat.is_real())
    }
}

impl Guests for Seats {
    fn restore(&mut self, id: u32, archive: &str) {
        if let Some(golden) = self.rig.goldens.get(archive).cloned() {
            self.seat(id).restore(golden);
        }
    }

    fn remove(&mut self, id: u32) {
        if let Some(seat) = self.real(id) {
            seat.remove();
        }
    }

    fn boot(&mut self, boot: &Boot, now: Moment) -> Result<(), String> {
        let Some(archive) = boot.archive.as_deref().filter(|_| boot.kind == Kind::Lxc) else {
            return self.others.boot(boot, now);
        };
        match self.rig.goldens.get(archive).cloned() {
            Some(golden) => {
                self.seat(boot.id).boot(boot, golden);
                Ok(())
            }
            None => Err(format!("no golden stands for '{archive}': nothing real can be booted")),
        }
    }

    fn stop(&mut self, id: u32) {
        self.others.stop(id);
        if let Some(seat) = self.real(id) {
            seat.stop();
        }
    }

    fn interfaces(&self, id: u32, now: Moment) -> Vec<Interface> {
        self.real(id).map_or_else(|| self.others.interfaces(id, now), Seat::interfaces)
    }

    fn obeys(&self, id: u32, now: Moment) -> bool {
        self.real(id).is_some() || self.others.obeys(id, now)
    }

    fn agent_answers(&self, id: u32, now: Moment) -> bool {
        self.others.agent_answers(id, now)
    }

    fn read_file(&self, id: u32, path: &str) -> Option<Vec<u8>> {
        self.others.read_file(id, path)
    }

    fn write_file(&mut self, id: u32, path: &str, content: &[u8]) -> bool {
        self.others.write_file(id, path, content)
    }

    fn run(&mut self, id: u32, command: &[String], input: &str) -> Option<Finished> {
        self.others.run(id, command, input)
    }
}

/// A thread that panicked has said so; what it held is as good as before.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
