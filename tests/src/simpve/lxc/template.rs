//! What is other about a container that is made of a bare template (`vztmpl`) and not of a backup.

use std::collections::BTreeMap;

use super::super::access::Need;
use super::super::answer::Refusal;
use super::super::storage::{content_of, storage_of};
use super::super::world::World;

impl World {
    /// May this token make a container of the volume? A restore wants a backup, anything else a template. Templates
    /// are anybody's who may look at the storage. Read from the code, not recorded.
    pub(super) fn check_source(
        &self,
        who: &str,
        volume: &str,
        target: u32,
        restore: bool,
    ) -> Result<(), Refusal> {
        let wanted = if restore { "backup" } else { "vztmpl" };
        if content_of(volume) != wanted {
            let text = format!("unable to use volume {volume} - content type needs to be '{wanted}'");
            return Err(Refusal::died(text));
        }
        let path = format!("/storage/{}", storage_of(volume));
        if restore {
            return self.check_archive_access(who, volume, target);
        }
        if self.may(who, &path, "Datastore.Allocate") {
            return Ok(());
        }
        self.check(who, &path, &["Datastore.AllocateSpace", "Datastore.Audit"], Need::Any)
    }
}

/// What a template does not say of itself.
pub(super) fn fill_gaps(config: &mut BTreeMap<String, String>) {
    let gaps =
        [("arch", "amd64"), ("memory", "512"), ("ostype", "debian"), ("swap", "512"), ("unprivileged", "1")];
    for (key, value) in gaps {
        config.entry(key.into()).or_insert_with(|| value.into());
    }
}

/// What the worker says once all is unpacked: it gives the container host keys of its own.
pub(super) fn say_set_up(log: &mut Vec<String>) {
    log.push("Detected container architecture: amd64".into());
    log.extend(
        ["rsa", "ecdsa", "ed25519"]
            .map(|kind| format!("Creating SSH host key 'ssh_host_{kind}_key' - this may take some time ...")),
    );
}
