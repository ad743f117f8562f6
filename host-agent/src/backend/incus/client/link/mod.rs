//! How the server is reached: its socket, or its address with pins, our certificate and a proxy.

mod connection;
mod dial;
mod identity;
mod proxy;
mod remote;
mod token;

use crate::backend::link::AddressForm;

pub use crate::backend::link::Address;
pub use dial::present;
pub use identity::{ClientCertificate, IdentityError};
pub use proxy::{Proxy, ProxyError};
pub use remote::{Place, Server};
pub use token::{TokenError, TrustToken};

pub(super) use dial::Stream;
pub(super) use remote::Remote;

/// Addresses of servers; the port is Incus' own default.
pub const SERVERS: AddressForm =
    AddressForm { port: 8443, wanted: "an Incus server: https://HOST or https://HOST:PORT" };
