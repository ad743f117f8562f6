//! The one saga: bring a guest up, or wait for one that somebody else made. Owns the steps and the service that submits, resumes and unwinds them.

mod api;
mod budget;
mod certify;
mod change;
mod decide;
mod duplicates;
mod endings;
mod endpoints;
mod evidence;
mod fleet;
mod goldens;
mod hooks;
mod inventory;
mod lists;
mod lives;
mod lookout;
mod requests;
mod sagas;
mod secrets;
mod service;
mod spec;
mod steps;
mod submit;
mod timeline;
mod told;
mod view;
mod wait;
mod waiters;
mod watch;

#[cfg(test)]
mod tests;

pub use api::{
    Applied, JobFilter, JobLine, JobPage, PlanAction, PlannedGuest, ReportFilter, ReportPage, StepState,
    StepView, Submitted,
};
pub use certify::{Certifier, CertifyError, ForeignKey, ShownAuthority, no_authority};
pub use change::Change;
pub use duplicates::{DuplicatePage, Holder, SharedFilter, SharedIdentity};
pub use endings::Told;
pub use endpoints::{Endpoints, ServeReports};
pub use evidence::{EvidenceKey, Verified, VerifiedState};
pub use fleet::{FleetLine, FleetPage};
pub use goldens::VerdictRequest;
pub use hooks::HookView;
pub use inventory::InventoryHost;
pub use secrets::SecretRules;
pub use service::{Bringups, Parts};
pub use spec::{GuestSpec, SpecError, load_spec, parse_duration, parse_size, parse_span, parse_spec};
pub use submit::SubmitError;
pub use view::{GuestView, KnownHost, ReportView, SecretView, Summary};
pub use wait::WaitFor;
