//! How the server is reached: its socket, or its address with pins, our certificate and a proxy.

mod address;
mod connection;
mod dial;
mod identity;
mod proxy;
mod remote;
mod token;

pub use address::{Address, AddressError};
pub use dial::present;
pub use identity::{ClientCertificate, IdentityError};
pub use proxy::{Proxy, ProxyError};
pub use remote::{Place, Server};
pub use token::{TokenError, TrustToken};

pub(super) use dial::Stream;
pub(super) use remote::Remote;
