//! The address of a server's API.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::ServerName;

use crate::backend::link::host_port;

/// Incus' own default.
const PORT: u16 = 8443;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of an Incus server: https://HOST or https://HOST:PORT is wanted")]
pub struct AddressError(String);

impl Address {
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, AddressError> {
        ServerName::try_from(self.host.clone()).map_err(|_| AddressError(self.host.clone()))
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
            ("https://incus.example.org", "incus.example.org:8443"),
            ("https://10.0.0.1:443/", "10.0.0.1:443"),
            ("https://[fd00::1]:8443", "[fd00::1]:8443"),
            ("incus", "incus:8443"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for wrong in ["", "http://incus", "https://incus/1.0", "https://incus:x", "a b"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
