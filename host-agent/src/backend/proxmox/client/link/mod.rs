//! How the server is reached: addresses, pins, the token, connections that are kept.

mod address;
mod connection;
mod gate;
mod nodes;
mod token;

pub use address::{Address, AddressError};
pub use token::{ApiToken, TokenError};

pub use crate::backend::link::pin::{Fingerprint, Pin, PinError};
pub use crate::backend::link::tls::WrongCertificate;
pub(super) use nodes::Nodes;
