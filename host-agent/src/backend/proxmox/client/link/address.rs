//! The address of one node's API.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::ServerName;

use crate::backend::link::host_port;

/// Proxmox's API server.
const PORT: u16 = 8006;

/// Any node of a cluster answers for all of them; the one that is asked about answers without a detour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a Proxmox node: HOST, HOST:PORT or https://HOST:PORT is wanted")]
pub struct AddressError(String);

impl Address {
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, AddressError> {
        ServerName::try_from(self.host.clone()).map_err(|_| AddressError(self.host.clone()))
    }

    /// `pve1` is also `pve1.example.org`.
    pub(super) fn is_node(&self, node: &str) -> bool {
        let rest = self.host.strip_prefix(node);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        host_port::write(f, &self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(firstlight_shared::text::escape(text, 120));
        let (host, port) = host_port::read(text, PORT).ok_or_else(wrong)?;
        let address = Self { host: host.to_owned(), port };
        address.server_name().map_err(|_| wrong())?;
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (text, shown) in [
            ("pve1", "pve1:8006"),
            ("https://pve1.example.org:8006/", "pve1.example.org:8006"),
            ("10.0.0.1:443", "10.0.0.1:443"),
            ("[fd00::1]:8006", "[fd00::1]:8006"),
            ("fd00::1", "[fd00::1]:8006"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for wrong in ["", "http://pve1", "pve1:x", "pve1:99999", "a b", "https://pve1/api2", "[fd00::1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        let address: Address = "pve1.example.org".parse().unwrap();
        assert!(address.is_node("pve1") && !address.is_node("pve") && !address.is_node("pve10"));
    }
}
