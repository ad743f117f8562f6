//! restore: one call that carries all that it can.

use std::time::Duration;

use super::check::{self, Losses};
use super::{Act, Fault, Followed, Intent, Ours, Placement, Probe, Proxmox, Stage, Standing, Value};
use crate::backend::ID_TAKEN;
use crate::backend::proxmox::client::endpoint::lxc::RestoreLxc;
use crate::backend::proxmox::client::upid::Upid;
use crate::backend::proxmox::client::verdict::{ApiError, Class, Code};
use crate::backend::proxmox::fault::{act_of, act_of_look};
use crate::backend::proxmox::tasks::output;

/// A request of ours that was thought lost, and is being carried out, has a guest before it has a task.
const BEFORE_ITS_TASK: Duration = Duration::from_secs(1);

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
            Standing::Other(_) | Standing::Free | Standing::Unfinished(_) | Standing::Hidden(_) => {
                Probe::Absent
            }
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
            Ok(Standing::Other(what)) => return Act::Refused(Fault::new(ID_TAKEN, what)),
            Ok(Standing::Unfinished(unfinished)) => return Act::Refused(unfinished.fault()),
            Ok(Standing::Hidden(fault)) => return Act::Refused(fault),
            Err(fault) => return Act::Unknown(fault),
        }
        let wanted = match self.wanted(placement).await {
            Ok((wanted, _)) => wanted,
            Err(fault) => return act_of_look(fault),
        };
        match self.post_restore(wanted.restore()).await {
            Ok(upid) => Act::Started(upid.to_string()),
            // Ours, from a request whose answer was lost, or another's?
            Err(error) if is_taken(&error) => match self.settled_standing(placement).await {
                Ok(Standing::Other(what)) => Act::Refused(Fault::new(ID_TAKEN, what)),
                _ => Act::Unknown(Fault::from(&error)),
            },
            Err(error) => act_of(&error),
        }
    }

    /// A guest that is somebody else's is looked at twice.
    async fn settled_standing(&self, placement: &Placement) -> Result<Standing, Fault> {
        match self.standing(placement).await? {
            Standing::Other(_) => {
                tokio::time::sleep(BEFORE_ITS_TASK).await;
                self.standing(placement).await
            }
            standing => Ok(standing),
        }
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

fn is_taken(error: &ApiError) -> bool {
    matches!(error.class, Class::Rejected { code: Code::Exists, .. })
}

/// A token with rights on a pool alone may not set tags before the guest is in it; and tags may be registered ones.
fn is_about_tags(error: &ApiError) -> bool {
    let Class::Denied { path, privileges } = &error.class else { return false };
    let of_guest = path.as_ref().is_some_and(|path| path.starts_with("/vms/"));
    privileges.iter().any(|privilege| {
        (of_guest && privilege == "VM.Config.Options") || privilege.contains("modifying tag")
    })
}
