//! mac, hostname, size, mounts, start: read from the instance, and mended where it is not so.
//!
//! | stage | the call that makes it carries | what is looked at, and done if it is not so |
//! |---|---|---|
//! | restore | all of it | stamp, claim, machine-id; PATCH; of an export, then its name |
//! | mac | `volatile.NIC.hwaddr`, interfaces | PATCH |
//! | hostname | the name; `boot.autostart`, tags | PATCH |
//! | size | the root disk's `size` and `pool`, `limits.*` | PATCH |
//! | mounts | volumes made before it, as disks | the volumes, PATCH |
//! | start | | whether it runs; PUT of its state |

use super::check;
use super::client::Client;
use super::client::endpoint::instance::Instance;
use super::client::endpoint::state::{Action, ChangeState};
use super::client::operation::{OperationEnd, OperationId};
use super::client::verdict::Class;
use super::fault::{act_of, act_of_look, decides_nothing};
use super::make::{output, started};
use super::site::name_of;
use super::standing::Standing;
use super::{Incus, LONGEST};
use crate::backend::{Placement, Stage};
use crate::outcome::{Act, Fault, Followed, Probe};

impl Incus {
    pub(super) async fn probe_stage(&self, stage: Stage, placement: &Placement) -> Result<Probe, Fault> {
        if stage == Stage::Restore {
            return self.probe_made(placement).await;
        }
        let client = self.site(&placement.plan.place)?;
        let recent = self.recent.get(&placement.job).filter(|_| stage != Stage::Start);
        let instance = match recent {
            Some(instance) => instance,
            None => match self.standing(&client, placement).await? {
                Standing::Ours(instance) => *instance,
                Standing::Other(what) => return Ok(Probe::Foreign(what)),
                // `act` says why it cannot be done.
                Standing::Free | Standing::Making(_) | Standing::Unfinished(_) => return Ok(Probe::Absent),
            },
        };
        if stage == Stage::Start {
            return self.probe_started(&client, placement, &instance).await;
        }
        let wanted = self.wanted(&client, placement, Some(&instance)).await?;
        let left = check::change(stage, &wanted, &instance.config, &instance.devices);
        Ok(if left.is_empty() { Probe::Present(output(stage, placement, &client)) } else { Probe::Absent })
    }

    async fn probe_started(
        &self,
        client: &Client,
        placement: &Placement,
        instance: &Instance,
    ) -> Result<Probe, Fault> {
        if instance.is_running() {
            return Ok(Probe::Present(output(Stage::Start, placement, client)));
        }
        let operations = client.operations_on(&instance.name).await.map_err(|error| Fault::from(&error))?;
        let starts = |description: &str| matches!(description, "Starting instance" | "Restarting instance");
        let at_work = operations.into_iter().find(|one| !one.has_ended() && starts(&one.description));
        Ok(at_work.map_or(Probe::Absent, |one| Probe::InFlight(one.id.to_string())))
    }

    pub(super) async fn act_stage(&self, stage: Stage, placement: &Placement) -> Act {
        if stage == Stage::Restore {
            return self.make(placement).await;
        }
        let just_seen = self.recent.get(&placement.job).filter(|_| stage == Stage::Start);
        self.recent.forget(&placement.job);
        let client = match self.site(&placement.plan.place) {
            Ok(client) => client,
            Err(fault) => return Act::Refused(fault),
        };
        let instance = match just_seen {
            Some(instance) => Ok(Box::new(instance)),
            None => self.ours(&client, placement).await,
        };
        match instance {
            Err(fault) => act_of_look(fault),
            Ok(_) if stage == Stage::Start => self.start(&client, placement).await,
            Ok(instance) => self.mend(stage, &client, placement, &instance).await,
        }
    }

    async fn start(&self, client: &Client, placement: &Placement) -> Act {
        let start = ChangeState {
            name: name_of(placement).to_owned(),
            action: Action::Start,
            timeout: None,
            force: false,
        };
        match client.send(&start).await {
            Err(error) if error.class == Class::AlreadySo => self.look_again(Stage::Start, placement).await,
            sent => started(sent),
        }
    }

    async fn mend(&self, stage: Stage, client: &Client, placement: &Placement, instance: &Instance) -> Act {
        let wanted = match self.wanted(client, placement, Some(instance)).await {
            Ok(wanted) => wanted,
            Err(fault) => return act_of_look(fault),
        };
        if stage == Stage::Mounts
            && let Err(ended) = self.ensure_volumes(client, placement, &wanted).await
        {
            return ended;
        }
        let change = check::change(stage, &wanted, &instance.config, &instance.devices);
        match self.patch(client, &instance.name, change, None).await {
            Ok(()) => self.look_again(stage, placement).await,
            Err(error) => act_of(&error),
        }
    }

    /// What a call answers is no proof.
    async fn look_again(&self, stage: Stage, placement: &Placement) -> Act {
        match self.probe_stage(stage, placement).await {
            Ok(Probe::Present(output)) => Act::Applied(output),
            Ok(Probe::InFlight(operation)) => Act::Started(operation),
            Ok(Probe::Foreign(what)) => Act::Refused(Fault::new("foreign", what)),
            Ok(Probe::Absent) => {
                Act::Unknown(Fault::new("not-so", "the server took the change, and it is not there"))
            }
            Err(fault) => Act::Unknown(fault),
        }
    }

    pub(super) async fn follow_operation(&self, stage: Stage, placement: &Placement, task: &str) -> Followed {
        self.recent.forget(&placement.job);
        let (client, operation) = match (self.site(&placement.plan.place), task.parse::<OperationId>()) {
            (Ok(client), Ok(operation)) => (client, operation),
            (Err(fault), _) => return Followed::Unknown(fault),
            (_, Err(error)) => return Followed::Unknown(Fault::new("no-operation", error.to_string())),
        };
        match client.follow(&operation, tokio::time::Instant::now() + LONGEST).await {
            OperationEnd::Done(_) => self.verify(stage, placement).await,
            OperationEnd::Failed { class, text } => {
                let fault = Fault::new(class.code(), text);
                let fault = match class.hint() {
                    Some(hint) => fault.with_hint(hint),
                    None => fault,
                };
                // That it is there already, or that others were faster: the next probe tells.
                if decides_nothing(class) { Followed::Unknown(fault) } else { Followed::Failed(fault) }
            }
            OperationEnd::Unknown { text } => Followed::Unknown(Fault::new("operation-unknown", text)),
        }
    }
}

impl Incus {
    /// The configuration has the claim no more; the environment of a first process that runs already keeps it until the
    /// next start.
    pub(super) async fn take_claim_out(&self, placement: &Placement) -> Result<(), Fault> {
        let client = self.site(&placement.plan.place)?;
        let instance = match self.standing(&client, placement).await? {
            Standing::Ours(instance) => instance,
            // With the guest its claim is gone; and another's has none of ours.
            Standing::Free | Standing::Other(_) => return Ok(()),
            Standing::Making(_) | Standing::Unfinished(_) => {
                return Err(Fault::new("in-flight", "the instance is still being made"));
            }
        };
        self.recent.forget(&placement.job);
        let change = check::without_claim(&instance.config);
        self.patch(&client, &instance.name, change, None).await.map_err(|error| Fault::from(&error))
    }
}
