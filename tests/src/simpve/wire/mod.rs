//! The simulator as a server: every node on an address of its own, in a thread of its own.

mod connection;
mod http;
mod shared;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rcgen::KeyPair;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::shared::{Logged, Pace};
use self::shared::{Shared, State};
use self::tls::Authority;
use super::faults::{Faults, Rule};
use super::world::World;

/// A running cluster. Dropping it ends it.
#[derive(Debug)]
pub struct SimPve {
    shared: Arc<Shared>,
    addresses: BTreeMap<String, SocketAddr>,
    authority: Authority,
    keys: BTreeMap<String, KeyPair>,
    pins: BTreeMap<String, String>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl SimPve {
    /// Serves the world's nodes: the first at `listen`, the others at the ports after it, or all at free ports if
    /// that port is 0.
    ///
    /// # Errors
    /// An address cannot be listened at, or no certificates can be made.
    pub fn start(world: World, pace: Pace, listen: SocketAddr) -> Result<Self> {
        Self::start_with(world, pace, listen, None)
    }

    /// The same, with the keys of this folder, which gets those that it lacks.
    ///
    /// # Errors
    /// As [`SimPve::start`]; or a key cannot be read or kept.
    pub fn start_with(
        mut world: World,
        pace: Pace,
        listen: SocketAddr,
        folder: Option<&Path>,
    ) -> Result<Self> {
        let authority = Authority::kept(folder)?;
        let mut certificates = BTreeMap::new();
        let mut pins = BTreeMap::new();
        let mut keys = BTreeMap::new();
        for (name, node) in &mut world.nodes {
            let key = tls::kept_key(folder, name)?;
            let leaf = authority.leaf(name, &key)?;
            keys.insert(name.clone(), key);
            node.certificate = leaf.certificate;
            pins.insert(name.clone(), leaf.key_pin);
            certificates.insert(name.clone(), leaf.config);
        }
        world.authority = authority.certificate().clone();
        let strange = Authority::new()?.leaf("stranger", &KeyPair::generate()?)?.config;
        let nodes: Vec<String> = world.nodes.keys().cloned().collect();
        let listeners = listen_all(&nodes, listen)?;
        let addresses = listeners
            .iter()
            .map(|(name, listener)| Ok((name.clone(), listener.local_addr()?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let (end, ended) = oneshot::channel();
        let (started, start) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("simpve".into()).spawn(move || {
            // Made in here: whoever starts it may be in a runtime already.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                // Made in here: its clock is the runtime's.
                let shared = Arc::new(Shared::new(world, pace, certificates, strange));
                if started.send(Arc::clone(&shared)).is_ok() {
                    run(shared, listeners, ended).await?;
                }
                Ok(())
            })
        })?;
        let shared = start.recv().map_err(|_| anyhow!("the simulator's thread ended at once"))?;

        Ok(Self { shared, addresses, authority, keys, pins, end: Some(end), thread: Some(thread) })
    }

    /// At a free port of the loopback.
    ///
    /// # Errors
    /// As [`SimPve::start`].
    pub fn on_loopback(world: World, pace: Pace) -> Result<Self> {
        Self::start(world, pace, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub fn addresses(&self) -> &BTreeMap<String, SocketAddr> {
        &self.addresses
    }

    /// The cluster's authority, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority.certificate().pem
    }

    /// Gives a node a new certificate for the same key, as the real one does every year.
    ///
    /// # Errors
    /// There is no such node.
    pub fn renew_certificate(&self, node: &str) -> Result<()> {
        let key = self.keys.get(node).ok_or_else(|| anyhow!("there is no node {node}"))?;
        let leaf = self.authority.leaf(node, key)?;
        self.shared.set_certificate(node, leaf.config);
        self.with_world(|world| {
            world.nodes.entry(node.to_owned()).and_modify(|node| node.certificate = leaf.certificate);
        });
        Ok(())
    }

    /// SHA-256 of a node's public key, in hex.
    pub fn key_pin(&self, node: &str) -> Option<&str> {
        self.pins.get(node).map(String::as_str)
    }

    /// Looks into the world, or changes it, between two calls.
    pub fn with_world<T>(&self, action: impl FnOnce(&mut World) -> T) -> T {
        let result = action(&mut self.shared.lock().world);
        self.shared.wake();
        result
    }

    pub fn fault(&self, rule: Rule) {
        self.with_faults(|faults| faults.add(rule));
    }

    pub fn with_faults<T>(&self, action: impl FnOnce(&mut Faults) -> T) -> T {
        action(&mut self.shared.lock().faults)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Logged> {
        let State { log, .. } = &*self.shared.lock();
        log.clone()
    }

    /// Guests, volumes, pools and the number of running tasks: equal if nothing was left behind.
    pub fn inventory(&self) -> Value {
        self.with_world(|world| world.inventory())
    }

    /// Explicit pace: lets this much time pass.
    pub fn advance(&self, time: Duration) {
        self.with_world(|world| world.advance(world.now() + time));
    }

    /// Lets time pass until the task has ended; its exit status.
    pub fn finish_task(&self, upid: &str) -> Option<String> {
        self.with_world(|world| world.finish_task(upid))
    }

    /// Lets time pass until no task runs.
    pub fn settle(&self) {
        self.with_world(World::settle);
    }
}

impl Drop for SimPve {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say: a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

fn listen_all(nodes: &[String], first: SocketAddr) -> Result<Vec<(String, std::net::TcpListener)>> {
    let mut listeners = Vec::new();
    let mut address = first;
    for node in nodes {
        let listener =
            std::net::TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
        listener.set_nonblocking(true)?;
        listeners.push((node.clone(), listener));
        if first.port() != 0 {
            address.set_port(address.port().checked_add(1).context("there are not enough ports")?);
        }
    }
    Ok(listeners)
}

async fn run(
    shared: Arc<Shared>,
    listeners: Vec<(String, std::net::TcpListener)>,
    ended: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let numbers = Arc::new(AtomicU64::new(0));
    let mut work = tokio::task::JoinSet::new();
    for (node, listener) in listeners {
        let listener = TcpListener::from_std(listener)?;
        let (shared, numbers) = (Arc::clone(&shared), Arc::clone(&numbers));
        work.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                // Answers are small: waiting to fill a packet would only be felt as a delay.
                let _ = stream.set_nodelay(true);
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection::serve(Arc::clone(&shared), node.clone(), number, stream));
            }
        });
    }
    work.spawn(async move { shared.drive().await });
    // The sender is dropped with the handle.
    let _ = ended.await;
    Ok(())
}
