//! HTTP: the report listener, which can do nothing but take reports, and the operator's API behind its gate.

pub mod api;
pub mod auth;
mod crowd;
mod gate;
mod health;
mod listen;
mod places;
mod reports;
pub mod session;
mod share;
mod slow;
pub mod visit;

pub use api::{api_document, api_router};
pub use gate::{Gate, Policy, Tls};
pub use health::{Condition, Health, health_router};
pub use listen::{serve_socket, serve_tls};
#[cfg(feature = "fuzzing")]
pub(crate) use reports::fuzz::talk as fuzz_report_listener;
pub use reports::serve_reports;
