//! The machine-id: its states on the disk, who could have known it in advance, and what a renewed one is made of. Pure.

use firstlight_shared::ids::{DerivedMachineId, MachineId};
use firstlight_shared::wire::{MachineIdState, Prediction, PredictionSource};

/// What stands in /etc/machine-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MachineIdFile {
    Absent,
    /// Empty or `uninitialized`: systemd fills it at the next boot.
    Unset,
    Invalid,
    Valid(MachineId),
}

impl MachineIdFile {
    pub(crate) fn valid(self) -> Option<MachineId> {
        match self {
            Self::Valid(id) => Some(id),
            _ => None,
        }
    }

    /// What is wrong with it on a running machine.
    pub(crate) fn problem(self) -> Option<&'static str> {
        match self {
            Self::Absent => Some("there is no /etc/machine-id"),
            Self::Unset => {
                Some("/etc/machine-id is empty or `uninitialized`: systemd did not fill it in this boot")
            }
            Self::Invalid => Some("what /etc/machine-id holds is no machine-id"),
            Self::Valid(_) => None,
        }
    }
}

/// As systemd reads it: 32 digits and a line end or none, no dashes, no spaces.
/// Source: id128_read_fd() in systemd's src/libsystemd/sd-id128/id128-util.c, machine-id(5).
pub(crate) fn classify(bytes: Option<&[u8]>) -> MachineIdFile {
    let Some(bytes) = bytes else { return MachineIdFile::Absent };
    match bytes.strip_suffix(b"\n").unwrap_or(bytes) {
        // Proxmox VE's clone leaves a lone line end (clear_machine_id() of pve-container).
        b"" | b"uninitialized" => MachineIdFile::Unset,
        plain if plain.len() == 32 && plain.iter().all(u8::is_ascii_hexdigit) => {
            let parsed = std::str::from_utf8(plain).ok().and_then(|text| text.parse().ok());
            parsed.map_or(MachineIdFile::Invalid, MachineIdFile::Valid)
        }
        _ => MachineIdFile::Invalid,
    }
}

/// What systemd makes a machine-id of where there is none, strongest first.
/// Source: generate_machine_id() in systemd's src/shared/machine-id-setup.c.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// The system credential `system.machine_id`.
    pub credential: Option<MachineId>,
    /// PID 1's `container_uuid`.
    pub container_uuid: Option<MachineId>,
    /// The product uuid, where systemd uses it.
    pub product_uuid: Option<MachineId>,
}

impl Origins {
    fn first(&self) -> Option<(&'static str, Option<PredictionSource>, MachineId)> {
        let credential = self.credential.map(|id| ("credential system.machine_id", None, id));
        let container =
            self.container_uuid.map(|id| ("container uuid", Some(PredictionSource::ContainerUuid), id));
        let product = self.product_uuid.map(|id| ("product uuid", Some(PredictionSource::ProductUuid), id));
        credential.or(container).or(product)
    }

    /// The id that a renewal writes, so that the host's prediction holds; none means: a random one.
    ///
    /// One that is taken (the golden's, the one that is replaced, the stamped one) would only make the duplicate anew.
    pub(crate) fn renewed(&self, taken: &[DerivedMachineId]) -> Renewed {
        match self.first() {
            Some((name, _, id)) if taken.contains(&id.derived()) => Renewed {
                id: None,
                problem: Some(format!(
                    "predictable duplicate: the {name} gives the machine-id that the golden or another guest has; \
                     a random one is used, give this guest a {name} of its own"
                )),
            },
            Some((_, _, id)) => Renewed { id: Some(id), problem: None },
            None => Renewed { id: None, problem: None },
        }
    }

    /// Whether the present id is the one that the host could know in advance. None where nobody could.
    pub(crate) fn predict(
        &self,
        claimed: Option<DerivedMachineId>,
        present: DerivedMachineId,
    ) -> Option<Prediction> {
        let foretold = match claimed {
            Some(claimed) => Some((PredictionSource::Claim, claimed)),
            None => self.first().and_then(|(_, source, id)| Some((source?, id.derived()))),
        };
        foretold.map(|(source, id)| Prediction { source, holds: id == present })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renewed {
    pub id: Option<MachineId>,
    pub problem: Option<String>,
}

/// What is to be said of a prediction that does not hold. A machine-id from an earlier boot may rightly be older than
/// the uuid that its machine has today; the claim's word counts always.
pub(crate) fn broken_prediction(prediction: Option<&Prediction>, state: MachineIdState) -> Option<String> {
    let prediction = prediction.filter(|prediction| !prediction.holds)?;
    let made_now = matches!(state, MachineIdState::Fresh | MachineIdState::Renewed);
    let source = match prediction.source {
        PredictionSource::Claim => "the claim",
        PredictionSource::ContainerUuid if made_now => "the container uuid",
        PredictionSource::ProductUuid if made_now => "the product uuid",
        _ => return None,
    };
    Some(format!("the machine-id is not the one that {source} foretells"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(byte: u8) -> MachineId {
        MachineId::from_random([byte; 16])
    }

    #[test]
    fn the_four_states_of_a_machine_id_are_told_apart() {
        assert_eq!(classify(None), MachineIdFile::Absent);
        for unset in ["", "\n", "uninitialized\n", "uninitialized"] {
            assert_eq!(classify(Some(unset.as_bytes())), MachineIdFile::Unset);
        }
        for wrong in [
            "7be0",
            "7be07251-d758-4360-bfa2-0bcb52311efb",
            "\0",
            "00000000000000000000000000000000",
            " 7be07251d7584360bfa20bcb52311efb",
            "7be07251d7584360bfa20bcb52311efb\n\n",
            "7be07251d7584360bfa20bcb52311efb # mine",
        ] {
            assert_eq!(classify(Some(wrong.as_bytes())), MachineIdFile::Invalid, "{wrong}");
        }
        for right in ["7be07251d7584360bfa20bcb52311efb\n", "7BE07251D7584360BFA20BCB52311EFB"] {
            assert!(classify(Some(right.as_bytes())).valid().is_some());
        }
        let states = [MachineIdFile::Absent, MachineIdFile::Unset, MachineIdFile::Invalid];
        let problems: std::collections::BTreeSet<_> =
            states.iter().filter_map(|state| state.problem()).collect();
        assert_eq!(problems.len(), 3, "each state is told by its own words");
    }

    #[test]
    fn a_renewal_takes_what_systemd_would_but_never_a_taken_id() {
        let (credential, container, product) = (Some(id(1)), Some(id(2)), Some(id(3)));
        let all = Origins { credential, container_uuid: container, product_uuid: product };
        assert_eq!(all.renewed(&[]).id, credential);
        let two = Origins { credential: None, ..all };
        assert_eq!(two.renewed(&[]).id, container);
        let one = Origins { container_uuid: None, ..two };
        assert_eq!(one.renewed(&[id(9).derived()]), Renewed { id: product, problem: None });
        assert_eq!(Origins::default().renewed(&[]), Renewed { id: None, problem: None });
        let duplicate = one.renewed(&[id(3).derived()]);
        assert_eq!(duplicate.id, None);
        assert!(duplicate.problem.unwrap().contains("predictable duplicate: the product uuid"));
        // systemd would not go on to the next source either.
        assert_eq!(two.renewed(&[id(2).derived()]).id, None);
    }

    #[test]
    fn the_strongest_word_is_the_prediction() {
        let origins = Origins { credential: None, container_uuid: Some(id(2)), product_uuid: Some(id(3)) };
        let of = |claimed: Option<u8>, present: u8, origins: &Origins| {
            let prediction = origins.predict(claimed.map(|byte| id(byte).derived()), id(present).derived());
            prediction.map(|prediction| (prediction.source, prediction.holds))
        };
        assert_eq!(of(Some(1), 1, &origins), Some((PredictionSource::Claim, true)));
        assert_eq!(of(Some(1), 2, &origins), Some((PredictionSource::Claim, false)));
        assert_eq!(of(None, 2, &origins), Some((PredictionSource::ContainerUuid, true)));
        assert_eq!(of(None, 3, &origins), Some((PredictionSource::ContainerUuid, false)));
        let machine = Origins { container_uuid: None, ..origins };
        assert_eq!(of(None, 3, &machine), Some((PredictionSource::ProductUuid, true)));
        // A credential outdoes them, and the host that gave it needs no prediction.
        assert_eq!(of(None, 3, &Origins { credential: Some(id(1)), ..origins }), None);
        assert_eq!(of(None, 3, &Origins::default()), None);
    }

    #[test]
    fn only_what_was_made_now_must_hold_for_a_uuid() {
        use MachineIdState::{Fresh, Invalid, Kept, Renewed};
        for (source, states) in [
            (PredictionSource::Claim, vec![Fresh, Kept, Renewed, Invalid]),
            (PredictionSource::ContainerUuid, vec![Fresh, Renewed]),
            (PredictionSource::ProductUuid, vec![Fresh, Renewed]),
        ] {
            for state in [Fresh, Kept, Renewed, Invalid] {
                let broken = broken_prediction(Some(&Prediction { source, holds: false }), state);
                assert_eq!(broken.is_some(), states.contains(&state), "{source:?} {state:?}");
                assert_eq!(broken_prediction(Some(&Prediction { source, holds: true }), state), None);
            }
        }
        assert_eq!(broken_prediction(None, Fresh), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_one_state(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let MachineIdFile::Valid(id) = classify(Some(&bytes)) {
                let expected = bytes[..32].to_ascii_lowercase();
                prop_assert_eq!(id.expose().into_bytes(), expected);
            }
        }
    }
}
