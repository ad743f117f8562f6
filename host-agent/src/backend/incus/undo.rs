//! Ensures that what was made is absent, if it is ours.
//!
//! The instance goes with `restore`, and then the volumes that were made for it; the stages in between leave nothing
//! beside them.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::client::endpoint::instance::{DeleteInstance, Instance};
use super::client::endpoint::state::{Action, ChangeState};
use super::client::endpoint::storage::{DeleteVolume, ReadVolume};
use super::client::operation::{OperationEnd, OperationId};
use super::client::verdict::{ApiError, Class, Code};
use super::standing::Standing;
use super::{Incus, LONGEST, stamp};
use crate::backend::{Placement, Stage};
use crate::outcome::{Fault, Undo};

/// A guest that is to go is not asked to shut down.
const STOP: Duration = Duration::from_secs(30);

impl Incus {
    pub(super) async fn undo_stage(&self, stage: Stage, placement: &Placement) -> Undo {
        self.recent.forget(&placement.job);
        let undone = match stage {
            Stage::Restore => self.remove_guest(placement).await,
            Stage::Start => self.stop_guest(placement).await,
            Stage::Mac | Stage::Hostname | Stage::Size | Stage::Mounts => Ok(Undo::Absent),
        };
        undone.unwrap_or_else(Undo::Failed)
    }

    async fn remove_guest(&self, placement: &Placement) -> Result<Undo, Fault> {
        let client = self.site(&placement.plan.place)?;
        match self.standing(&client, placement).await? {
            Standing::Ours(instance) | Standing::Unfinished(instance) if instance.is_running() => {
                stop(&client, &instance).await
            }
            Standing::Ours(instance) | Standing::Unfinished(instance) => {
                asked(client.send(&DeleteInstance { name: instance.name }).await)
            }
            Standing::Making(operation) => Ok(Undo::Started(operation)),
            // Another's of this name stays; volumes of ours may be there all the same.
            Standing::Free | Standing::Other(_) => self.remove_volumes(&client, placement).await,
        }
    }

    async fn stop_guest(&self, placement: &Placement) -> Result<Undo, Fault> {
        let client = self.site(&placement.plan.place)?;
        match self.standing(&client, placement).await? {
            Standing::Ours(instance) if instance.is_running() => stop(&client, &instance).await,
            _ => Ok(Undo::Absent),
        }
    }

    async fn remove_volumes(&self, client: &Client, placement: &Placement) -> Result<Undo, Fault> {
        if placement.plan.mounts.is_empty() {
            return Ok(Undo::Absent);
        }
        let mut wanted = self.wanted(client, placement, None).await;
        if wanted.is_err() {
            // Where profiles are gone, pools cannot be told; those that the plan names can.
            wanted = super::wanted::Wanted::of(placement, &super::wanted::Base::default(), &self.defaults);
        }
        for volume in wanted?.volumes {
            let (pool, name) = (volume.pool, volume.name);
            let there = match client.send(&ReadVolume { pool: pool.clone(), name: name.clone() }).await {
                Ok(there) => there.value,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(Fault::from(&error)),
            };
            if stamp::job_of(&there.config) != Some(&placement.job) {
                continue;
            }
            match client.send(&DeleteVolume { pool, name }).await {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(Fault::from(&error)),
            }
        }
        Ok(Undo::Absent)
    }

    /// However it ends: what it did is looked at afterwards.
    pub(super) async fn wait_for(&self, placement: &Placement, task: &str) {
        let (Ok(client), Ok(operation)) = (self.site(&placement.plan.place), task.parse::<OperationId>())
        else {
            return;
        };
        match client.follow(&operation, Instant::now() + LONGEST).await {
            OperationEnd::Done(_) => {}
            OperationEnd::Failed { text, .. } | OperationEnd::Unknown { text } => {
                tracing::warn!(operation = %operation, error = %text, "an operation of incus did not end well");
            }
        }
    }
}

/// An ephemeral one is gone with that.
async fn stop(client: &Client, instance: &Instance) -> Result<Undo, Fault> {
    let stop =
        ChangeState { name: instance.name.clone(), action: Action::Stop, timeout: Some(STOP), force: true };
    asked(client.send(&stop).await)
}

fn asked(sent: Result<OperationId, ApiError>) -> Result<Undo, Fault> {
    match sent {
        Ok(operation) => Ok(Undo::Started(operation.to_string())),
        // It is looked at again.
        Err(error) if matches!(error.class, Class::AlreadySo | Class::Gone) => {
            Err(Fault::new("not-yet", "it is going, or gone: it is looked at again"))
        }
        Err(error) => Err(Fault::from(&error)),
    }
}

fn is_missing(error: &ApiError) -> bool {
    matches!(error.class, Class::Gone | Class::Rejected(Code::NoVolume | Code::NoPool))
}
