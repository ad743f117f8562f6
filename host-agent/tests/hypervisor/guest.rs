//! What runs in a started machine: it makes one signed report and sends it until somebody acknowledges it.

use std::time::Duration;

use firstlight_shared::ids::MachineId;

use super::Hypervisor;
use super::post::post;
use super::report::Guest;

/// From start to acknowledgement, or until the machine is gone.
pub(super) async fn live(hypervisor: Hypervisor, job: String) {
    let mut manner = hypervisor.shared.manner.subscribe();
    let boot = manner.borrow().boot;
    tokio::time::sleep(boot).await;
    let Some((guest, report)) = hypervisor.wake(&job) else { return };
    for attempt in 0.. {
        let _ = manner.wait_for(|manner| !manner.silent && !manner.reports.is_empty()).await;
        let there = hypervisor.world().machines.get(&job).is_some_and(|machine| machine.running);
        if !there {
            return;
        }
        let targets = manner.borrow().reports.clone();
        // Guests begin with different companions.
        let turn = (usize::from(guest.mac.0[5]) + attempt) % targets.len();
        match post(targets[turn], guest.source(), report.clone()).await {
            Ok((200..=499, _)) => return,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl Hypervisor {
    /// The machine's guest and what it will send; the hypervisor can read it from now on.
    fn wake(&self, job: &str) -> Option<(Guest, String)> {
        let alike = self.shared.manner.borrow().alike;
        let mut world = self.world();
        let machine = world.machines.get_mut(job)?;
        let guest =
            Guest { name: machine.guest.clone(), mac: machine.mac, address: *machine.addresses.first()? };
        let report = if alike {
            guest.report_of(machine.claim.as_ref(), &MachineId::from_random([7; 16]))
        } else {
            guest.report(machine.claim.as_ref())
        };
        machine.report = Some(report.clone());
        Some((guest, report))
    }
}
