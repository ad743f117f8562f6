//! What passes between us and a running machine beside its network: its report, and its claim.

use std::path::PathBuf;

use firstlight_shared::wire::MAX_ENVELOPE;

use super::{disks, smbios};
use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::client::endpoint::agent::{GuestFile, ReadFilesystems, ReadGuestFile};
use crate::backend::proxmox::client::endpoint::config::ChangeConfig;
use crate::backend::proxmox::client::endpoint::guest::Guest;
use crate::backend::proxmox::client::verdict::{ApiError, Class, Code};
use crate::backend::proxmox::standing::{Standing, target};
use crate::backend::{GuestPlan, Placement, Unseen};
use crate::outcome::Fault;

/// Where the guest's agent always leaves its report.
const REPORT: &str = "/run/firstlight/report.json";
/// How often somebody else may be faster.
const ATTEMPTS: u32 = 3;

impl Proxmox {
    /// One question to the machine's agent, which costs 3 s if it is silent. None: no agent, no file, not running, or the
    /// token may not ask.
    pub(in crate::backend::proxmox) async fn read_report_of_machine(
        &self,
        guest: &Placement,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let machine = target(guest)?;
        let (read, encoded) = match self.read_guest_file(&machine, true).await {
            // Servers of before 2026 do not know how to leave it encoded, and did not ask the agent yet.
            Err(error) if is_unknown_parameter(&error) => {
                (self.read_guest_file(&machine, false).await, false)
            }
            read => (read, true),
        };
        let file = match read {
            Ok(file) => file,
            Err(error) if shows_nothing(&error) => {
                tracing::debug!(guest = %machine, error = %error, "no report is read through the agent");
                return Ok(None);
            }
            Err(error) => return Err(Fault::from(&error)),
        };
        let bytes = file.bytes(encoded).map_err(|error| unreadable(&error))?;
        if file.truncated || bytes.len() > MAX_ENVELOPE {
            return Err(unreadable(&format!("it is longer than {MAX_ENVELOPE} bytes")));
        }
        Ok(Some(bytes))
    }

    async fn read_guest_file(&self, machine: &Guest, encoded: bool) -> Result<GuestFile, ApiError> {
        // One more than a report may have: then it is known to be too long.
        let count = u32::try_from(MAX_ENVELOPE + 1).unwrap_or(u32::MAX);
        let guest = machine.clone();
        self.client.send(&ReadGuestFile { guest, file: REPORT.to_owned(), count, encoded }).await
    }

    /// Where the machine has mounted its plan's disks, in its agent's words; nowhere, if there are none. And why the agent
    /// has no words: that it is silent does not mean that nothing is mounted.
    pub(in crate::backend::proxmox) async fn mounted_in_machine(
        &self,
        plan: &GuestPlan,
        machine: &Guest,
    ) -> Result<(Vec<PathBuf>, Option<Unseen>), Fault> {
        if plan.mounts.is_empty() {
            return Ok((Vec::new(), None));
        }
        match self.client.send(&ReadFilesystems { guest: machine.clone() }).await {
            Ok(seen) => Ok((disks::mounted(plan, &seen), None)),
            Err(error) if is_down(&error) => Ok((Vec::new(), None)),
            Err(error) if shows_nothing(&error) => Ok((Vec::new(), Some(unseen(&error)))),
            Err(error) => Err(Fault::from(&error)),
        }
    }

    /// The serial goes, the UUID stays. On a running machine it waits for its next stop.
    pub(in crate::backend::proxmox) async fn remove_claim_of_machine(
        &self,
        guest: &Placement,
    ) -> Result<(), Fault> {
        let uuid = guest.allocation.slot.as_ref().and_then(|slot| slot.uuid.as_deref());
        for attempt in 1.. {
            let ours = match self.standing(guest).await? {
                Standing::Ours(ours) => ours,
                // With the machine, its claim is gone; and another's has none of ours.
                Standing::Free | Standing::Other(_) => return Ok(()),
                Standing::Making(_)
                | Standing::Nascent(_)
                | Standing::Unfinished(_)
                | Standing::Hidden(_) => return self.ours(guest).await.map(|_| ()),
            };
            let written = ours.config.properties("smbios1").unwrap_or_default();
            let Some(rest) = smbios::without_claim(&written, uuid) else { return Ok(()) };
            let set = vec![("smbios1".to_owned(), rest.to_string())];
            let digest = ours.config.digest().map(str::to_owned);
            let change = ChangeConfig { guest: ours.guest, set, delete: Vec::new(), digest };
            match self.client.send(&change).await {
                Ok(()) => return Ok(()),
                Err(error) if attempt < ATTEMPTS && changed_meanwhile(&error) => {}
                Err(error) => return Err(Fault::from(&error)),
            }
        }
        Ok(())
    }
}

/// The machine is not there, or does not run: it has nothing mounted.
fn is_down(error: &ApiError) -> bool {
    matches!(error.class, Class::Gone | Class::Rejected { code: Code::NotRunning, .. })
}

fn unseen(error: &ApiError) -> Unseen {
    let passes = matches!(error.class, Class::Rejected { code: Code::AgentSilent, .. });
    Unseen { why: format!("the machine's QEMU agent does not tell: {}", error.text), passes }
}

fn is_unknown_parameter(error: &ApiError) -> bool {
    error.parameters.contains_key("decode") || error.parameters.contains_key("count")
}

fn changed_meanwhile(error: &ApiError) -> bool {
    matches!(error.class, Class::Rejected { code: Code::ChangedMeanwhile, .. })
}

/// The beacon is another way; that this one is closed says nothing about the guest.
fn shows_nothing(error: &ApiError) -> bool {
    match &error.class {
        Class::Gone | Class::Denied { .. } => true,
        Class::Rejected { code, .. } => matches!(
            code,
            Code::AgentSilent | Code::AgentAbsent | Code::AgentError | Code::NoGuestFile | Code::NotRunning
        ),
        Class::NeverSent(_) | Class::MaybeApplied | Class::Locked(_) | Class::AlreadySo => false,
    }
}

fn unreadable(why: &dyn std::fmt::Display) -> Fault {
    Fault::new("report-unreadable", format!("the guest's {REPORT} is not read: {why}"))
}
