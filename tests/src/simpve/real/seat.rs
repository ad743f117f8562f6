//! One guest: a thread that carries out what the world ordered, in its order, and looks at the guest in between.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::super::guests::{Boot, Interface};
use super::line::{self, Places};
use super::{Rig, fabric, hook, kernel, locked, look};
use crate::guest::bare::end_cgroup;
use crate::run;

/// Between two looks at a guest.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
enum Order {
    /// Unpacks the golden in place of whatever was there.
    Restore(PathBuf),
    Boot(Box<Boot>, PathBuf, u64),
    Stop,
    /// All of it goes. The thread stays: the number may be given again before the last file is gone.
    Remove,
}

/// What the world sees of the guest.
#[derive(Debug, Default)]
struct Shown {
    /// Counts its starts: what a look at an earlier one saw is of no use.
    start: u64,
    /// There is a container of this number, and it is real.
    real: bool,
    running: bool,
    interfaces: Vec<Interface>,
}

#[derive(Debug)]
pub(super) struct Seat {
    orders: Sender<Order>,
    shown: Arc<Mutex<Shown>>,
}

impl Seat {
    pub(super) fn take(rig: &Arc<Rig>, id: u32) -> Self {
        let (orders, taken) = channel();
        let shown = Arc::new(Mutex::new(Shown::default()));
        let worker = Worker { rig: Arc::clone(rig), id, shown: Arc::clone(&shown), start: 0, nspawn: None };
        std::thread::spawn(move || worker.work(&taken));
        Self { orders, shown }
    }

    /// The thread lives as long as this does.
    fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    pub(super) fn is_real(&self) -> bool {
        locked(&self.shown).real
    }

    pub(super) fn restore(&self, golden: PathBuf) {
        locked(&self.shown).real = true;
        self.order(Order::Restore(golden));
    }

    pub(super) fn boot(&self, boot: &Boot, golden: PathBuf) {
        let mut shown = locked(&self.shown);
        shown.start += 1;
        shown.real = true;
        shown.running = true;
        shown.interfaces = look::blank(boot.mac.as_deref());
        self.order(Order::Boot(Box::new(boot.clone()), golden, shown.start));
    }

    pub(super) fn stop(&self) {
        let mut shown = locked(&self.shown);
        shown.running = false;
        shown.interfaces.clear();
        self.order(Order::Stop);
    }

    pub(super) fn remove(&self) {
        let mut shown = locked(&self.shown);
        shown.real = false;
        shown.running = false;
        shown.interfaces.clear();
        self.order(Order::Remove);
    }

    pub(super) fn interfaces(&self) -> Vec<Interface> {
        locked(&self.shown).interfaces.clone()
    }
}

struct Worker {
    rig: Arc<Rig>,
    id: u32,
    shown: Arc<Mutex<Shown>>,
    start: u64,
    nspawn: Option<Child>,
}

impl Worker {
    fn work(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match self.nspawn {
                Some(_) => orders.recv_timeout(PAUSE),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Err(RecvTimeoutError::Timeout) => self.look(),
                // The world is gone; whoever owns the rig removes the rest.
                Err(RecvTimeoutError::Disconnected) => {
                    self.carry_out("stopped", Self::stop);
                    return;
                }
                Ok(Order::Restore(golden)) => self.carry_out("unpacked", |worker| worker.unpack(&golden)),
                Ok(Order::Boot(boot, golden, start)) => {
                    self.start = start;
                    self.carry_out("booted", |worker| worker.boot(&boot, &golden));
                }
                Ok(Order::Stop) => self.carry_out("stopped", Self::stop),
                Ok(Order::Remove) => self.carry_out("removed", Self::remove),
            }
        }
    }

    /// Unless the rig goes: then nothing may be made any more, and all is removed without this thread.
    fn carry_out(&mut self, what: &str, action: impl FnOnce(&mut Self) -> Result<()>) {
        let rig = Arc::clone(&self.rig);
        let closing = rig.closing.read().unwrap_or_else(PoisonError::into_inner);
        if *closing {
            self.reap();
            return;
        }
        if let Err(error) = action(self) {
            self.show(Vec::new());
            self.rig.tell(format!("guest {} cannot be {what}: {error:#}", self.id));
        }
    }

    fn show(&self, interfaces: Vec<Interface>) {
        let mut shown = locked(&self.shown);
        if shown.running && shown.start == self.start {
            shown.interfaces = interfaces;
        }
    }

    fn reap(&mut self) {
        if let Some(mut nspawn) = self.nspawn.take() {
            let _ = nspawn.wait();
        }
    }

    fn look(&mut self) {
        if self.nspawn.as_mut().is_none_or(|nspawn| !matches!(nspawn.try_wait(), Ok(None))) {
            self.nspawn = None;
            self.show(Vec::new());
            return;
        }
        let seen = kernel::ip(&self.rig.namespace(self.id), "-json address");
        if let Some(seen) = seen.ok().and_then(|json| look::interfaces(&json)) {
            self.show(seen);
        }
    }

    fn unpack(&mut self, golden: &Path) -> Result<()> {
        let (rig, id) = (Arc::clone(&self.rig), self.id);
        self.stop()?;
        remove_folder(&rig.guest(id))?;
        let partial = rig.guest(id).join("partial");
        fs::create_dir_all(&partial).with_context(|| format!("{} cannot be made", partial.display()))?;
        let mut tar = kernel::words(["tar", "--extract", "--numeric-owner", "--file"]);
        tar.extend([golden.into(), "--directory".into(), partial.clone().into()]);
        run::must(&mut kernel::within(&rig.guest_cgroup(id), &tar)?)?;
        fs::rename(&partial, rig.root(id)).context("the root cannot be put in place")
    }

    fn boot(&mut self, boot: &Boot, golden: &Path) -> Result<()> {
        self.stop()?;
        let (rig, id) = (Arc::clone(&self.rig), self.id);
        if !rig.root(id).is_dir() {
            self.unpack(golden)?;
        }
        let named = if boot.hostname.is_empty() { format!("CT{id}") } else { boot.hostname.clone() };
        let resolvers = hook::resolvers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        hook::apply(&rig.root(id), &named, boot.mac.is_some(), &resolvers)?;
        let volumes = rig.guest(id).join("volumes");
        for (volume, _) in &boot.mounts {
            let folder = volumes.join(line::file_name(volume));
            fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        let namespace = rig.namespace(id);
        self.plug_in(&namespace, boot.mac.as_deref(), locked(&rig.cut_off).contains(&named))?;
        let root = rig.root(id);
        let places = Places { machine: &namespace, root: &root, namespace: &namespace, volumes: &volumes };
        let line = line::nspawn(boot, &named, &places);
        let console = rig.guest(id).join("console.log");
        self.nspawn = Some(kernel::spawn(&rig.guest_cgroup(id), &line, &console)?);
        Ok(())
    }

    /// A namespace with the guest's end of its cable; the other end is a port of the bridge.
    fn plug_in(&self, namespace: &str, mac: Option<&str>, cut_off: bool) -> Result<()> {
        kernel::add_namespace(namespace)?;
        kernel::ip(namespace, "link set lo up")?;
        let Some(mac) = mac else { return Ok(()) };
        if mac.parse::<firstlight_shared::ids::MacAddress>().is_err() {
            bail!("`{mac}` is no MAC address");
        }
        let (bridge, port) = (&self.rig.name, self.port());
        kernel::ip(
            bridge,
            &format!("link add {port} type veth peer name eth0 netns {namespace} address {mac}"),
        )?;
        kernel::ip(bridge, &format!("link set {port} master {} up", fabric::BRIDGE))?;
        if cut_off {
            kernel::ip(bridge, &format!("link set {port} type bridge_slave isolated on"))?;
        }
        // As LXC does it: there is a link before anything in the guest asks for one.
        kernel::ip(namespace, "link set eth0 up").map(drop)
    }

    fn port(&self) -> String {
        format!("veth{}i0", self.id)
    }

    /// Kills it. Repeatable.
    fn stop(&mut self) -> Result<()> {
        let (rig, id) = (Arc::clone(&self.rig), self.id);
        end_cgroup(&rig.guest_cgroup(id), self.nspawn.take())?;
        // Both ends go at once; with the namespace alone they would take their time, and so would the next start.
        let _ = kernel::ip(&rig.name, &format!("link delete {}", self.port()));
        kernel::delete_namespace(&rig.namespace(id))?;
        // A systemd-nspawn that is killed leaves the lock on its root behind.
        if let Ok(root) = fs::metadata(rig.root(id)) {
            let _ = fs::remove_file(format!("/run/systemd/nspawn/locks/inode-{}:{}", root.dev(), root.ino()));
        }
        Ok(())
    }

    fn remove(&mut self) -> Result<()> {
        self.stop()?;
        remove_folder(&self.rig.guest(self.id))
    }
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}
