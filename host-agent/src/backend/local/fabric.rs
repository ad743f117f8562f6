//! The network that all guests of this instance share: a namespace with a bridge, a DHCP server, and the socket for reports.
//! The host's own namespace is not touched.

use std::fs::{self, File, OpenOptions};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use firstlight_shared::ids::GuestName;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, setns};
use tokio::net::TcpSocket;
use tokio::sync::Mutex;

use super::dhcp::Dhcp;
use super::keeper::Keeper;
use super::names::{BRIDGE, GATEWAY, GUEST_LINK, Names, netns_file};
use super::netns;
use super::stamp::{create_private_folder, file_fault};
use crate::backend::{Allocation, ReportEndpoint};
use crate::outcome::Fault;

/// Fixed: a bridge that takes its MAC from its ports changes it with them, and forgets its neighbours each time.
const BRIDGE_MAC: &str = "02:f1:56:00:00:01";
/// Connections that wait to be taken; more are tried again by the guest's kernel.
const BACKLOG: u32 = 1024;
/// How long to wait for another companion on the same folder to finish what it does to the fabric.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// The fault's code when that was not long enough: nothing was done.
pub(super) const BUSY: &str = "fabric-busy";

#[derive(Debug)]
pub(super) struct Fabric {
    names: Names,
    dhcp: Dhcp,
    port: u16,
    /// Changes go one at a time; holds the namespace whose listener was given out.
    listener_of: Mutex<Option<(u64, u64)>>,
}

impl Fabric {
    pub(super) fn new(names: &Names, port: u16) -> Self {
        Self { names: names.clone(), dhcp: Dhcp::new(names), port, listener_of: Mutex::new(None) }
    }

    pub(super) async fn ensure(&self, keeper: &Keeper) -> Result<ReportEndpoint, Fault> {
        let mut listener_of = self.listener_of.lock().await;
        let _alone = self.lock().await?;
        let namespace = self.names.fabric();
        netns::ensure(&namespace).await?;
        let links = netns::links(&namespace).await?;
        let bridge = links.iter().find(|link| link.ifname == BRIDGE);
        if bridge.is_none() {
            netns::ip(&namespace, &format!("link add {BRIDGE} address {BRIDGE_MAC} type bridge")).await?;
        }
        if !bridge.is_some_and(|link| link.addresses().contains(&IpAddr::V4(GATEWAY))) {
            netns::ip(&namespace, &format!("address replace {GATEWAY}/24 dev {BRIDGE}")).await?;
        }
        if !bridge.is_some_and(netns::Link::is_up) {
            netns::ip(&namespace, "link set lo up").await?;
            netns::ip(&namespace, &format!("link set {BRIDGE} up")).await?;
        }
        self.dhcp.ensure(keeper).await?;

        let identity = netns::identity(&namespace);
        let listener = if *listener_of == identity { None } else { Some(self.listen()?) };
        *listener_of = identity;
        Ok(ReportEndpoint { url: format!("https://{GATEWAY}:{}", self.port), listener })
    }

    /// Keeps other companions on this folder from changing the fabric meanwhile; the kernel lets go when this process ends.
    async fn lock(&self) -> Result<Flock<File>, Fault> {
        let path = self.names.fabric_lock();
        let failed = |error: &std::io::Error| file_fault("lock the fabric", &path, error);
        if let Some(folder) = path.parent() {
            create_private_folder(folder).map_err(|error| failed(&error))?;
        }
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(|error| failed(&error))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) => return Ok(held),
                Err((back, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file = back,
                Err((_, Errno::EWOULDBLOCK)) => return Err(busy(&path)),
                Err((_, error)) => return Err(failed(&error.into())),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Binds inside the namespace: a thread of its own goes there, and the socket stays there for good. Companions on the
    /// same folder share the address; the kernel gives each connection to one that lives.
    fn listen(&self) -> Result<TcpListener, Fault> {
        let path = netns_file(&self.names.fabric());
        let namespace = File::open(&path).map_err(|error| file_fault("open the namespace", &path, &error))?;
        let address = SocketAddr::from((GATEWAY, self.port));
        let runtime = tokio::runtime::Handle::current();
        let bound = std::thread::spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            let _entered = runtime.enter();
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)?.into_std()
        });
        let bound = bound.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread panicked")));
        bound.map_err(|error| {
            let fault = Fault::new(
                "port-in-use",
                format!("cannot listen on {address} in the guests' network: {error}"),
            );
            match error.kind() {
                std::io::ErrorKind::AddrInUse => fault.with_hint(format!(
                    "another program listens there: ip netns exec {} ss -lptn",
                    self.names.fabric()
                )),
                _ => Fault { code: "cannot-listen".to_owned(), ..fault },
            }
        })
    }

    /// Takes everything away, if no guest is left; false: one is.
    pub(super) async fn release(&self, keeper: &Keeper) -> Result<bool, Fault> {
        let mut listener_of = self.listener_of.lock().await;
        let folder = self.names.fabric_folder();
        if !netns_file(&self.names.fabric()).exists() && !folder.exists() {
            *listener_of = None;
            return Ok(true);
        }
        let _alone = self.lock().await?;
        let folders = fs::read_dir(self.names.guests_folder()).into_iter().flatten().count();
        if folders > 0 || !netns::with_prefix(&self.names.guest_prefix()).is_empty() {
            return Ok(false);
        }
        self.dhcp.stop(keeper).await?;
        netns::delete(&self.names.fabric()).await?;
        *listener_of = None;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(file_fault("remove a folder", &folder, &error))
            }
            _ => Ok(true),
        }
    }

    /// Whether the guest's namespace is there, whole, with its cable plugged in (the last thing that [`Self::connect`] does).
    pub(super) async fn is_connected(
        &self,
        name: &GuestName,
        allocation: &Allocation,
    ) -> Result<bool, Fault> {
        let (fabric, guest) = (self.names.fabric(), self.names.guest(name));
        if !netns::lives(&fabric) || !netns::lives(&guest) {
            return Ok(false);
        }
        let cable = self.names.cable(name);
        let plugged = netns::links(&fabric)
            .await?
            .iter()
            .any(|link| link.ifname == cable && link.master.as_deref() == Some(BRIDGE) && link.is_up());
        let inside = netns::links(&guest).await?;
        Ok(plugged
            && inside.iter().any(|link| link.ifname == GUEST_LINK && link.mac() == Some(allocation.mac)))
    }

    /// Makes the guest's namespace with MAC, address and route; what was there half-made goes first.
    pub(super) async fn connect(
        &self,
        keeper: &Keeper,
        name: &GuestName,
        allocation: &Allocation,
    ) -> Result<(), Fault> {
        let address = first_address(allocation)?;
        if !netns::lives(&self.names.fabric()) {
            // Whoever removed it saw no guest; it is made again before the next attempt.
            return Err(Fault::new(BUSY, "the guests' network was removed just now"));
        }
        self.disconnect(keeper, name).await?;
        let _within = self.listener_of.lock().await;
        let _alone = self.lock().await?;
        let (fabric, guest, cable) = (self.names.fabric(), self.names.guest(name), self.names.cable(name));
        let mac = allocation.mac;
        netns::ensure(&guest).await?;
        netns::ip(
            &fabric,
            &format!("link add {cable} type veth peer name {GUEST_LINK} netns {guest} address {mac}"),
        )
        .await?;
        netns::ip(&guest, "link set lo up").await?;
        netns::ip(&guest, &format!("address add {address}/24 dev {GUEST_LINK}")).await?;
        netns::ip(&guest, &format!("link set {GUEST_LINK} up")).await?;
        netns::ip(&guest, &format!("route add default via {GATEWAY}")).await?;
        self.dhcp.reserve(name, mac, address)?;
        // Fixed, so that no other guest can take this one's address over, nor an old one's MAC linger.
        netns::ip(&fabric, &format!("neighbour replace {address} lladdr {mac} dev {BRIDGE} nud permanent"))
            .await?;
        netns::ip(&fabric, &format!("link set {cable} master {BRIDGE} up")).await
    }

    /// Ensures that the guest's namespace and cable are gone and its address free. Repeatable.
    pub(super) async fn disconnect(&self, keeper: &Keeper, name: &GuestName) -> Result<(), Fault> {
        let _within = self.listener_of.lock().await;
        let _alone = self.lock().await?;
        let (fabric, guest, cable) = (self.names.fabric(), self.names.guest(name), self.names.cable(name));
        if netns::lives(&fabric) {
            // Both ends go at once; a namespace's own end would take its time.
            if netns::links(&fabric).await?.iter().any(|link| link.ifname == cable) {
                netns::ip(&fabric, &format!("link delete {cable}")).await?;
            }
        }
        netns::delete(&guest).await?;
        let freed = self.dhcp.free(keeper, name).await?;
        if let Some(address) = freed.filter(|_| netns::lives(&fabric)) {
            // Not there if the crash came before it was made.
            let _ = netns::ip(&fabric, &format!("neighbour delete {address} dev {BRIDGE}")).await;
        }
        Ok(())
    }
}

fn busy(path: &Path) -> Fault {
    let path = path.display();
    Fault::new(BUSY, format!("another companion holds {path} for more than {LOCK_PATIENCE:?}"))
        .with_hint(format!("is it stopped? `lslocks` shows its process: lslocks | grep {path}"))
}

fn first_address(allocation: &Allocation) -> Result<IpAddr, Fault> {
    allocation
        .addresses
        .first()
        .copied()
        .ok_or_else(|| Fault::new("no-address", "the guest has no address in its allocation"))
}
