//! What remote hypervisors have in common: addresses, pinned servers, how a connection can fail, where their guests report
//! to. Knows none of them.

mod address;
mod calls;
mod failure;
mod fetch;
mod patience;
pub mod pin;
mod reports;
pub mod tls;

pub use address::{Address, AddressError, AddressForm};
pub use calls::{CallWatch, Calls};
pub use failure::{Failure, FailureKind};
pub use fetch::{FetchError, Presented, fetch_certificate, fetch_over};
pub use patience::{Patience, Retry};
pub use reports::{Reports, nowhere_to_report};
