//! Identities as types: never a bare string where a MAC, a machine-id or a guest's name is meant.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Why a text is not the id that it should be. The message says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("`{0}` is not a MAC address: six pairs of hexadecimal digits joined by colons are wanted")]
    Mac(String),
    #[error("`{0}` is not a machine-id: 32 hexadecimal digits, not all zero, are wanted")]
    MachineId(String),
    #[error(
        "`{0}` is not a host name: 1 to 63 of a-z, 0-9 and `-` are wanted, beginning and ending with a letter or digit"
    )]
    GuestName(String),
}

macro_rules! text_form {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

/// A 48-bit Ethernet address, shown in lower case with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);
text_form!(MacAddress);

impl MacAddress {
    /// A locally administered unicast address with the given prefix; the rest is the caller's random choice.
    pub fn local(prefix: [u8; 3], random: [u8; 3]) -> Self {
        let [a, b, c] = prefix;
        let [d, e, f] = random;
        Self([(a | 0x02) & 0xfe, b, c, d, e, f])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::Mac(text.to_owned());
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(wrong)?;
            hex::decode_to_slice(part, std::slice::from_mut(byte)).map_err(|_| wrong())?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Self(bytes)) }
    }
}

/// The raw machine-id(5). It never leaves the guest: `Debug` hides it, and there is no serde for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MachineId([u8; 16]);

/// Firstlight's application id for [`MachineId::derived`], made once with `systemd-id128 new`.
pub const APPLICATION_ID: [u8; 16] =
    [0x6e, 0x1b, 0x5c, 0x0f, 0x7d, 0x1a, 0x4c, 0x52, 0x9f, 0x3e, 0x5e, 0x11, 0xa2, 0x68, 0xd4, 0x07];

impl MachineId {
    /// From 16 random bytes, with the version and variant bits of a v4 UUID as machine-id(5) asks.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(v4(bytes))
    }

    /// HMAC-SHA256 keyed by the machine-id over the application id, cut to 16 bytes, as v4 UUID: what
    /// `sd_id128_get_machine_app_specific()` gives. Enough to find duplicates, of no use to forge the id itself.
    pub fn derived(&self) -> DerivedMachineId {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(&APPLICATION_ID);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut cut = [0u8; 16];
        cut.copy_from_slice(&full[..16]);
        DerivedMachineId(v4(cut))
    }

    /// The 32 hexadecimal digits as they stand in /etc/machine-id, without line end.
    pub fn expose(&self) -> String {
        hex::encode(self.0)
    }
}

fn v4(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

impl fmt::Debug for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineId(hidden)")
    }
}

impl FromStr for MachineId {
    type Err = IdError;
    /// Takes the plain form and the UUID form with dashes (as in `container_uuid`).
    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let mut bytes = [0u8; 16];
        match hex::decode_to_slice(&digits, &mut bytes) {
            Ok(()) if bytes != [0; 16] => Ok(Self(bytes)),
            _ => Err(IdError::MachineId(format!("{} characters", text.chars().count()))),
        }
    }
}

/// What may be told of a machine-id: see [`MachineId::derived`]. 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DerivedMachineId([u8; 16]);
text_form!(DerivedMachineId);

impl fmt::Display for DerivedMachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for DerivedMachineId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0u8; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::MachineId(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

/// A guest's name: one DNS label in lower case, so that it serves as host name everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestName(String);
text_form!(GuestName);

impl GuestName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GuestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GuestName {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = (1..=63).contains(&text.len())
            && text.chars().all(|c| inner(c) || c == '-')
            && text.starts_with(inner)
            && text.ends_with(inner);
        if fits { Ok(Self(text.to_owned())) } else { Err(IdError::GuestName(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_parse_strictly_and_show_in_lower_case() {
        assert_eq!("02:11:22:AA:bb:cc".parse::<MacAddress>().unwrap().to_string(), "02:11:22:aa:bb:cc");
        for wrong in [
            "",
            "02:11:22:aa:bb",
            "02:11:22:aa:bb:cc:dd",
            "2:11:22:aa:bb:cc",
            "+2:11:22:aa:bb:cc",
            "02-11-22-aa-bb-cc",
        ] {
            assert!(wrong.parse::<MacAddress>().is_err(), "{wrong}");
        }
        assert_eq!(MacAddress::local([0xbd, 0x24, 0x11], [1, 2, 3]).0[0] & 0x03, 0x02);
    }

    /// The expected value was printed by `systemd-id128 machine-id --app-specific=6e1b5c0f7d1a4c529f3e5e11a268d407`.
    #[test]
    fn derivation_is_systemds() {
        let id: MachineId = "7be07251d7584360bfa20bcb52311efb".parse().unwrap();
        assert_eq!(id.derived().to_string(), "9a6548b8a4034ed2a72d62da6f19aa08");
    }

    #[test]
    fn machine_ids_take_both_forms_and_never_zero() {
        let id: MachineId = "7be07251-d758-4360-bfa2-0bcb52311efb".parse().unwrap();
        assert_eq!(id.expose(), "7be07251d7584360bfa20bcb52311efb");
        assert_eq!(format!("{id:?}"), "MachineId(hidden)");
        for wrong in ["", "uninitialized", "00000000000000000000000000000000", "7be0"] {
            assert!(wrong.parse::<MachineId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn guest_names_are_dns_labels() {
        for right in ["a", "web-01", "0x", &"a".repeat(63)] {
            assert!(right.parse::<GuestName>().is_ok(), "{right}");
        }
        for wrong in ["", "-a", "a-", "Web", "a.b", "a_b", "a\n", "../x", &"a".repeat(64)] {
            assert!(wrong.parse::<GuestName>().is_err(), "{wrong}");
        }
    }
}
