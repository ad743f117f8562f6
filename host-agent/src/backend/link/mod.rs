//! What the clients of remote hypervisors have in common: pinned servers, and how a connection can fail. Knows none of them.

mod calls;
mod failure;
mod fetch;
pub mod host_port;
mod patience;
pub mod pin;
pub mod tls;

pub use calls::{CallWatch, Calls};
pub use failure::{Failure, FailureKind};
pub use fetch::{FetchError, Presented, fetch_certificate, fetch_over};
pub use patience::{Patience, Retry};
