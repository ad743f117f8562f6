//! The one saga: bring a guest up, or wait for one that somebody else made. Owns the steps and the service that submits, resumes and unwinds them.
//!
//! From the bottom: what there is (`spec`, `api`, `facts`, `service`), the `steps`, what operators ask for and look
//! at (`asks`, `looks`). Nobody here looks up.

mod api;
mod asks;
mod certify;
mod endpoints;
mod evidence;
mod facts;
mod hosts;
mod lives;
mod lookout;
mod looks;
mod sagas;
mod secrets;
mod service;
mod spec;
mod steps;
mod told;
mod waiters;
mod watch;

#[cfg(test)]
mod tests;

pub use api::{
    Applied, HookView, JobFilter, JobLine, JobPage, PlanAction, PlannedGuest, ReportFilter, ReportPage,
    ReportView, StepState, StepView, Submitted,
};
pub use asks::{SubmitError, WaitFor};
pub use certify::{Certifier, CertifyError, ForeignKey, ShownAuthority, no_authority};
pub use endpoints::{Endpoints, ServeReports};
pub use evidence::{EvidenceKey, Verified, VerifiedState};
pub use hosts::KnownHost;
pub use looks::{
    DuplicatePage, FleetLine, FleetPage, GuestView, Holder, InventoryHost, SecretView, SharedFilter,
    SharedIdentity, Summary, Told, VerdictRequest,
};
pub use secrets::SecretRules;
pub use service::{Bringups, Parts};
pub use spec::{Change, GuestSpec, SpecError, load_spec, parse_duration, parse_size, parse_span, parse_spec};
