//! The report listener behind its handshake, for tests/fuzz: whatever a guest says to it, over a real store that knows no guest.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

use super::{Crowd, Taker, converse};
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::store::Store;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// More than any one document that is taken, so that nobody waits for the other side.
const PIPE: usize = 1 << 20;
/// The other side has said all and hung up: what is not answered then never is.
const PATIENCE: Duration = Duration::from_secs(4);

struct Ground {
    runtime: Runtime,
    store: Store,
    metrics: Arc<Metrics>,
    crowd: Crowd,
    _folder: tempfile::TempDir,
}

static GROUND: OnceLock<Ground> = OnceLock::new();

fn prepare() -> std::io::Result<Ground> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let store = runtime.block_on(Store::open(&folder.path().join("firstlight.db")));
    let store = store.map_err(std::io::Error::other)?;
    Ok(Ground { runtime, store, metrics: Arc::new(Metrics::new(&[])), crowd: Crowd::new(8), _folder: folder })
}

/// Every byte of one connection. Nobody is known, so nothing is ever taken; the companion lets go of whoever hung up.
pub(crate) fn talk(bytes: &[u8]) {
    let ground = GROUND.get_or_init(|| prepare().expect("there is room for a store"));
    let said = ground.runtime.block_on(async {
        let Ok(place) = ground.crowd.enter(PEER).await else { return Vec::new() };
        let taker =
            Taker { intake: Intake::new(ground.store.clone()), metrics: Arc::clone(&ground.metrics), place };
        let (near, mut far) = tokio::io::duplex(PIPE);
        let served = tokio::time::timeout(PATIENCE, converse(near, (PEER, 1).into(), taker));
        let mut said = Vec::new();
        let speak = async {
            // It may hang up first.
            drop(far.write_all(bytes).await);
            drop(far.shutdown().await);
            drop(far.read_to_end(&mut said).await);
        };
        let (served, ()) = tokio::join!(served, speak);
        assert!(served.is_ok(), "the companion still waits for somebody who hung up");
        said
    });
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.starts_with("HTTP/1."), "{said:?}");
    assert!(!said.contains("\"report_sha256\""), "a report of nobody was taken: {said:?}");
}
