//! The companion as a daemon: composes everything, tells the service manager, and ends it all in order.
//!
//! ```text
//! start -> ready -- SIGHUP --> reload --> ready
//!            |
//!         SIGTERM -> drain (no new claims, /readyz 503) -> stop (leases given back, connections ended) -> end
//! ```

mod companion;
mod error;
mod goldens;
mod ground;
mod heart;
mod hooks;
mod identity;
mod incus;
mod lock;
mod log;
mod metered;
mod notify;
mod pins;
mod policy;
mod process;
mod proxmox;
mod prune;
mod reports;
mod serve;
mod socket;

pub use companion::{Companion, Purpose};
pub use error::StartError;
pub use hooks::HookError;
pub use identity::ListenerIdentity;
pub use incus::{IncusError, incus_config};
pub use lock::StateLock;
pub use log::LogLevel;
pub use metered::Metered;
pub use pins::AuthorityError;
pub use policy::{PolicyError, policy};
pub use proxmox::{ProxmoxError, proxmox_config};
pub use serve::serve;
