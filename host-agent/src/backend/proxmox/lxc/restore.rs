//! restore: one call that carries all that it can.

use super::check::{self, Losses};
use super::{Act, Fault, Followed, Intent, Ours, Placement, Probe, Proxmox, Stage, Standing, Value};
use crate::backend::proxmox::client::endpoint::lxc::RestoreLxc;
use crate::backend::proxmox::client::upid::Upid;
use crate::backend::proxmox::client::verdict::{ApiError, Class};
use crate::backend::proxmox::fault::act_of_look;
use crate::backend::proxmox::posts::elses;
use crate::backend::proxmox::tasks::output;

impl Proxmox {
    pub(super) async fn probe_restored_container(
        &self,
        placement: &Placement,
        standing: Standing,
    ) -> Result<Probe, Fault> {
        Ok(match standing {
            Standing::Ours(ours) => match self.verified(placement, &ours, Vec::new()).await? {
                Ok(output) => Probe::Present(output),
                Err(_) => Probe::Absent, // `act` says what is missing
            },
            Standing::Making(upid) => Probe::InFlight(upid.to_string()),
            Standing::Other(what) if placement.plan.place.vmid.is_some() => Probe::Foreign(what),
            // Another VMID is chosen by `act`, or it says why it cannot go on.
            Standing::Other(_)
            | Standing::Nascent(_)
            | Standing::Free
            | Standing::Unfinished(_)
            | Standing::Hidden(_) => Probe::Absent,
        })
    }

    pub(super) async fn restore_container(&self, placement: &Placement) -> Act {
        match self.settled_standing(placement).await {
            Ok(Standing::Free) => {}
            Ok(Standing::Ours(ours)) => {
                return match self.verified(placement, &ours, Vec::new()).await {
                    Ok(Ok(output)) => Act::Applied(output),
                    Ok(Err(lost)) => Act::Refused(lost),
                    Err(fault) => Act::Unknown(fault),
                };
            }
            Ok(Standing::Making(upid)) => return Act::Started(upid.to_string()),
            Ok(Standing::Other(what)) => return Act::Refused(elses(what)),
            Ok(Standing::Nascent(what)) => return Act::Unknown(Fault::new("in-flight", what)),
            Ok(Standing::Unfinished(unfinished)) => return Act::Refused(unfinished.fault()),
            Ok(Standing::Hidden(fault)) => return Act::Refused(fault),
            Err(fault) => return Act::Unknown(fault),
        }
        let wanted = match self.wanted(placement).await {
            Ok((wanted, _)) => wanted,
            Err(fault) => return act_of_look(fault),
        };
        let call = wanted.restore();
        self.post(placement, call.vmid, self.post_restore(call)).await
    }

    /// Without what this token or this node does not take: each refusal comes before anything is made.
    async fn post_restore(&self, mut call: RestoreLxc) -> Result<Upid, ApiError> {
        loop {
            match self.client.send(&call).await {
                Err(error) if call.tags.is_some() && is_about_tags(&error) => {
                    tracing::info!(vmid = call.vmid, error = %error, "the token may not set tags yet");
                    call.tags = None;
                }
                Err(error) if call.env.is_some() && error.parameters.contains_key("env") => {
                    tracing::warn!(vmid = call.vmid, error = %error, "the node hands containers no variables");
                    call.env = None;
                }
                ended => return ended,
            }
        }
    }

    pub(super) async fn verify_restored(&self, placement: &Placement, remarks: Vec<String>) -> Followed {
        let ours = match self.ours(placement).await {
            Ok(ours) => ours,
            Err(fault) => {
                return match act_of_look(fault) {
                    Act::Refused(fault) => Followed::Failed(fault),
                    Act::Unknown(fault) => Followed::Unknown(fault),
                    Act::Applied(_) | Act::Started(_) => Followed::Unknown(nowhere()),
                };
            }
        };
        match self.verified(placement, &ours, remarks).await {
            Ok(Ok(output)) => {
                self.recent.put(ours.guest.vmid, &placement.job, ours.clone());
                Followed::Done(output)
            }
            Ok(Err(lost)) => Followed::Failed(lost),
            Err(fault) => Followed::Unknown(fault),
        }
    }

    /// The output, or what the restore did not bring along.
    ///
    /// # Errors
    /// The archive cannot be read.
    async fn verified(
        &self,
        placement: &Placement,
        ours: &Ours,
        mut remarks: Vec<String>,
    ) -> Result<Result<Value, Fault>, Fault> {
        let (wanted, archive) = self.wanted(placement).await?;
        let losses = match placement.plan.intent {
            Intent::Provision => check::lost(&archive, &ours.config),
            Intent::Restore => check::differences(&wanted, &archive, &ours.config),
        };
        let Losses { grave, slight } = losses;
        if !grave.is_empty() {
            return Ok(Err(Fault::new(
                "not-as-archived",
                format!("{} has not come out of the archive as it was: {}", ours.guest, grave.join("; ")),
            )
            .with_hint("root may restore what a token may not: `pct restore` on the node")));
        }
        if !slight.is_empty() {
            remarks.push(format!("not as in the archive: {}", slight.join("; ")));
        }
        Ok(Ok(output(Stage::Restore, placement, remarks)))
    }
}

fn nowhere() -> Fault {
    Fault::new("internal", "a look ended as an action")
}

/// A token with rights on a pool alone may not set tags before the guest is in it; and tags may be registered ones.
fn is_about_tags(error: &ApiError) -> bool {
    let Class::Denied { path, privileges } = &error.class else { return false };
    let of_guest = path.as_ref().is_some_and(|path| path.starts_with("/vms/"));
    privileges.iter().any(|privilege| {
        (of_guest && privilege == "VM.Config.Options") || privilege.contains("modifying tag")
    })
}
