//! HTTP: the report listener, which can do nothing but take reports, and the operator's API on a unix socket.

mod api;
pub mod auth;
mod reports;

pub use api::{UpRequest, api_router};
pub use reports::serve_reports;
