//! What is known of the cluster, and seldom changes: asked once, and again after a while. Errors are not remembered, and
//! whoever meets one that an old answer may have caused forgets all of it ([`super::Proxmox::forget_facts`]).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::allocate::{Occupied, Promised};
use super::archive::{Read, golden};
use super::client::endpoint::Endpoint;
use super::client::endpoint::cluster::{
    GuestLine, ListGuests, ListNodes, NodeLine, ReadOptions, ReadVersion,
};
use super::client::endpoint::guest::Guest;
use super::client::endpoint::node::{BridgeLine, ReadTime};
use super::client::endpoint::storage::{ListContent, ListStorages, StorageState, VolumeLine};
use super::client::verdict::{ApiError, Class};
use super::look::Silent;
use super::preflight::PoolFacts;
use super::survey::Seen;
use crate::clock::now_s;
use crate::outcome::Fault;

/// How long facts are used.
const FRESH: Duration = Duration::from_secs(60);
/// Guests come and go, and Proxmox itself gathers them every ten seconds.
const GUESTS_FRESH: Duration = Duration::from_secs(5);
/// How often what is remembered may be doubted: a hundred guests with the same mistake ask once.
const DOUBT: Duration = Duration::from_secs(5);
/// How long what a storage lists of an archive is used.
const LISTINGS_FRESH: Duration = Duration::from_secs(3);
/// How long who is in haste waits for an answer that somebody else has asked for.
const HASTY_JOINS: Duration = Duration::from_millis(500);
/// The prefix that Proxmox gives its MACs unless it is told another one.
const PREFIX: [u8; 3] = [0xbc, 0x24, 0x11];
/// How far a node's clock may be off ours, where it may not be asked.
const CLOCKS: u64 = 300;
/// `env` of containers is there from this version on.
const ENV_SINCE: (u32, u32) = (9, 1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    version: Remembered<(), (u32, u32)>,
    nodes: Remembered<(), Arc<[NodeLine]>>,
    prefix: Remembered<(), [u8; 3]>,
    storages: Remembered<String, Arc<[StorageState]>>,
    guests: Remembered<(), Arc<[GuestLine]>>,
    /// What a node's clock is ahead of ours, in seconds.
    clocks: Remembered<String, i64>,
    /// By node and volume: what a storage lists of an archive; None: nothing.
    listings: Remembered<(String, String), Option<VolumeLine>>,
    bridges: Remembered<String, Arc<[BridgeLine]>>,
    pools: Remembered<String, PoolFacts>,
    /// What archives looked like when they were last listed.
    marks: Mutex<HashMap<String, String>>,
    doubted: Mutex<Option<Instant>>,
    pub(super) seen: Seen,
    pub(super) silent: Silent,
    pub(super) occupied: Occupied,
    pub(super) promised: Promised,
    /// By node and volume.
    pub(super) archives: Mutex<HashMap<(String, String), Read>>,
}

/// Answers with their age.
#[derive(Debug)]
struct Remembered<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    /// Of those who ask at the same time, one asks the server, and the others wait for its answer: for so long as they
    /// join in.
    async fn or_ask<E>(
        &self,
        joins: Duration,
        key: K,
        fresh: Duration,
        ask: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let Ok(mut known) = timeout(joins, self.0.lock()).await else { return ask.await };
        known.retain(|_, (since, _)| since.elapsed() < fresh);
        if let Some((_, value)) = known.get(&key) {
            return Ok(value.clone());
        }
        let value = ask.await?;
        known.insert(key, (Instant::now(), value.clone()));
        Ok(value)
    }

    async fn forget(&self) {
        self.0.lock().await.clear();
    }
}

impl Cluster {
    pub(super) async fn bridges_of(
        &self,
        joins: Duration,
        node: &str,
        ask: impl Future<Output = Result<Arc<[BridgeLine]>, Fault>>,
    ) -> Result<Arc<[BridgeLine]>, Fault> {
        self.bridges.or_ask(joins, node.to_owned(), FRESH, ask).await
    }

    pub(super) async fn pool_facts(
        &self,
        joins: Duration,
        pool: &str,
        ask: impl Future<Output = Result<PoolFacts, Fault>>,
    ) -> Result<PoolFacts, Fault> {
        self.pools.or_ask(joins, pool.to_owned(), FRESH, ask).await
    }

    /// Whether it is another one than the last time.
    pub(super) async fn mark_changed(&self, volume: &str, mark: &str) -> bool {
        let mut marks = self.marks.lock().await;
        marks.insert(volume.to_owned(), mark.to_owned()).is_some_and(|old| old != mark)
    }
}

impl super::Proxmox {
    /// As a fault.
    pub(super) async fn ask<E: Endpoint>(&self, endpoint: &E) -> Result<E::Answer, Fault> {
        self.client.send(endpoint).await.map_err(|error| Fault::from(&error))
    }

    /// How long an answer is waited for that another one has asked for: it may be more patient than we are.
    pub(super) fn joins(&self) -> Duration {
        if self.client.is_hasty() { HASTY_JOINS } else { Duration::MAX }
    }

    /// Whether no guest of the cluster has this VMID: true for any token, whatever it may see.
    pub(super) async fn is_free(&self, vmid: u32) -> Result<bool, Fault> {
        self.client.is_free(vmid).await.map_err(|error| Fault::from(&error))
    }

    /// Everything is asked again by whoever needs it next.
    pub(super) async fn forget_facts(&self) {
        let cluster = &self.cluster;
        cluster.version.forget().await;
        cluster.nodes.forget().await;
        cluster.prefix.forget().await;
        cluster.storages.forget().await;
        cluster.guests.forget().await;
        cluster.clocks.forget().await;
        cluster.listings.forget().await;
        cluster.bridges.forget().await;
        cluster.pools.forget().await;
        cluster.archives.lock().await.clear();
    }

    /// Forgets what is remembered, unless that was done just now.
    pub(super) async fn doubt_facts(&self) -> bool {
        let mut doubted = self.cluster.doubted.lock().await;
        if doubted.is_some_and(|since| since.elapsed() < DOUBT) {
            return false;
        }
        *doubted = Some(Instant::now());
        self.forget_facts().await;
        true
    }

    /// Major and minor number.
    pub(super) async fn version(&self) -> Result<(u32, u32), Fault> {
        let ask = async {
            let version = self.ask(&ReadVersion).await?;
            version.numbers().ok_or_else(|| {
                let shown = firstlight_shared::text::escape(&version.version, 40);
                Fault::new("proxmox-unreadable", format!("`{shown}` is no version of Proxmox VE"))
            })
        };
        self.cluster.version.or_ask(self.joins(), (), FRESH, ask).await
    }

    /// Whether a container can be handed variables.
    pub(super) async fn has_env(&self) -> Result<bool, Fault> {
        Ok(self.version().await? >= ENV_SINCE)
    }

    pub(super) async fn forget_nodes(&self) {
        self.cluster.nodes.forget().await;
    }

    /// All nodes of the cluster.
    pub(super) async fn nodes(&self) -> Result<Arc<[NodeLine]>, Fault> {
        let ask = async { Ok(self.ask(&ListNodes).await?.into()) };
        self.cluster.nodes.or_ask(self.joins(), (), FRESH, ask).await
    }

    /// The nodes that can be worked on.
    pub(super) async fn online_nodes(&self) -> Result<Vec<NodeLine>, Fault> {
        Ok(online(&self.nodes().await?))
    }

    /// The first three bytes of new MACs.
    pub(super) async fn mac_prefix(&self) -> Result<[u8; 3], Fault> {
        let ask = async {
            match self.client.send(&ReadOptions).await {
                Ok(options) => Ok(options.mac_prefix.as_deref().and_then(prefix).unwrap_or(PREFIX)),
                Err(ApiError { class: Class::Denied { .. }, .. }) => Ok(PREFIX),
                Err(error) => Err(Fault::from(&error)),
            }
        };
        self.cluster.prefix.or_ask(self.joins(), (), FRESH, ask).await
    }

    /// The storages of the cluster as this node has them, as far as the token may see them.
    pub(super) async fn storages(&self, node: &str) -> Result<Arc<[StorageState]>, Fault> {
        let ask = async { Ok(self.ask(&ListStorages { node: node.to_owned() }).await?.into()) };
        self.cluster.storages.or_ask(self.joins(), node.to_owned(), FRESH, ask).await
    }

    /// What the node lists of this archive. None: it is not there, or the token may not see it.
    pub(super) async fn archive_line(&self, volume: &str, node: &str) -> Result<Option<VolumeLine>, Fault> {
        let golden = golden(volume)?;
        let ask = async {
            let list = ListContent {
                node: node.to_owned(),
                storage: golden.storage.to_owned(),
                content: Some("backup".to_owned()),
                vmid: golden.owner.filter(|vmid| *vmid >= 100),
            };
            let lines = self.ask(&list).await?;
            Ok(lines.into_iter().find(|line| line.volid == volume))
        };
        self.cluster
            .listings
            .or_ask(self.joins(), (node.to_owned(), volume.to_owned()), LISTINGS_FRESH, ask)
            .await
    }

    /// The guests that the token may see: up to 15 s old.
    pub(super) async fn listed_guests(&self) -> Result<Arc<[GuestLine]>, Fault> {
        let ask = async { Ok(self.ask(&ListGuests).await?.into()) };
        self.cluster.guests.or_ask(self.joins(), (), GUESTS_FRESH, ask).await
    }

    /// Where the guest is now, if somebody has moved it to another node.
    pub(super) async fn moved(&self, guest: &Guest) -> Result<Option<Guest>, Fault> {
        let listed = self.listed_guests().await?;
        let there = listed.iter().find(|line| line.vmid == guest.vmid && line.node != guest.node);
        let there = there.filter(|line| line.kind == guest.kind.as_str());
        Ok(there.map(|line| Guest { node: line.node.clone(), ..guest.clone() }))
    }

    /// The same, asked for now.
    pub(super) async fn listed_guests_now(&self) -> Result<Arc<[GuestLine]>, Fault> {
        self.cluster.guests.forget().await;
        self.listed_guests().await
    }

    /// Seconds since 1970 by the node's clock; five minutes less by ours where the token may not ask for it.
    pub(super) async fn node_time(&self, node: &str) -> Result<u64, Fault> {
        let ask = async {
            match self.client.send(&ReadTime { node: node.to_owned() }).await {
                // Both are cut off to whole seconds: one less is never too late.
                Ok(answer) => Ok(answer.time.cast_signed() - now_s().cast_signed() - 1),
                Err(ApiError { class: Class::Denied { .. }, .. }) => Ok(-CLOCKS.cast_signed()),
                Err(error) => Err(Fault::from(&error)),
            }
        };
        let ahead = self.cluster.clocks.or_ask(self.joins(), node.to_owned(), FRESH, ask).await?;
        Ok(now_s().saturating_add_signed(ahead))
    }
}

/// Those that are online; where none is known to be (a node whose statistics daemon stands still is `unknown`), those
/// that are not known to be offline.
fn online(nodes: &[NodeLine]) -> Vec<NodeLine> {
    let with = |wanted: fn(&str) -> bool| -> Vec<NodeLine> {
        let fits = |node: &&NodeLine| wanted(node.status.as_deref().unwrap_or("unknown"));
        nodes.iter().filter(fits).cloned().collect()
    };
    let online = with(|status| status == "online");
    if online.is_empty() { with(|status| status != "offline") } else { online }
}

/// `BC:24:11`; of no use is a group address.
fn prefix(text: &str) -> Option<[u8; 3]> {
    let mut bytes = [0; 3];
    let digits: String = text.trim_end_matches(':').split(':').collect();
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    (bytes[0] & 1 == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn prefixes_are_three_bytes_and_no_group_address() {
        for (text, expected) in [
            ("BC:24:11", Some([0xbc, 0x24, 0x11])),
            ("02:aa:00:", Some([2, 0xaa, 0])),
            ("01:00:5E", None),
            ("BC:24", None),
            ("BC:24:11:00", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(prefix(text), expected, "{text}");
        }
    }

    #[test]
    fn nodes_without_statistics_count_only_where_none_is_online() {
        let line = |node: &str, status: &str| NodeLine {
            node: node.to_owned(),
            status: Some(status.to_owned()),
            ssl_fingerprint: None,
            mem: None,
            maxmem: None,
        };
        let names =
            |nodes: &[NodeLine]| online(nodes).iter().map(|node| node.node.clone()).collect::<String>();
        let (a, b, c) = (line("a", "online"), line("b", "offline"), line("c", "unknown"));
        assert_eq!(names(&[a.clone(), b.clone(), c.clone()]), "a");
        assert_eq!(names(&[b.clone(), c]), "c");
        assert_eq!(names(&[b]), "");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_remembered_for_a_while_and_errors_never() {
        let asked = AtomicU32::new(0);
        let remembered = Remembered::<(), u32>::default();
        let ask = |good: bool| {
            let count = asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(if good { Ok(count) } else { Err(count) })
        };
        let fresh = Duration::from_secs(60);
        assert!(remembered.or_ask(Duration::MAX, (), fresh, async { ask(false).await }).await.is_err());
        assert!(remembered.or_ask(Duration::MAX, (), fresh, async { ask(false).await }).await.is_err());
        assert_eq!(remembered.or_ask(Duration::MAX, (), fresh, async { ask(true).await }).await, Ok(2));
        assert_eq!(remembered.or_ask(Duration::MAX, (), fresh, async { ask(false).await }).await, Ok(2));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(remembered.or_ask(Duration::MAX, (), fresh, async { ask(true).await }).await, Ok(3));
        // Who is in haste asks, too, while a patient one still waits for its answer.
        let slow =
            remembered.or_ask(Duration::MAX, (), Duration::ZERO, std::future::pending::<Result<u32, u32>>());
        let hasty = remembered.or_ask(HASTY_JOINS, (), fresh, async { Err::<u32, u32>(77) });
        tokio::select! { biased; _ = slow => unreachable!(), found = hasty => assert_eq!(found, Err(77)) }
        remembered.forget().await;
        assert_eq!(remembered.or_ask(Duration::MAX, (), fresh, async { ask(true).await }).await, Ok(4));
    }
}
