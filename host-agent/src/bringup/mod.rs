//! The one saga: bring a guest up. Owns the steps and the service that submits, resumes and unwinds them.

mod api;
mod decide;
mod driver;
mod endpoints;
mod service;
mod spec;
mod steps;
mod view;

pub use api::{
    Applied, JobFilter, JobLine, JobPage, PlanAction, PlannedGuest, ReportFilter, ReportPage, StepState,
    StepView, Submitted,
};
pub use endpoints::{Endpoints, ServeReports};
pub use service::{Bringups, Parts, SubmitError};
pub use spec::{GuestSpec, SpecError, load_spec, parse_spec};
pub use view::{GuestView, KnownHost, ReportView, Summary};
