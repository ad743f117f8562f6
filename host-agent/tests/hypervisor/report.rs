//! What a guest reports: made with the code that real guests use.

#![allow(dead_code, reason = "each program uses its part")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use firstlight_shared::ids::{MacAddress, MachineId};
use firstlight_shared::wire::{
    Address, Claim, EVIDENCE_NAMESPACE, EVIDENCE_VERSION, Envelope, Evidence, Report, SecretOutcome, Signed,
    SystemNow,
};
use firstlight_tests::guest::fake::well;
use ssh_key::{Algorithm, PrivateKey};

/// A guest of this name says that its evidence timer is on.
pub(crate) const TIMED: &str = "timed";

/// The newest report of each guest and the key that signed it, by its name.
static SIGNED: Mutex<BTreeMap<String, (Report, PrivateKey)>> = Mutex::new(BTreeMap::new());

/// What a guest that has reported says later: all is as it was.
pub(crate) fn evidence(guest: &str, nonce: &str, made_at_ms: u64) -> Signed {
    let (report, key) = SIGNED.lock().unwrap()[guest].clone();
    let evidence = Evidence {
        version: EVIDENCE_VERSION,
        nonce: Some(nonce.to_owned()),
        uptime_ms: None,
        system: SystemNow { state: Some("running".to_owned()), failed_units: Some(Vec::new()) },
        report: Report { made_at_ms, ..report },
    };
    Signed::sign(&evidence, &key, EVIDENCE_NAMESPACE).unwrap()
}

/// One guest's identity.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) mac: MacAddress,
    pub(crate) address: IpAddr,
}

impl Guest {
    /// An address of the loopback that is this guest's own, so that it can be told from the others.
    pub(crate) fn source(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let [_, b, c, d] = address.octets();
                IpAddr::V4(Ipv4Addr::new(127, b, c, d))
            }
            IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// A report in which all is well, signed with a key of the guest's own: the bytes that go to the companion.
    pub(crate) fn report(&self, claim: Option<&Claim>) -> String {
        self.report_of(claim, &MachineId::from_random(rand::random()))
    }

    /// The same of a guest with this machine-id.
    pub(crate) fn report_of(&self, claim: Option<&Claim>, machine_id: &MachineId) -> String {
        serde_json::to_string(&self.envelope(claim, machine_id)).unwrap()
    }

    /// The same, not yet as bytes.
    pub(crate) fn envelope(&self, claim: Option<&Claim>, machine_id: &MachineId) -> Envelope {
        self.envelope_with(claim, machine_id, Vec::new())
    }

    /// The same with what became of its secrets.
    pub(crate) fn envelope_with(
        &self,
        claim: Option<&Claim>,
        machine_id: &MachineId,
        secrets: Vec<SecretOutcome>,
    ) -> Envelope {
        let key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).unwrap();
        let report = Report { secrets, ..self.content(claim, &key, machine_id) };
        SIGNED.lock().unwrap().insert(self.name.clone(), (report.clone(), key.clone()));
        Envelope::seal(&report, &key, claim).unwrap()
    }

    /// What it reports when all is well.
    pub(crate) fn content(&self, claim: Option<&Claim>, key: &PrivateKey, machine_id: &MachineId) -> Report {
        let mut report = well(&self.name, claim.map(|claim| claim.id.as_str()), key.public_key()).unwrap();
        report.identity.machine_id.derived = Some(machine_id.derived());
        report.network[0].mac = Some(self.mac);
        report.network[0].addresses = vec![Address { address: self.address, prefix: 8 }];
        report.evidence_timer = (self.name == TIMED).then_some(true);
        report
    }
}
