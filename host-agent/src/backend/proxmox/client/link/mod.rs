//! How the server is reached: addresses, pins, the token, connections that are kept.

mod address;
mod connection;
mod fetch;
mod gate;
mod nodes;
mod pin;
mod tls;
mod token;

pub use address::{Address, AddressError};
pub use fetch::{FetchError, Presented, fetch_certificate};
pub use pin::{Fingerprint, Pin, PinError};
pub use tls::WrongCertificate;
pub use token::{ApiToken, TokenError};

pub(super) use nodes::Nodes;
pub(super) use tls::connector;
