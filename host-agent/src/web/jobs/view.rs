//! Jobs as the pages show them. Pure; what guests and hypervisors say is escaped and cut here.

use firstlight_shared::text::escape;

use super::super::fleet::{detail, trusted};
use super::super::words::{Badge, Moment, badge, encoded, moment, span};
use super::action::{Action, offered};
use crate::bringup::{GuestView, JobLine, StepState, StepView};
use crate::outcome::Fault;

/// Characters of a line.
const LINE: usize = 400;
/// Lines of a console.
const CONSOLE: usize = 60;

/// One job of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct JobRow {
    /// Of the row's element.
    pub(in crate::web) id: String,
    pub(in crate::web) job: String,
    pub(in crate::web) href: String,
    pub(in crate::web) guest: String,
    pub(in crate::web) badge: Badge,
    pub(in crate::web) detail: String,
    pub(in crate::web) made: Moment,
    /// Empty: it has not ended.
    pub(in crate::web) took: String,
    pub(in crate::web) backend: String,
    /// It changes a guest that is there.
    pub(in crate::web) is_change: bool,
}

fn job_id(job: &str) -> String {
    format!("job-{}", encoded(job))
}

pub(in crate::web) fn job_row(line: &JobLine, now_ms: u64) -> JobRow {
    let is_change = line.change_of.is_some();
    let mut badge = badge(line.state);
    if is_change && badge.class == "good" {
        badge.word = "done";
    }
    JobRow {
        id: job_id(&line.id),
        job: escape(&line.id, 40),
        href: format!("/ui/jobs/{}", encoded(&line.id)),
        guest: escape(&line.guest, 80),
        badge,
        detail: detail(line),
        made: moment(line.created_at_ms, now_ms),
        took: line.ended_at_ms.map(|end| span(end.saturating_sub(line.created_at_ms))).unwrap_or_default(),
        backend: escape(&line.backend, 40),
        is_change,
    }
}

/// A fault with what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) badge: Badge,
    /// Empty: it has not begun, or is at work.
    pub(super) took: String,
    /// Retries, doubts, take-overs, and how it was undone, in words.
    pub(super) notes: Vec<String>,
    pub(super) fault: Option<Said>,
}

/// A job with everything.
#[derive(Debug, Clone)]
pub(super) struct JobView {
    pub(super) id: String,
    pub(super) guest: String,
    pub(super) badge: Badge,
    pub(super) step: String,
    pub(super) trust: &'static str,
    pub(super) trust_class: &'static str,
    pub(super) backend: String,
    pub(super) by: String,
    pub(super) made: Moment,
    pub(super) took: String,
    pub(super) addresses: String,
    pub(super) mac: String,
    pub(super) batch: String,
    pub(super) due: Option<Moment>,
    pub(super) ephemeral: bool,
    pub(super) asked: String,
    pub(super) change_of: String,
    pub(super) retry_of: String,
    pub(super) successor: String,
    /// It has begun: there is a page of it.
    pub(super) has_begun_anew: bool,
    pub(super) belongs_to: String,
    pub(super) failure: Option<Said>,
    pub(super) trouble: Option<Said>,
    pub(super) leftovers: Vec<String>,
    pub(super) steps: Vec<Step>,
    pub(super) console: Vec<String>,
    pub(super) actions: Vec<Action>,
    pub(super) others: Vec<JobRow>,
}

pub(super) fn job_view(job: GuestView, others: &[JobLine], now_ms: u64) -> JobView {
    let (trust, trust_class) = trusted(job.trust);
    let mut shown = badge(job.state);
    if job.change_of.is_some() && shown.class == "good" {
        shown.word = "done";
    }
    let addresses: Vec<String> = job.addresses.iter().take(20).map(ToString::to_string).collect();
    let skip = job.console_tail.len().saturating_sub(CONSOLE);
    JobView {
        actions: offered(&job),
        id: escape(&job.job, 40),
        guest: escape(&job.name, 80),
        badge: shown,
        step: if job.state.is_final() {
            String::new()
        } else {
            escape(job.step.as_deref().unwrap_or_default(), 80)
        },
        trust,
        trust_class,
        backend: escape(&job.backend, 40),
        by: escape(&job.by, 80),
        made: moment(job.created_at_ms, now_ms),
        took: job.ended_at_ms.map(|end| span(end.saturating_sub(job.created_at_ms))).unwrap_or_default(),
        addresses: addresses.join(", "),
        mac: job.mac.as_deref().map(|mac| escape(mac, 40)).unwrap_or_default(),
        batch: escape(&job.batch, 80),
        due: job.due_at_ms.map(|due| moment(due, now_ms)),
        ephemeral: job.ephemeral,
        asked: escape(job.asked.as_deref().unwrap_or_default(), 40),
        change_of: escape(job.change_of.as_deref().unwrap_or_default(), 40),
        retry_of: escape(job.retry_of.as_deref().unwrap_or_default(), 40),
        successor: escape(job.successor.as_deref().unwrap_or_default(), 40),
        has_begun_anew: job.state.is_gone()
            || others.iter().any(|other| job.successor.as_ref() == Some(&other.id)),
        belongs_to: escape(job.name_belongs_to.as_deref().unwrap_or_default(), 40),
        failure: job.failure.as_ref().map(said),
        trouble: job.trouble.as_ref().map(|trouble| said(&trouble.fault)),
        leftovers: job.leftovers.iter().take(50).map(|line| escape(line, LINE)).collect(),
        steps: job.steps.iter().map(step).collect(),
        console: job.console_tail.iter().skip(skip).map(|line| escape(line, LINE)).collect(),
        others: others.iter().map(|line| job_row(line, now_ms)).collect(),
    }
}

fn said(fault: &Fault) -> Said {
    Said {
        code: escape(&fault.code, 60),
        message: escape(&fault.message, 2 * LINE),
        hint: escape(fault.hint.as_deref().unwrap_or_default(), LINE),
    }
}

fn step(step: &StepView) -> Step {
    let (word, class) = match step.state {
        StepState::Pending => ("to come", "gone"),
        StepState::AtWork => ("at work", "busy"),
        StepState::Done => ("done", "good"),
        StepState::Failed => ("failed", "bad"),
        StepState::Undoing => ("being undone", "busy"),
        StepState::Undone => ("undone", "gone"),
    };
    let mut notes = Vec::new();
    let mut note = |counts: bool, text: String| {
        if counts {
            notes.push(text);
        }
    };
    note(step.attempts > 1, format!("tried {} times", step.attempts));
    note(step.doubts > 0, format!("in doubt {}", times(step.doubts)));
    note(step.doubt_since_ms.is_some(), "nobody knows yet whether it is done".to_owned());
    for companion in step.taken_over_by.iter().take(5) {
        note(true, format!("taken over by {}", escape(companion, 80)));
    }
    note(step.undo_failures > 0, format!("its undo failed {}", times(step.undo_failures)));
    if let Some(undo) = step.undo_duration_ms {
        note(true, format!("undone in {}", span(undo)));
    }
    for task in step.tasks.iter().rev().take(2).rev() {
        note(true, format!("task {}", escape(task, 120)));
    }
    Step {
        name: escape(&step.name, 60),
        badge: Badge { word, class },
        took: step.duration_ms.map(span).unwrap_or_default(),
        notes,
        fault: step.fault.as_ref().map(said),
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_tells_every_try_in_words() {
        let shown = step(&StepView {
            name: "start".into(),
            state: StepState::Undone,
            duration_ms: Some(1500),
            attempts: 3,
            doubts: 1,
            undo_failures: 2,
            undo_duration_ms: Some(40),
            taken_over_by: vec!["two".into()],
            tasks: (0..9).map(|number| format!("t{number}")).collect(),
            fault: Some(Fault::new("x", "\u{1b}[2J")),
            ..StepView::default()
        });
        assert_eq!((shown.badge.word, &*shown.took), ("undone", "1.5 s"));
        let wanted = [
            "tried 3 times",
            "in doubt once",
            "taken over by two",
            "its undo failed 2 times",
            "undone in 40 ms",
            "task t7",
            "task t8",
        ];
        assert_eq!(shown.notes, wanted);
        assert_eq!(shown.fault.unwrap().message, "\\u{1b}[2J");
    }
}
