//! The report page of one guest: a model that terminal, HTML export and web page all show, and the views of it.
//!
//! The model is pure: [`build()`] makes it of what the companion knows, [`gather()`] asks the companion for that. Everything
//! that came from a guest is escaped and cut when the model is made, so that no view has to think of it; HTML is escaped
//! once more by the template library.

mod blame;
mod bound;
mod build;
mod gather;
mod history;
mod host_keys;
pub mod html;
mod identity;
mod page;
mod randomart;
mod sections;
pub mod text;
mod timeline;
mod trust;
pub(crate) mod words;

pub use blame::{Blame, BlameLine, blame};
pub use build::{Sources, build};
pub use gather::gather;
pub use page::{
    CheckCounts, CheckLine, EvidenceLine, Fact, GuestReport, Head, HistoryLine, HostKeyCard, IdentityLine,
    IdentitySection, InterfaceLine, RefusalLine, SecretLine, TrustView, VERSION,
};
pub(crate) use timeline::timeline as timeline_of;
pub use timeline::{Join, JoinedBy, Outcome, Side, Span, SpanKind, Timeline};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
