//! The beacon: what a guest says of itself in addresses on its `lo`, which a hypervisor lists without any network.
//!
//! This page is the specification, version 1. Bytes are in network order, bits are numbered from the highest.
//!
//! # Frame
//! | bytes | IPv6 form (70) | IPv4 form (30) |
//! |---|---|---|
//! | 1 | version (4 bits, 1), [`State`] (4 bits) | the same |
//! | 1 | kind of key (2 bits: 0 none, 1 host key, 2 ephemeral), [`Reason`] (6 bits) | the same |
//! | 32 / 12 | SHA-256 of the report's bytes, zero without a report | its first 96 bits |
//! | 32 / 12 | raw ed25519 public key that signs the report, zero without one | first 96 bits of the SHA-256 of it |
//! | 4 | checksum | checksum |
//!
//! Checksum: the first 32 bits of SHA-256 over `firstlight-beacon`, the form (one byte, 6 or 4), the generation (one
//! byte) and the frame before the checksum. It finds accidents. It proves nothing: the guest's root may set any
//! addresses; what binds is that the hypervisor lists them for *this* guest.
//!
//! # Addresses
//! IPv6, seven of them with prefix length 128: `fe80:5e11`, version (4 bits, 1), index (4 bits, 0 to 6), generation
//! (8 bits), ten bytes of the frame.
//!
//! IPv4, fifteen of them with prefix length 32: 127, a one bit, generation (3 bits), index (4 bits, 0 to 14), two
//! bytes of the frame. So none of them is in 127.0.0.0/16, where resolvers listen, and none is 127.255.255.255.
//!
//! # Reading
//! Take the guest's whole list in any order, with every other address that it has. A generation counts if all its
//! pieces are there, no two of them differ in the same place, and the checksum holds: pieces are never tried in
//! combinations. Of several that count the newest wins, where b is newer than a if b - a, modulo 256 (IPv6) or 8
//! (IPv4), is above zero and below the half; the guest raises a whole new generation before it removes the old one.
//! Where none counts, but pieces stand, the set is torn: look again.

mod decode;
mod frame;
mod pieces;
mod report;

pub use decode::{BeaconError, Seen, decode};
pub use pieces::{encode, free_generation, is_piece};

use ssh_key::PublicKey;
use ssh_key::public::KeyData;

/// The version that this code writes and reads.
pub const VERSION: u8 = 1;

/// How far the guest has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It has an identity of its own; whether it is ready is not known yet.
    IdentityDone,
    Ready,
    /// Identity verified, some required check did not pass.
    Degraded,
    /// The identity phase failed, sshd stays down; or no report could be made.
    Failed,
}

impl State {
    pub const ALL: [Self; 4] = [Self::IdentityDone, Self::Ready, Self::Degraded, Self::Failed];

    fn number(self) -> u8 {
        match self {
            Self::IdentityDone => 1,
            Self::Ready => 2,
            Self::Degraded => 3,
            Self::Failed => 4,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentityDone => "identity-done",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// Why a guest is degraded or failed. Numbers are never given to another reason; an unknown one reads as `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    None,
    /// Identity: no fresh host key could be made.
    NoHostKey,
    /// Identity: a host key of the golden is still there.
    GoldenHostKey,
    /// Identity: whether a host key of the golden is left cannot be told.
    HostKeysUnreadable,
    /// The identity phase left no outcome in this boot.
    NoOutcome,
    /// A required check did not pass.
    CheckFailed,
    /// The report could not be made or written.
    NoReport,
    Other,
}

impl Reason {
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::NoHostKey,
        Self::GoldenHostKey,
        Self::HostKeysUnreadable,
        Self::NoOutcome,
        Self::CheckFailed,
        Self::NoReport,
        Self::Other,
    ];

    fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::NoHostKey => 1,
            Self::GoldenHostKey => 2,
            Self::HostKeysUnreadable => 3,
            Self::NoOutcome => 4,
            Self::CheckFailed => 5,
            Self::NoReport => 6,
            Self::Other => 63,
        }
    }

    /// The guest's own word for it, as `code` of its errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NoHostKey => "no-host-key",
            Self::GoldenHostKey => "golden-host-key",
            Self::HostKeysUnreadable => "host-keys-unreadable",
            Self::NoOutcome => "no-outcome",
            Self::CheckFailed => "check-failed",
            Self::NoReport => "no-report",
            Self::Other => "other",
        }
    }

    /// The reason with this code; `Other` if the table has none.
    pub fn of_code(code: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == code).unwrap_or(Self::Other)
    }
}

/// The raw ed25519 public key that signs the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// It is the guest's ed25519 host key.
    Host([u8; 32]),
    /// It was made for one report and is no host key.
    Ephemeral([u8; 32]),
}

impl Key {
    /// None if it is no ed25519 key.
    pub fn host(key: &PublicKey) -> Option<Self> {
        raw(key).map(Self::Host)
    }

    /// None if it is no ed25519 key.
    pub fn ephemeral(key: &PublicKey) -> Option<Self> {
        raw(key).map(Self::Ephemeral)
    }
}

fn raw(key: &PublicKey) -> Option<[u8; 32]> {
    match key.key_data() {
        KeyData::Ed25519(key) => Some(key.0),
        _ => None,
    }
}

/// What a guest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Beacon {
    pub state: State,
    pub reason: Reason,
    /// SHA-256 of the report's bytes, once there is one.
    pub report: Option<[u8; 32]>,
    pub key: Option<Key>,
}

/// Which addresses carry the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    Ipv6,
    /// Where IPv6 is off: digests are shortened to 96 bits and the key itself is not in it.
    Ipv4,
}

impl Form {
    /// Number of addresses.
    pub fn pieces(self) -> usize {
        match self {
            Self::Ipv6 => 7,
            Self::Ipv4 => 15,
        }
    }

    /// Length of the prefix of each address.
    pub fn prefix(self) -> u8 {
        match self {
            Self::Ipv6 => 128,
            Self::Ipv4 => 32,
        }
    }

    /// Bytes of the frame in one address.
    fn piece(self) -> usize {
        match self {
            Self::Ipv6 => 10,
            Self::Ipv4 => 2,
        }
    }

    /// Bytes of a digest, and of the key.
    fn digest(self) -> usize {
        match self {
            Self::Ipv6 => 32,
            Self::Ipv4 => 12,
        }
    }

    /// Generations wrap around at this number.
    fn generations(self) -> u16 {
        match self {
            Self::Ipv6 => 256,
            Self::Ipv4 => 8,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Ipv6 => 6,
            Self::Ipv4 => 4,
        }
    }
}

#[cfg(test)]
mod tests;
