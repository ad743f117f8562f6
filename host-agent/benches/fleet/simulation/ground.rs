//! What a run stands on: companions as processes of their own, their store, a hypervisor without latency, and proxies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::proxy::{Proxy, Target};
use super::{Run, Store};
use crate::companion::{Companion, Terms};
use crate::hypervisor::Hypervisor;
use crate::postgres::Cluster;

/// Leases are as short as in the tests of several companions, so that a run sees many of them end.
const TERMS: Terms = Terms { lease: 2, grace: 2, budget: None, places: 64, log: "warn" };

#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) hypervisor: Hypervisor,
    pub(crate) companions: Vec<Companion>,
    /// The process ids of the companions, for who watches them.
    pub(crate) ids: Arc<Vec<AtomicU32>>,
    /// From guests to each companion.
    pub(crate) doors: Vec<Proxy>,
    /// From each companion to the database.
    pub(crate) wires: Vec<Proxy>,
    pub(crate) database: Option<Cluster>,
    folder: TempDir,
}

impl Ground {
    pub(crate) async fn prepare(run: &Run) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-fleet-").tempdir().unwrap();
        let hypervisor = Hypervisor::start(folder.path());
        hypervisor.change(|manner| manner.make = Duration::ZERO);
        let database = (run.store == Store::Postgresql).then(Cluster::start);
        let (mut companions, mut doors, mut wires) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=run.store.companions() {
            let name = format!("companion-{number}");
            let url = match &database {
                None => format!("sqlite:{}", folder.path().join(&name).join("firstlight.db").display()),
                Some(cluster) => {
                    let wire = Proxy::start(Target::Unix(cluster.socket())).await;
                    let url = format!("postgres://postgres@{}/postgres?sslmode=disable", wire.address);
                    wires.push(wire);
                    url
                }
            };
            let companion = Companion::start(folder.path(), &name, &url, hypervisor.socket(), TERMS).await;
            doors.push(Proxy::start(Target::Tcp(companion.reports)).await);
            companions.push(companion);
        }
        let ids = Arc::new(companions.iter().map(|one| AtomicU32::new(one.id())).collect());
        Self { hypervisor, companions, ids, doors, wires, database, folder }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().map(|door| door.address).collect()
    }

    pub(crate) async fn start_again(&mut self, one: usize) {
        self.companions[one].start_again();
        self.ids[one].store(self.companions[one].id(), Ordering::Relaxed);
        self.companions[one].answers().await;
    }

    /// Of the store, in bytes; of PostgreSQL it is asked.
    pub(crate) fn store_bytes(&self) -> u64 {
        match &self.database {
            Some(cluster) => cluster.sql("SELECT pg_database_size('postgres')").parse().unwrap_or_default(),
            None => {
                let of = |name: &str| {
                    let file = self.folder.path().join("companion-1").join(name);
                    file.metadata().map_or(0, |metadata| metadata.len())
                };
                of("firstlight.db") + of("firstlight.db-wal")
            }
        }
    }
}
