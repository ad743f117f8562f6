//! How the server is reached: addresses, pins, the token, connections that are kept.

mod connection;
mod gate;
mod nodes;
mod token;

use crate::backend::link::AddressForm;

pub use token::{ApiToken, TokenError};

pub use crate::backend::link::Address;
pub use crate::backend::link::pin::{Fingerprint, Pin, PinError};
pub use crate::backend::link::tls::WrongCertificate;
pub(super) use nodes::Nodes;

/// Addresses of nodes. Any node of a cluster answers for all of them; the one that is asked about answers without a detour.
pub const NODES: AddressForm =
    AddressForm { port: 8006, wanted: "a Proxmox node: HOST, HOST:PORT or https://HOST:PORT" };
