//! From the full address list of a guest to what its beacon says.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ssh_key::PublicKey;
use ssh_key::public::{Ed25519PublicKey, KeyData};

use super::frame::{self, Fields, FrameError, Kind};
use super::pieces::{self, Piece};
use super::{Form, Reason, State, VERSION};
use crate::error::Code;
use crate::wire::{Envelope, HostKey};

/// Why there is something like a beacon that says nothing. Only `Version` and `Content` do not go away by looking again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    #[error("only {found} of the {wanted} addresses of beacon generation {generation} are there: look again")]
    Torn { generation: u8, found: usize, wanted: usize },
    #[error("two addresses claim to be piece {index} of beacon generation {generation}: look again")]
    Conflict { generation: u8, index: usize },
    #[error("the addresses of beacon generation {generation} do not belong together: look again")]
    Checksum { generation: u8 },
    #[error("the beacon has version {found}, only version {VERSION} is known: update this program")]
    Version { found: u8 },
    #[error("beacon generation {generation} has a state or a key that version {VERSION} does not have")]
    Content { generation: u8 },
    #[error("several whole beacons stand and none is the newest: look again")]
    Ambiguous,
}

impl Code for BeaconError {
    fn code(&self) -> &'static str {
        match self {
            Self::Torn { .. } => "beacon-torn",
            Self::Conflict { .. } => "beacon-conflict",
            Self::Checksum { .. } => "beacon-checksum",
            Self::Version { .. } => "beacon-version",
            Self::Content { .. } => "beacon-content",
            Self::Ambiguous => "beacon-ambiguous",
        }
    }
}

/// A beacon as it was read. In the IPv4 form it has 96 bits of each digest and no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub form: Form,
    pub generation: u8,
    fields: Fields,
}

impl Seen {
    pub fn state(&self) -> State {
        self.fields.state
    }

    pub fn reason(&self) -> Reason {
        self.fields.reason
    }

    /// Whether the guest has named a report at all.
    pub fn names_report(&self) -> bool {
        self.fields.report.is_some()
    }

    /// SHA-256 of the report that the guest named: 64 hexadecimal digits, or the first 24 of them in the IPv4 form.
    pub fn report_sha256(&self) -> Option<String> {
        self.fields.report.as_ref().map(hex::encode)
    }

    /// Whether the guest named the report with this SHA-256 (64 hexadecimal digits, as [`crate::wire::Opened::sha256`]).
    ///
    /// Bits that count: 256 in the IPv6 form, 96 in the IPv4 form. False for anything that is not such a digest.
    pub fn matches_report(&self, sha256: &str) -> bool {
        let digest = hex::decode(sha256).ok().filter(|digest| digest.len() == 32);
        let named = self.fields.report.as_ref();
        digest.zip(named).is_some_and(|(digest, named)| digest.starts_with(named))
    }

    /// Whether this is the key that signs the guest's report: its ed25519 host key, or an ephemeral one.
    pub fn matches_key(&self, key: &PublicKey) -> bool {
        let shown = super::raw(key).map(|key| frame::shown_key(&key, self.form));
        self.fields.kind != Kind::None && shown.as_ref() == Some(&self.fields.key)
    }

    /// Whether the guest named the report in this envelope, of which this is the SHA-256, and the key that signed it.
    pub fn names(&self, envelope: &Envelope, sha256: &str) -> bool {
        let key = PublicKey::from_openssh(&envelope.signing_key);
        self.matches_report(sha256) && key.is_ok_and(|key| self.matches_key(&key))
    }

    /// Whether the key that signs was made for one report and is no host key.
    pub fn key_is_ephemeral(&self) -> bool {
        self.fields.kind == Kind::Ephemeral
    }

    /// The guest's ed25519 host key: its `public_key` after the host's name makes a whole known_hosts line.
    ///
    /// None in the IPv4 form, whose digest only checks a key found elsewhere; see [`Seen::matches_key`].
    pub fn host_key(&self) -> Option<HostKey> {
        if self.fields.kind != Kind::Host {
            return None;
        }
        let raw = <[u8; 32]>::try_from(self.fields.key.as_slice()).ok()?;
        HostKey::of(&PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(raw)))).ok()
    }
}

/// Reads the beacon out of all addresses of a guest, in any order; none if no address looks like one.
///
/// # Errors
/// Addresses look like a beacon, but no whole and newest one stands. Nothing is guessed from parts.
pub fn decode(addresses: &[IpAddr]) -> Result<Option<Seen>, BeaconError> {
    let mut sets: BTreeMap<(Form, u8), Vec<Piece>> = BTreeMap::new();
    let mut problem = None;
    for piece in addresses.iter().filter_map(|address| pieces::piece(*address)) {
        if piece.version == VERSION {
            sets.entry((piece.form, piece.generation)).or_default().push(piece);
        } else {
            problem = Some((0, BeaconError::Version { found: piece.version }));
        }
    }
    let mut whole = Vec::new();
    for ((form, generation), set) in sets {
        match assemble(form, generation, &set) {
            Ok(fields) => whole.push(Seen { form, generation, fields }),
            // The fullest set has the most telling problem.
            Err(error) if problem.as_ref().is_none_or(|(count, _)| set.len() > *count) => {
                problem = Some((set.len(), error));
            }
            Err(_) => {}
        }
    }
    match (newest(whole), problem) {
        (Some(found), _) => found.map(Some),
        (None, Some((_, error))) => Err(error),
        (None, None) => Ok(None),
    }
}

fn assemble(form: Form, generation: u8, set: &[Piece]) -> Result<Fields, BeaconError> {
    let mut places: Vec<Option<&[u8]>> = vec![None; form.pieces()];
    for piece in set {
        let Some(place) = places.get_mut(piece.index) else { continue };
        if place.is_some_and(|bytes| bytes != piece.bytes) {
            return Err(BeaconError::Conflict { generation, index: piece.index });
        }
        *place = Some(&piece.bytes);
    }
    let (found, wanted) = (places.iter().flatten().count(), places.len());
    if found < wanted {
        return Err(BeaconError::Torn { generation, found, wanted });
    }
    let bytes: Vec<u8> = places.into_iter().flatten().flatten().copied().collect();
    frame::read(&bytes, form, generation).map_err(|error| match error {
        FrameError::Checksum => BeaconError::Checksum { generation },
        FrameError::Version(found) => BeaconError::Version { found },
        FrameError::Content => BeaconError::Content { generation },
    })
}

/// The one that is newer than all others, of one form; generations of two forms cannot be compared.
fn newest(mut whole: Vec<Seen>) -> Option<Result<Seen, BeaconError>> {
    if whole.is_empty() {
        return None;
    }
    let beats = |a: &Seen, b: &Seen| {
        a == b || a.form == b.form && pieces::is_newer(a.form, b.generation, a.generation)
    };
    let winner = (0..whole.len()).find(|index| whole.iter().all(|other| beats(&whole[*index], other)));
    Some(winner.map(|index| whole.swap_remove(index)).ok_or(BeaconError::Ambiguous))
}
