//! What became of the golden's identity: one line for each thing, before and after.

use firstlight_shared::wire::{Decision, HostKey, Identity, ItemAction, MachineIdOutcome, MachineIdState};
use firstlight_shared::wire::{Prediction, PredictionSource};
use serde::Serialize;

use super::bound::{self, Cuts};
use super::page::{HostKeyCard, IdentityLine, IdentitySection};

const KEYS: usize = 20;
const ITEMS: usize = 100;
const TEXTS: usize = 50;

pub(super) fn section(identity: &Identity, cards: &[HostKeyCard], cuts: &mut Cuts) -> IdentitySection {
    let mut lines = vec![machine_id(&identity.machine_id), hostname(identity)];
    let removed = cuts.first("removed host keys", &identity.removed_host_keys, KEYS);
    lines.extend(removed.iter().map(|fingerprint| {
        let before = bound::word(fingerprint);
        line("ssh-host-key", &before, "", "removed", true)
    }));
    let kept = removed.is_empty() && !matches!(identity.decision, Decision::Renew);
    lines.extend(cards.iter().map(|card| {
        let after = format!("{} {}", card.fingerprint, card.family);
        if card.contradicts {
            return line("ssh-host-key", "", &after, "its fingerprint is not the key's", false);
        }
        line("ssh-host-key", "", &after, if kept { "in place" } else { "new" }, true)
    }));
    lines.extend(cuts.first("identity items", &identity.items, ITEMS).iter().map(|item| {
        let (how, ok) = match item.action {
            ItemAction::Renewed => ("renewed", true),
            ItemAction::Found => ("found, and left", true),
            ItemAction::Failed => ("could not be renewed", false),
        };
        line(&bound::word(&item.item), &bound::line(&item.detail), "", how, ok)
    }));
    let texts = |texts: &[String]| texts.iter().map(|text| bound::line(text)).collect();
    IdentitySection {
        decision: word(&identity.decision),
        reason: bound::line(&identity.reason),
        lines,
        pending: texts(cuts.first("pending items", &identity.pending, TEXTS)),
        problems: texts(cuts.first("problems", &identity.problems, TEXTS)),
        reboot_required: identity.machine_id.reboot_required,
    }
}

/// The word that the wire has for it.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

pub(super) fn keys<'a>(keys: &'a [HostKey], cuts: &mut Cuts) -> &'a [HostKey] {
    cuts.first("host keys", keys, KEYS)
}

fn machine_id(outcome: &MachineIdOutcome) -> IdentityLine {
    let after = outcome.derived.map(|id| format!("{id} (derived)")).unwrap_or_default();
    let (before, how) = match outcome.state {
        MachineIdState::Fresh => ("none", "made in this boot"),
        MachineIdState::Kept => ("the same", "kept"),
        MachineIdState::Renewed => ("the golden's, or another machine's", "renewed"),
        MachineIdState::Invalid => ("", "invalid, and none could be made"),
    };
    let predicted = outcome.prediction.as_ref().map(predicted).unwrap_or_default();
    let reboot = if outcome.reboot_required { "; used by PID 1 after the next boot" } else { "" };
    let ok = outcome.state != MachineIdState::Invalid
        && outcome.prediction.as_ref().is_none_or(|prediction| prediction.holds);
    line("machine-id", before, &after, &format!("{how}{predicted}{reboot}"), ok)
}

fn predicted(prediction: &Prediction) -> String {
    let source = match prediction.source {
        PredictionSource::Claim => "the claim",
        PredictionSource::ContainerUuid => "the container's uuid",
        PredictionSource::ProductUuid => "the machine's SMBIOS uuid",
    };
    let holds = if prediction.holds { "as" } else { "not as" };
    format!(", {holds} {source} says")
}

fn hostname(identity: &Identity) -> IdentityLine {
    let hostname = &identity.hostname;
    let how = match (&hostname.expected, hostname.ok) {
        (Some(_), true) => "as expected".to_owned(),
        (None, true) => "its own".to_owned(),
        (Some(expected), false) => format!("{} was expected", bound::word(expected)),
        (None, false) => "not its own".to_owned(),
    };
    line("hostname", "", &bound::word(&hostname.current), &how, hostname.ok)
}

fn line(item: &str, before: &str, after: &str, how: &str, ok: bool) -> IdentityLine {
    IdentityLine {
        item: item.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
        how: how.to_owned(),
        ok,
    }
}
