//! The stamp: what this machine's identity was when it was last proved. Written last, and only what was verified.

use firstlight_shared::error::Chain;
use firstlight_shared::ids::{DerivedMachineId, MacAddress};
use firstlight_shared::wire::Decision;
use serde::{Deserialize, Serialize};

use crate::paths;
use crate::sys::{Root, SysError};

pub(crate) const STAMP_VERSION: u32 = 1;

/// Signs of which machine this is. An absent one is no evidence of anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// Of /etc/machine-id, in derived form.
    pub machine_id: Option<DerivedMachineId>,
    /// Of PID 1's `container_uuid`, in derived form; absent where systemd-nspawn only hands an old machine-id back.
    pub container_uuid: Option<DerivedMachineId>,
    /// Of the DMI product uuid, in derived form; only in a VM.
    pub product_uuid: Option<DerivedMachineId>,
    /// Of the virtual machine's generation, in derived form; absent in older stamps. Another one is no
    /// other machine.
    #[serde(default)]
    pub vm_generation: Option<DerivedMachineId>,
    #[serde(default)]
    pub macs: Vec<MacAddress>,
}

impl Evidence {
    /// What is seen now, and what was known of signals that are absent now: for a machine that is still the same.
    pub(crate) fn or(&self, known: &Self) -> Self {
        Self {
            machine_id: self.machine_id.or(known.machine_id),
            container_uuid: self.container_uuid.or(known.container_uuid),
            product_uuid: self.product_uuid.or(known.product_uuid),
            vm_generation: self.vm_generation.or(known.vm_generation),
            macs: if self.macs.is_empty() { known.macs.clone() } else { self.macs.clone() },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub version: u32,
    pub agent: String,
    pub made_at_ms: u64,
    pub decision: Decision,
    pub evidence: Evidence,
    pub claim_id: Option<String>,
    /// Fingerprints of the keys that were verified.
    pub host_keys: Vec<String>,
    /// Key types that the report phase still has to make, and items that it has to have renewed.
    pub pending: Vec<String>,
    /// Made in a root that did not run. It says nothing of the machines that are cloned from it.
    #[serde(default)]
    pub in_image: bool,
    /// Items that should have been renewed and could not be: the next run tries again.
    #[serde(default)]
    pub unfinished: Vec<Unfinished>,
}

/// What a stamped machine still owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unfinished {
    MachineId,
    /// D-Bus's own copy of the old machine-id.
    DbusCopy,
    Hostname,
    /// Of a newer agent: not ours to finish.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
impl Stamp {
    pub(crate) fn of(evidence: Evidence) -> Self {
        Self {
            version: STAMP_VERSION,
            agent: "test".into(),
            made_at_ms: 0,
            decision: Decision::Renew,
            evidence,
            claim_id: None,
            host_keys: Vec::new(),
            pending: Vec::new(),
            in_image: false,
            unfinished: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StampState {
    None,
    Valid(Box<Stamp>),
    /// Torn, foreign, or of another version; with the reason.
    Unknown(String),
}

impl StampState {
    pub(crate) fn valid(&self) -> Option<&Stamp> {
        match self {
            Self::Valid(stamp) => Some(stamp),
            _ => None,
        }
    }
}

pub(crate) fn load(root: &Root) -> StampState {
    match root.read(paths::STAMP) {
        Ok(None) => StampState::None,
        Ok(Some(bytes)) => parse(&bytes),
        Err(error) => StampState::Unknown(Chain(&error).to_string()),
    }
}

pub(crate) fn parse(bytes: &[u8]) -> StampState {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice::<Version>(bytes) {
        Ok(Version { version: STAMP_VERSION }) => {}
        Ok(Version { version }) => {
            return StampState::Unknown(format!(
                "the stamp has version {version}, only {STAMP_VERSION} is known"
            ));
        }
        Err(error) => return StampState::Unknown(format!("the stamp cannot be read: {error}")),
    }
    match serde_json::from_slice(bytes) {
        Ok(stamp) => StampState::Valid(Box::new(stamp)),
        Err(error) => StampState::Unknown(format!("the stamp cannot be read: {error}")),
    }
}

/// # Errors
/// The file could not be replaced durably.
pub(crate) fn save(root: &Root, stamp: &Stamp) -> Result<(), SysError> {
    let text = serde_json::to_vec_pretty(stamp)
        .map_err(|error| SysError::new("write", paths::STAMP, std::io::Error::other(error)))?;
    root.replace(paths::STAMP, 0o600, &text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn torn_and_newer_stamps_are_unknown_history() {
        for text in ["", "{", "{\"version\":2}", "{\"version\":1}", "[]", "\0\0\0"] {
            assert!(matches!(parse(text.as_bytes()), StampState::Unknown(_)), "{text}");
        }
    }

    /// As agent 0.1.0 wrote it.
    const OLD: &str = r#"{"version":1,"agent":"0.1.0","made_at_ms":1,"decision":"renew","evidence":{
        "machine_id":"9a6548b8a4034ed2a72d62da6f19aa08","container_uuid":null,"product_uuid":null,
        "macs":["02:00:00:00:00:01"]},"claim_id":null,"host_keys":["SHA256:x"],"pending":["rsa"]}"#;

    #[test]
    fn a_stamp_without_the_newer_fields_is_read() {
        let StampState::Valid(stamp) = parse(OLD.as_bytes()) else { panic!("not read") };
        assert_eq!((stamp.evidence.vm_generation, stamp.unfinished.len()), (None, 0));
        let newer =
            OLD.replace("\"pending\"", "\"unfinished\":[\"hostname\",\"soul\"],\"new\":1,\"pending\"");
        let StampState::Valid(stamp) = parse(newer.as_bytes()) else { panic!("not read") };
        assert_eq!(stamp.unfinished, [Unfinished::Hostname, Unfinished::Unknown]);
    }

    #[test]
    fn absent_signals_are_not_forgotten() {
        let StampState::Valid(stamp) = parse(OLD.as_bytes()) else { panic!("not read") };
        let merged = Evidence::default().or(&stamp.evidence);
        assert_eq!(merged, stamp.evidence);
        let other = Evidence { macs: vec![MacAddress([2, 0, 0, 0, 0, 9])], ..Evidence::default() };
        assert_eq!(other.or(&stamp.evidence).macs, other.macs);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_pass_for_valid_by_chance(
            bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..500, flip in 0usize..500, with: u8,
        ) {
            prop_assert!(!matches!(parse(&bytes), StampState::Valid(_)));
            let mut torn = OLD.as_bytes().to_vec();
            torn.truncate(cut.min(torn.len() - 1));
            prop_assert!(!matches!(parse(&torn), StampState::Valid(_)), "a torn stamp is none");
            let mut wrong = OLD.as_bytes().to_vec();
            let place = flip % wrong.len();
            wrong[place] = with;
            let _ = parse(&wrong);
        }
    }
}
