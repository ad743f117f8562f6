//! What operators look at: jobs, guests, reports, and what follows from them. Changes nothing.

mod duplicates;
mod endings;
mod fleet;
mod goldens;
mod hooks;
mod inventory;
mod lists;
mod timeline;
mod view;

pub use duplicates::{DuplicatePage, Holder, SharedFilter, SharedIdentity};
pub use endings::Told;
pub use fleet::{FleetLine, FleetPage};
pub use goldens::VerdictRequest;
pub use inventory::InventoryHost;
pub use view::{GuestView, SecretView, Summary};
