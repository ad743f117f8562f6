//! Looks at guests: their addresses as the hypervisor lists them, and with them the beacon.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::endpoint::agent::ReadAgentInterfaces;
use super::client::endpoint::guest::{Guest, Kind, ReadStatus};
use super::client::endpoint::lxc::{Interface, ReadInterfaces};
use super::client::verdict::{ApiError, Class, Code, Patience};
use super::standing::target;
use crate::backend::{Look, LookBudget, Placement};
use crate::outcome::Fault;

/// A look takes one of the node's three workers for 60 to 90 ms.
pub(super) const BUDGET: LookBudget =
    LookBudget { per_second: 8, not_before: Duration::from_millis(500), calm: Duration::ZERO };
/// A machine's agent that does not answer costs a worker for 3 s: it is left alone for this long.
const SILENCE: Duration = Duration::from_secs(5);

/// Machines whose agents were silent, and when.
#[derive(Debug, Default)]
pub(super) struct Silent(Mutex<HashMap<u32, Instant>>);

impl Silent {
    async fn is(&self, vmid: u32) -> bool {
        let mut silent = self.0.lock().await;
        silent.retain(|_, since| since.elapsed() < SILENCE);
        silent.contains_key(&vmid)
    }

    async fn set(&self, vmid: u32) {
        self.0.lock().await.insert(vmid, Instant::now());
    }
}

/// What the answer of a machine's agent says of the machine.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Look(Look),
    /// It runs; its agent is not to be asked for a while.
    Silent,
    /// It has no agent, which is said before it is looked at.
    NoAgent,
}

fn heard(answer: Result<Vec<Interface>, ApiError>) -> Result<Heard, Fault> {
    let error = match answer {
        Ok(interfaces) => return Ok(Heard::Look(Look { running: true, addresses: addresses(interfaces) })),
        Err(error) => error,
    };
    match error.class {
        Class::Rejected { code: Code::NotRunning, .. } => Ok(Heard::Look(Look::default())),
        Class::Rejected { code: Code::AgentSilent, .. } => Ok(Heard::Silent),
        Class::Rejected { code: Code::AgentAbsent, .. } => Ok(Heard::NoAgent),
        // It is up, and does not know the command.
        Class::Rejected { code: Code::AgentError, .. } => {
            Ok(Heard::Look(Look { running: true, addresses: Vec::new() }))
        }
        _ => Err(Fault::from(&error)),
    }
}

fn addresses(interfaces: Vec<Interface>) -> Vec<std::net::IpAddr> {
    interfaces.into_iter().flat_map(|interface| interface.addresses).collect()
}

impl super::Proxmox {
    /// # Errors
    /// The guest is not there, the token may not look, or there is no answer. Nothing is tried again: the next look is
    /// soon enough.
    pub(super) async fn look_at_guest(&self, placement: &Placement) -> Result<Look, Fault> {
        let guest = target(placement)?;
        match self.look_there(&placement.job, &guest).await {
            Err(fault) if fault.code == "proxmox-gone" => match self.moved(&guest).await? {
                Some(guest) => self.look_there(&placement.job, &guest).await,
                None => Err(fault),
            },
            looked => looked,
        }
    }

    async fn look_there(&self, job: &str, guest: &Guest) -> Result<Look, Fault> {
        match guest.kind {
            Kind::Lxc => self.look_at_container(job, guest.clone()).await,
            Kind::Qemu => self.look_at_machine(guest).await,
        }
    }

    /// Looks at a container, for a job that may use what it saw for a moment.
    pub(super) async fn look_at_container(&self, job: &str, guest: Guest) -> Result<Look, Fault> {
        let vmid = guest.vmid;
        let client = self.client.with_patience(Patience::NONE);
        let listed = client.send(&ReadInterfaces { guest }).await.map_err(|error| Fault::from(&error))?;
        let look = Look { running: listed.is_some(), addresses: addresses(listed.unwrap_or_default()) };
        self.looked.put(vmid, job, look.addresses.clone());
        Ok(look)
    }

    /// Looks at a machine through its agent. One that is silent is asked again after a while only; until then the machine
    /// counts as running.
    pub(super) async fn look_at_machine(&self, guest: &Guest) -> Result<Look, Fault> {
        let quiet = Look { running: true, addresses: Vec::new() };
        let silent = &self.cluster.silent;
        if silent.is(guest.vmid).await {
            return Ok(quiet);
        }
        let client = self.client.with_patience(Patience::NONE);
        match heard(client.send(&ReadAgentInterfaces { guest: guest.clone() }).await)? {
            Heard::Look(look) => Ok(look),
            Heard::Silent => {
                silent.set(guest.vmid).await;
                Ok(quiet)
            }
            Heard::NoAgent => {
                let status = client.send(&ReadStatus { guest: guest.clone() }).await;
                let status = status.map_err(|error| Fault::from(&error))?;
                Ok(Look { running: status.is_running(), addresses: Vec::new() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::client::call::Method;
    use super::*;

    fn error(class: Class) -> ApiError {
        let (path, text) = ("/nodes/pve1/qemu/300/agent/network-get-interfaces".into(), "words".into());
        ApiError { method: Method::Get, path, class, status: Some(500), text, parameters: BTreeMap::new() }
    }

    #[test]
    fn what_an_agents_answer_says_of_its_machine() {
        let rejected = |code| Class::Rejected { code, kept: false };
        let running = || Heard::Look(Look { running: true, addresses: Vec::new() });
        for (class, expected) in [
            (rejected(Code::NotRunning), Some(Heard::Look(Look::default()))),
            (rejected(Code::AgentSilent), Some(Heard::Silent)),
            (rejected(Code::AgentAbsent), Some(Heard::NoAgent)),
            (rejected(Code::AgentError), Some(running())),
            (rejected(Code::ServerError), None),
            (Class::Gone, None),
            (Class::Denied { path: None, privileges: Vec::new() }, None),
            (Class::MaybeApplied, None),
        ] {
            assert_eq!(heard(Err(error(class.clone()))).ok(), expected, "{class}");
        }
        assert_eq!(heard(Ok(Vec::new())), Ok(running()));
    }
}
