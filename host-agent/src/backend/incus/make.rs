//! restore: the instance comes to be, by one call that carries all that it shall be.
//!
//! One that comes out of an export cannot carry anything in that call. It is imported under a name that only this job has,
//! gets stamp, claim, MACs and sizes there, and then its own name: before that it is found by the job's name for it.

use firstlight_shared::wire::Intent;
use serde_json::{Value, json};

use super::check::{self, Change};
use super::client::Client;
use super::client::endpoint::instance::{
    CreateInstance, DeleteInstance, Image, ImportBackup, Instance, Kind, PatchInstance,
};
use super::client::endpoint::storage::{CreateVolume, ReadVolume};
use super::client::operation::{OperationEnd, OperationId};
use super::client::verdict::{Class, Code};
use super::fault::{act_of, act_of_look};
use super::golden::{Golden, golden, image, kind, length_of};
use super::rename::RenameInstance;
use super::site::name_of;
use super::standing::Standing;
use super::wanted::{Volume, Wanted};
use super::{Incus, LONGEST, client, stamp};
use crate::backend::{Placement, Stage, after_task};
use crate::outcome::{Act, Fault, Followed, Probe};

impl Incus {
    pub(super) async fn probe_made(&self, placement: &Placement) -> Result<Probe, Fault> {
        let client = self.site(&placement.plan.place)?;
        match self.standing(&client, placement).await? {
            Standing::Free | Standing::Unfinished(_) => Ok(Probe::Absent),
            Standing::Making(operation) => Ok(Probe::InFlight(operation)),
            Standing::Other(what) => Ok(Probe::Foreign(what)),
            Standing::Ours(instance) => {
                let wanted = self.wanted(&client, placement, Some(&instance)).await?;
                Ok(match is_made(placement, &wanted, &instance) {
                    true => Probe::Present(made(placement, &client, &instance)),
                    false => Probe::Absent,
                })
            }
        }
    }

    pub(super) async fn make(&self, placement: &Placement) -> Act {
        self.recent.forget(&placement.job);
        match self.try_to_make(placement).await {
            Ok(act) => act,
            Err(fault) => act_of_look(fault),
        }
    }

    async fn try_to_make(&self, placement: &Placement) -> Result<Act, Fault> {
        let client = self.site(&placement.plan.place)?;
        match self.standing(&client, placement).await? {
            Standing::Free => self.create(&client, placement).await,
            Standing::Making(operation) => Ok(Act::Started(operation)),
            Standing::Other(what) => Ok(Act::Refused(Fault::new("foreign", what))),
            Standing::Unfinished(instance) => {
                tracing::warn!(job = %placement.job, guest = %instance.name, "the server was stopped while it made this instance; it is made again");
                match self.remove(&client, &instance.name).await {
                    Ok(()) => self.create(&client, placement).await,
                    Err(fault) => Ok(Act::Unknown(fault)),
                }
            }
            Standing::Ours(instance) => self.complete(&client, placement, &instance).await,
        }
    }

    async fn create(&self, client: &Client, placement: &Placement) -> Result<Act, Fault> {
        let plan = &placement.plan;
        let name = match golden(plan) {
            Golden::Image(name) => name,
            Golden::Export(file) => {
                let length = length_of(&file).await?.len();
                let name = stamp::made_as(&placement.job);
                let pool = plan.place.storage.clone().or_else(|| self.defaults.pool.clone());
                return Ok(started(client.send(&ImportBackup { name, pool, file, length }).await));
            }
        };
        let image = image(client, &name).await?;
        let wanted = self.wanted(client, placement, None).await?;
        if let Err(ended) = self.ensure_volumes(client, placement, &wanted).await {
            return Ok(ended);
        }
        let create = CreateInstance {
            name: name_of(placement).to_owned(),
            kind: kind(plan),
            image: Image::Fingerprint(image.fingerprint),
            config: client::endpoint::Config(wanted.config()),
            devices: wanted.devices(),
            profiles: Some(self.defaults.profiles.clone()),
            ephemeral: plan.ephemeral,
            description: format!("{}, made by Firstlight", plan.name),
        };
        Ok(started(client.send(&create).await))
    }

    /// Writes what is missing; an instance of an export gets its name at last.
    async fn complete(
        &self,
        client: &Client,
        placement: &Placement,
        instance: &Instance,
    ) -> Result<Act, Fault> {
        let wanted = self.wanted(client, placement, Some(instance)).await?;
        let exported = instance.name == stamp::made_as(&placement.job);
        let change = if exported {
            if let Err(ended) = self.ensure_volumes(client, placement, &wanted).await {
                return Ok(ended);
            }
            check::all(&wanted, &instance.config, &instance.devices)
        } else {
            check::change(Stage::Restore, &wanted, &instance.config, &instance.devices)
        };
        let ephemeral = (instance.ephemeral != placement.plan.ephemeral).then_some(placement.plan.ephemeral);
        if let Err(error) = self.patch(client, &instance.name, change, ephemeral).await {
            return Ok(act_of(&error));
        }
        if exported {
            let rename = RenameInstance { name: instance.name.clone(), to: name_of(placement).to_owned() };
            return Ok(started(client.send(&rename).await));
        }
        Ok(match self.probe_made(placement).await? {
            Probe::Present(output) => Act::Applied(output),
            Probe::InFlight(operation) => Act::Started(operation),
            Probe::Absent => {
                Act::Unknown(Fault::new("not-so", "the server took the change, and it is not there"))
            }
            Probe::Foreign(what) => Act::Refused(Fault::new("foreign", what)),
        })
    }

    pub(super) async fn patch(
        &self,
        client: &Client,
        name: &str,
        change: Change,
        ephemeral: Option<bool>,
    ) -> Result<(), client::verdict::ApiError> {
        if change.is_empty() && ephemeral.is_none() {
            return Ok(());
        }
        let patch = PatchInstance {
            name: name.to_owned(),
            config: client::endpoint::Config(change.config),
            devices: change.devices,
            ephemeral,
            etag: None,
        };
        client.send(&patch).await
    }

    /// Volumes of ours that are not there are made; another's of that name stays, and nothing is made.
    pub(super) async fn ensure_volumes(
        &self,
        client: &Client,
        placement: &Placement,
        wanted: &Wanted,
    ) -> Result<(), Act> {
        for volume in &wanted.volumes {
            let Volume { pool, name, config } = volume.clone();
            let create = CreateVolume { pool, name, config: client::endpoint::Config(config) };
            match client.send(&create).await {
                Ok(()) => {}
                Err(error) if error.class == Class::Rejected(Code::Exists) => {
                    self.check_volume(client, placement, volume).await?;
                }
                Err(error) => return Err(act_of(&error)),
            }
        }
        Ok(())
    }

    async fn check_volume(&self, client: &Client, placement: &Placement, volume: &Volume) -> Result<(), Act> {
        let read = ReadVolume { pool: volume.pool.clone(), name: volume.name.clone() };
        let there = client.send(&read).await.map_err(|error| act_of_look(Fault::from(&error)))?;
        if stamp::job_of(&there.value.config) == Some(&placement.job) {
            return Ok(());
        }
        Err(Act::Refused(
            Fault::new(
                "foreign-volume",
                format!(
                    "mounts: pool {} has a volume `{}` that was not made by this job",
                    volume.pool, volume.name
                ),
            )
            .with_hint("give the guest another name, or remove the volume if nobody needs it"),
        ))
    }

    /// Waits for its end: for what has to be gone before the next call.
    async fn remove(&self, client: &Client, name: &str) -> Result<(), Fault> {
        let operation = client
            .send(&DeleteInstance { name: name.to_owned() })
            .await
            .map_err(|error| Fault::from(&error))?;
        match client.follow(&operation, tokio::time::Instant::now() + LONGEST).await {
            OperationEnd::Done(_) => Ok(()),
            OperationEnd::Failed { class, text } => Err(Fault::new(class.code(), text)),
            OperationEnd::Unknown { text } => Err(Fault::new("incus-no-answer", text)),
        }
    }

    /// Its operation has ended well: whether what it should have done is so.
    pub(super) async fn verify(&self, stage: Stage, placement: &Placement) -> Followed {
        after_task(stage, self.probe_stage(stage, placement).await)
    }
}

/// It has its own name, and all that tells whose and who it is.
fn is_made(placement: &Placement, wanted: &Wanted, instance: &Instance) -> bool {
    let claimless = |key: &String| *key != stamp::CLAIM && *key != stamp::CLAIM_IN_ENVIRONMENT;
    let mut left = check::change(Stage::Restore, wanted, &instance.config, &instance.devices);
    if instance.is_running() {
        // Of one that was started before, the claim may have been taken out already.
        left.config.retain(|key, _| claimless(key));
    }
    instance.name == name_of(placement) && left.is_empty() && instance.ephemeral == placement.plan.ephemeral
}

pub(super) fn started(sent: Result<OperationId, client::verdict::ApiError>) -> Act {
    match sent {
        Ok(operation) => Act::Started(operation.to_string()),
        Err(error) => act_of(&error),
    }
}

/// With a machine's UUID, if the server chose it.
fn made(placement: &Placement, client: &Client, instance: &Instance) -> Value {
    let mut made = output(Stage::Restore, placement, client);
    let is_new = placement.plan.intent == Intent::Provision;
    let chosen = placement.allocation.slot.as_ref().is_some_and(|slot| slot.uuid.is_some());
    if kind(&placement.plan) == Kind::VirtualMachine && is_new && !chosen {
        made["uuid"] = json!(instance.config.get("volatile.uuid"));
    }
    made
}

/// What [`Act::Applied`] gives of this stage. A restore's tells which guest it made.
pub(super) fn output(stage: Stage, placement: &Placement, client: &Client) -> Value {
    match stage {
        Stage::Restore => json!({ "id": name_of(placement), "node": client.remote() }),
        _ => json!({}),
    }
}
