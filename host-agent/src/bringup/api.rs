//! What the operator's API asks of bring-ups and gets: plain values, ready for JSON.

use firstlight_shared::wire::{Report, Trust};
use serde::{Deserialize, Serialize};

use crate::backend::Trouble;
use crate::job::Phase;
use crate::outcome::Fault;
pub use crate::store::{JobFilter, ReportFilter};
use crate::store::{Refused, StoredEvidence};

/// What became of one guest of a spec that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Submitted {
    pub guest: String,
    /// The job to follow.
    pub job: String,
    pub action: Applied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Applied {
    /// A new job was made.
    Created,
    /// The guest is there already, just as the spec wants it: nothing was done.
    Unchanged,
    /// A job for just this is at work already: nothing was done.
    Joined,
}

/// What applying the spec would do for one guest. Looking changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedGuest {
    pub guest: String,
    pub action: PlanAction,
    /// The job that has this name now.
    pub job: Option<String>,
    /// Where the guest's job and the spec differ, as `field: there -> wanted`.
    pub differences: Vec<String>,
    /// Why it could not be done now; with any of these `up` is refused.
    pub problems: Vec<Fault>,
    /// The steps that would be taken; none if nothing is to be done.
    pub steps: Vec<String>,
    /// What the bring-up takes a place of, as `kind:name`.
    pub resources: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlanAction {
    Create,
    Unchanged,
    InProgress,
    Conflict,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobPage {
    pub jobs: Vec<JobLine>,
    /// Give it as `before` for the next page; none: this is the last one.
    pub next: Option<String>,
}

/// One job in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobLine {
    pub id: String,
    pub guest: String,
    pub backend: String,
    pub batch: String,
    pub state: Phase,
    /// The step at work, or where it failed.
    pub step: Option<String>,
    #[schema(value_type = Option<String>, example = "attested")]
    pub trust: Option<Trust>,
    pub failure: Option<Fault>,
    /// Of a queued job: what it waits for.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// Of a job at work: what keeps it from going on, and is tried again.
    #[serde(default)]
    pub trouble: Option<Trouble>,
    /// The job whose guest this one changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_of: Option<String>,
    /// When the guest is destroyed, unless somebody keeps it.
    #[serde(default)]
    pub due_at_ms: Option<u64>,
    /// The guest is gone once it stops.
    #[serde(default)]
    pub ephemeral: bool,
    pub created_at_ms: u64,
    pub ended_at_ms: Option<u64>,
}

/// A report that was taken.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ReportView {
    pub sha256: String,
    pub guest: String,
    pub job: String,
    pub claim_id: String,
    pub received_at_ms: u64,
    pub source: String,
    #[schema(value_type = String, example = "attested")]
    pub trust: Trust,
    #[schema(value_type = Object)]
    pub report: Report,
}

/// Reports that were taken and reports that were not.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReportPage {
    pub reports: Vec<ReportView>,
    pub refusals: Vec<Refused>,
    /// Evidence of guests that were verified anew, newest first; on the first page only.
    pub evidence: Vec<StoredEvidence>,
    /// Give it as `before` for the next page; none: this is the last one.
    pub next: Option<String>,
}

/// One step of a job as a timeline shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepView {
    pub name: String,
    pub state: StepState,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: Option<u64>,
    /// From its (last) start to its end.
    pub duration_ms: Option<u64>,
    /// How often it was begun.
    pub attempts: u32,
    /// How often nobody knew whether it had been done.
    pub doubts: u32,
    /// Since when nobody knows whether it is done, or undone. Milliseconds since the Unix epoch.
    #[serde(default)]
    pub doubt_since_ms: Option<u64>,
    /// Remote tasks, oldest first.
    pub tasks: Vec<String>,
    /// Of a step that waited: when the hypervisor's word that the guest is ready woke it. None: something else came first.
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub told_at_ms: Option<u64>,
    /// From the first attempt to undo it until it was undone.
    pub undo_duration_ms: Option<u64>,
    /// Attempts to undo it that did not succeed.
    pub undo_failures: u32,
    /// Companions that took the job over while it stood at this step.
    pub taken_over_by: Vec<String>,
    /// What went wrong last.
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    #[default]
    Pending,
    AtWork,
    Done,
    Failed,
    Undoing,
    Undone,
}

/// A webhook of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HookView {
    pub name: String,
    /// Without a query, which may hold a secret.
    pub url: String,
    /// What it is told: `ready`, `failed` and so on.
    pub events: Vec<String>,
    /// Messages on their way.
    #[serde(default)]
    pub waiting: u64,
    #[serde(default)]
    pub sent: u64,
    /// Messages that were not taken for three days.
    #[serde(default)]
    pub given_up: u64,
}
