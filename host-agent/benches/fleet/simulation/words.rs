//! What a guest sends: made and signed with the code of real guests.

use firstlight_shared::check::Verdict;
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::{Claim, Envelope};
use ssh_key::{Algorithm, PrivateKey};

use super::plan::{Plan, Role};
use crate::hypervisor::report::Guest;
use crate::hypervisor::world::Machine;

/// A report of this guest, as its role has it; each call makes another key, and so another report.
pub(crate) fn report(plan: Plan, number: usize, machine: &Machine) -> String {
    sealed(plan, number, machine, machine.claim.as_ref())
}

/// The same in another guest's name, without its secret.
pub(crate) fn forged(plan: Plan, number: usize, machine: &Machine, claim_id: &str) -> String {
    let secret = Some(Secret::new(rand::random::<[u8; 32]>().to_vec()));
    let claim =
        machine.claim.as_ref().map(|claim| Claim { id: claim_id.to_owned(), secret, ..claim.clone() });
    sealed(plan, number, machine, claim.as_ref())
}

/// What is no report of a guest's: each with the status that refuses it.
pub(crate) fn garbage(plan: Plan, number: usize, machine: &Machine) -> Vec<(String, u16)> {
    let whole = report(plan, number, machine);
    let altered = whole.replace("paper", "other");
    vec![
        ("{\"what\": \"no report\"}".to_owned(), 422),
        (whole[..whole.len() / 2].to_owned(), 422),
        (altered, 422),
        ("x".repeat(300 << 10), 413),
    ]
}

fn sealed(plan: Plan, number: usize, machine: &Machine, claim: Option<&Claim>) -> String {
    let guest = Guest { name: machine.guest.clone(), mac: machine.mac, address: machine.addresses[0] };
    let key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).unwrap();
    let mut report = guest.content(claim, &key, &plan.machine_id(number));
    match plan.role(number) {
        Role::Broken => report.checks[0].verdict = Verdict::Fail,
        Role::Misnamed => report.identity.hostname.current = format!("somebody-{number}"),
        _ => {}
    }
    serde_json::to_string(&Envelope::seal(&report, &key, claim).unwrap()).unwrap()
}
