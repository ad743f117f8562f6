//! A real browser for tests: Debian's Chromium, driven over WebDriver.
//!
//! The driver listens on loopback and speaks JSON over HTTP; what the tests need of it is a dozen requests, so there is no
//! client library, and no second stack of HTTP or TLS comes with one.

mod driver;
mod page;
mod wire;

pub use driver::Driver;
pub use page::{Browser, Key, Look};
