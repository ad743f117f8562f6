//! What took how long, longest first: what `firstlight blame` shows of a timeline. Pure.

use serde::{Deserialize, Serialize};

use super::timeline::{Outcome, Side, Span, SpanKind, Timeline};

/// What to blame. `firstlight blame --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    pub guest: String,
    /// From the request (or the guest's boot, where that was first) to the end of the bring-up, in milliseconds.
    pub length_ms: u64,
    /// Longest first.
    pub lines: Vec<BlameLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlameLine {
    pub side: Side,
    pub kind: SpanKind,
    pub name: String,
    /// What it is part of.
    pub of: Option<String>,
    /// Milliseconds after the beginning.
    pub starts_ms: u64,
    pub took_ms: u64,
    /// It has not ended.
    pub at_work: bool,
    pub failed: bool,
}

/// Of what has parts, the parts count, and so much of it as no part explains: waiting for a guest is told by the guest's own
/// boot, userspace by its units, a step that follows a task by the task.
pub fn blame(guest: &str, timeline: &Timeline) -> Blame {
    let spans = &timeline.spans;
    let of_guest = spans.iter().any(|span| span.side == Side::Guest && span.kind == SpanKind::Boot);
    let mut lines: Vec<BlameLine> = Vec::new();
    let mut parent: Option<&Span> = None;
    for (index, span) in spans.iter().enumerate() {
        if span.depth == 0 {
            parent = Some(span);
        }
        let parts = || spans[index + 1..].iter().take_while(|part| part.depth > span.depth);
        let explained = match span.kind {
            SpanKind::Mark => true,
            SpanKind::Wait => of_guest,
            SpanKind::Boot | SpanKind::Checks => parts().next().is_some(),
            SpanKind::Step | SpanKind::Undo => {
                let by_tasks: u64 = parts().filter_map(|part| part.took_ms).sum();
                // Asking and following take a moment beside a task.
                by_tasks > 0 && by_tasks.saturating_mul(2) > length(span, timeline)
            }
            _ => false,
        };
        if explained {
            continue;
        }
        lines.push(BlameLine {
            side: span.side,
            kind: span.kind,
            name: span.name.clone(),
            of: parent.filter(|_| span.depth > 0).map(|parent| parent.name.clone()),
            starts_ms: span.starts_ms,
            took_ms: length(span, timeline),
            at_work: span.took_ms.is_none(),
            failed: span.outcome == Outcome::Failed,
        });
    }
    lines.sort_by_key(|line| (std::cmp::Reverse(line.took_ms), line.starts_ms));
    Blame { guest: guest.to_owned(), length_ms: timeline.length_ms, lines }
}

fn length(span: &Span, timeline: &Timeline) -> u64 {
    span.ends_ms(timeline).saturating_sub(span.starts_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(side: Side, kind: SpanKind, name: &str, starts_ms: u64, took_ms: u64, depth: u8) -> Span {
        Span {
            side,
            kind,
            name: name.into(),
            starts_ms,
            took_ms: Some(took_ms),
            depth,
            outcome: Outcome::Done,
            retries: 0,
            detail: String::new(),
        }
    }

    #[test]
    fn what_has_parts_is_told_by_them() {
        use SpanKind::{Boot, Check, Checks, Mark, Queue, Step, Task, Unit, Wait};
        let spans = vec![
            span(Side::Host, Queue, "queue", 0, 10, 0),
            span(Side::Host, Step, "restore", 10, 1000, 0),
            span(Side::Hypervisor, Task, "UPID", 20, 980, 1),
            span(Side::Host, Step, "size", 1010, 300, 0),
            span(Side::Hypervisor, Task, "short", 1020, 20, 1),
            span(Side::Host, Mark, "taken over", 1300, 0, 0),
            span(Side::Host, Wait, "await-report", 1310, 3000, 0),
            span(Side::Guest, Boot, "userspace", 1400, 2500, 0),
            span(Side::Guest, Unit, "a.service", 1500, 2000, 1),
            span(Side::Guest, Checks, "checks", 3000, 900, 0),
            span(Side::Guest, Check, "sshd", 3000, 900, 1),
        ];
        let timeline = Timeline { length_ms: 4400, spans, ..Timeline::default() };
        let told = |timeline: &Timeline| -> Vec<String> {
            let lines = blame("web-01", timeline).lines;
            let of = |line: &BlameLine| line.of.clone().map(|of| format!(" of {of}")).unwrap_or_default();
            lines.iter().map(|line| format!("{} {}{}", line.took_ms, line.name, of(line))).collect()
        };
        assert_eq!(
            told(&timeline),
            [
                "2000 a.service of userspace",
                "980 UPID of restore",
                "900 sshd of checks",
                "300 size",
                "20 short of size",
                "10 queue"
            ]
        );
        // Without a word of the guest the wait is all there is.
        let host = Timeline { spans: timeline.spans[..7].to_vec(), ..timeline };
        assert_eq!(told(&host)[0], "3000 await-report");
    }
}
