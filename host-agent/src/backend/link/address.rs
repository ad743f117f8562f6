//! The address of a server, as people write it: HOST, HOST:PORT, https://HOST:PORT, with IPv6 in brackets or bare.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::{UdpSocket, lookup_host};

/// Shown as `HOST:PORT`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
}

/// How addresses of one kind of server are read.
#[derive(Debug)]
pub struct AddressForm {
    /// Where none is written.
    pub port: u16,
    /// What is said of anything else: whose address it is not, and what is wanted.
    pub wanted: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of {wanted} is wanted")]
pub struct AddressError {
    /// Escaped.
    text: String,
    wanted: &'static str,
}

impl AddressForm {
    /// # Errors
    /// It is no such address.
    pub fn read(&self, text: &str) -> Result<Address, AddressError> {
        let address = Address::read(text, self.port).filter(|address| address.server_name().is_ok());
        address.ok_or_else(|| AddressError {
            text: firstlight_shared::text::escape(text, 120),
            wanted: self.wanted,
        })
    }
}

impl Address {
    /// None: it is no address at all. Whether the host may be called so is open.
    pub fn read(text: &str, default: u16) -> Option<Self> {
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => match inner.split_once(']')? {
                (host, "") => (host, default),
                (host, port) => (host, port.strip_prefix(':')?.parse().ok()?),
            },
            None => match rest.split_once(':') {
                None => (rest, default),
                Some((_, port)) if port.contains(':') => (rest, default),
                Some((host, port)) => (host, port.parse().ok()?),
            },
        };
        Some(Self { host: host.to_owned(), port })
    }

    /// # Errors
    /// No host is called so.
    pub fn server_name(&self) -> Result<ServerName<'static>, InvalidDnsNameError> {
        ServerName::try_from(self.host.clone())
    }

    /// The address that this machine would have as a sender to that server. Nothing is sent.
    ///
    /// # Errors
    /// The host has no address, or no route leads to any.
    pub async fn own_address_towards(&self) -> std::io::Result<IpAddr> {
        let mut last = std::io::Error::other("the name has no address");
        for there in lookup_host((self.host.as_str(), self.port)).await? {
            let any: IpAddr = if there.is_ipv6() { [0_u16; 8].into() } else { [0_u8; 4].into() };
            let socket = match UdpSocket::bind((any, 0)).await {
                Ok(socket) => socket,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            match socket.connect(there).await {
                Ok(()) => return Ok(socket.local_addr()?.ip()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: AddressForm = AddressForm { port: 8006, wanted: "a node: HOST" };

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (text, shown) in [
            ("pve1", "pve1:8006"),
            ("https://pve1.example.org:8006/", "pve1.example.org:8006"),
            ("https://incus.example.org", "incus.example.org:8006"),
            ("10.0.0.1:443", "10.0.0.1:443"),
            ("https://10.0.0.1:443/", "10.0.0.1:443"),
            ("[fd00::1]:8006", "[fd00::1]:8006"),
            ("https://[fd00::1]:8443", "[fd00::1]:8443"),
            ("[fd00::1]", "[fd00::1]:8006"),
            ("fd00::1", "[fd00::1]:8006"),
        ] {
            assert_eq!(FORM.read(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "http://pve1", "pve1:x", "pve1:99999", "a b", "https://pve1/api2", "[fd00::1"] {
            assert!(FORM.read(wrong).is_err(), "{wrong}");
        }
        let error = FORM.read("\u{1b}[1m").unwrap_err().to_string();
        assert!(error.ends_with("` is not the address of a node: HOST is wanted"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }

    #[tokio::test]
    async fn our_own_address_is_the_one_that_leads_there() {
        let server = |host: &str| Address { host: host.to_owned(), port: 8006 };
        let own = server("127.0.0.1").own_address_towards().await.unwrap();
        assert_eq!(own.to_string(), "127.0.0.1");
        assert!(server("no-such-host.invalid").own_address_towards().await.is_err());
    }
}
