//! What labels may say. Whatever is no constant of ours is made one, or looks like one.

use firstlight_shared::wire::Trust;
use prometheus_client::encoding::EncodeLabelSet;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PhaseLabel {
    pub phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    pub step: String,
    /// `succeeded`, `failed`, `uncertain`, `undone` or `undo-failed`.
    pub result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabel {
    pub step: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BackendLabel {
    pub backend: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndingLabels {
    pub backend: &'static str,
    pub ending: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct GuestLabels {
    pub backend: &'static str,
    pub state: &'static str,
    /// `none`: no report was taken.
    pub trust: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    pub backend: &'static str,
    pub method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallErrorLabels {
    pub backend: &'static str,
    pub code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// `taken`, or why it was refused.
    pub code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabel {
    pub operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeliveryLabels {
    /// `webhook:NAME`, as the configuration names it.
    pub target: String,
    /// `sent`, `failed`, `given-up` or `unwanted`.
    pub result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetLabel {
    pub target: String,
}

pub(super) fn trust(trust: Option<Trust>) -> &'static str {
    match trust {
        Some(Trust::Attested) => "attested",
        Some(Trust::Claimed) => "claimed",
        Some(Trust::Observed) => "observed",
        Some(Trust::Unverified) => "unverified",
        None => "none",
    }
}

/// Codes and steps are ours. Should a stranger's word ever come here, it does not get into a label.
pub(super) fn tame(word: &str) -> String {
    let is_ours = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !word.is_empty() && word.len() <= 40 && word.chars().all(is_ours) { word } else { "other" }.to_owned()
}
