//! What this machine itself sees of a guest, without asking it over the network.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlight_shared::paths::REPORT;
use firstlight_shared::wire::MAX_ENVELOPE;

use super::inside::Root;
use super::names::GUEST_LINK;
use super::stamp::{self, Standing};
use super::{Local, blocking, machine, netns};
use crate::backend::{Observed, Placement};
use crate::outcome::Fault;

/// A guest can mount a file system that never answers over what we look at.
const PATIENCE: Duration = Duration::from_secs(5);

impl Local {
    pub(super) async fn observe_guest(&self, guest: &Placement) -> Result<Observed, Fault> {
        let mut observed = Observed::default();
        if stamp::standing(&self.names, guest) != Standing::Ours {
            return Ok(observed);
        }
        let namespace = self.names.guest(&guest.plan.name);
        if netns::lives(&namespace) {
            let links = netns::links(&namespace).await?;
            if let Some(link) = links.iter().find(|link| link.ifname == GUEST_LINK) {
                observed.mac = link.mac();
                observed.addresses = link.addresses();
            }
        }
        let keeper = self.keeper()?;
        // Between the two lives of a guest that reboots there is no leader.
        observed.running = keeper.runs(&machine::process(guest)).await?;
        if let Some(leader) = machine::leader(&keeper, guest).await? {
            let paths = guest.plan.mounts.iter().map(|mount| mount.path.clone());
            let volumes: Vec<_> = paths.zip(self.mount_folders(guest)).collect();
            observed.mounts = patiently(move || Ok(mounted(leader, volumes))).await?;
        }
        Ok(observed)
    }

    pub(super) async fn read_guest_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        if stamp::standing(&self.names, guest) != Standing::Ours {
            return Ok(None);
        }
        let Some(leader) = machine::leader(&self.keeper()?, guest).await? else { return Ok(None) };
        let read =
            patiently(move || Ok(Root::of_process(leader).and_then(|root| root.read(REPORT, MAX_ENVELOPE))))
                .await?;
        // The process may have ended, and its number been given away, while we looked.
        if machine::leader(&self.keeper()?, guest).await? != Some(leader) {
            return Ok(None);
        }
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Fault::new("report-unreadable", format!("the guest's {REPORT} is not read: {error}")))
            }
        }
    }
}

/// Which volumes are mounted where they should be: the very folder that is ours, by device and inode.
fn mounted(leader: i32, volumes: Vec<(PathBuf, PathBuf)>) -> Vec<PathBuf> {
    let Ok(root) = Root::of_process(leader) else { return Vec::new() };
    let is_there = |path: &Path, folder: &Path| {
        let ours = std::fs::metadata(folder).map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((ours, root.device_and_inode(path)), (Ok(ours), Ok(seen)) if ours == seen)
    };
    volumes.into_iter().filter(|(path, folder)| is_there(path, folder)).map(|(path, _)| path).collect()
}

async fn patiently<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::time::timeout(PATIENCE, blocking(work)).await.unwrap_or_else(|_| {
        Err(Fault::new("guest-does-not-answer", "the guest's file system does not answer")
            .with_hint("the guest has mounted something over it; destroy the guest"))
    })
}
