//! HTTP: the report listener, which can do nothing but take reports, and the operator's API.

pub mod api;
pub mod auth;
mod reports;

pub use api::{api_document, api_router};
pub use reports::serve_reports;
