//! Findings as lines for people.

use firstlight_shared::text::escape;

use super::super::render;
use crate::backend::findings::Findings;

/// A line of an answer, in characters: commands are to be copied whole.
const LINE: usize = 2000;

/// Of the terminal; None: there is none, and nothing is broken.
pub(super) fn columns() -> Option<usize> {
    let terminal = console::Term::stdout();
    terminal.features().is_attended().then(|| usize::from(terminal.size().1))
}

/// Before what was looked at: the state, and a space.
const STATE: usize = 9;
/// A column of reasons narrower than this is not worth having: they go below then.
const REASON: usize = 40;

/// Findings as lines, each with what to do below it. Commands are never broken: they are to be copied whole.
pub(super) fn shown(findings: &Findings, columns: Option<usize>) -> String {
    let width =
        findings.findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or(0).min(48);
    let beside = columns.is_none_or(|columns| columns >= STATE + width + 2 + REASON);
    let lead = if beside { STATE + width + 2 } else { STATE };
    let mut text = String::new();
    for finding in &findings.findings {
        let (state, what) = (finding.state.as_str(), render::safe(&finding.what));
        let lines = broken(&escape(&finding.why, LINE), columns.map(|columns| columns.saturating_sub(lead)));
        let mut lines = lines.iter();
        if beside {
            let first = lines.next().map_or("", String::as_str);
            text += &format!("{state:<8} {what:<width$}  {first}\n");
        } else {
            text += &format!("{state:<8} {what}\n");
        }
        for line in lines {
            text += &format!("{:lead$}{line}\n", "");
        }
        for line in &finding.fix {
            text += &format!("{:8}   {}\n", "", escape(line, LINE));
        }
    }
    text
}

/// At spaces, into lines of so many characters; a longer word has a line of its own.
fn broken(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::findings::{Finding, State};

    fn findings() -> Findings {
        let finding = |state, what: &str, why: &str, fix: &[&str]| Finding {
            state,
            what: what.to_owned(),
            why: why.to_owned(),
            fix: fix.iter().map(ToString::to_string).collect(),
        };
        let command = "pveum acl modify /vms --tokens 'firstlight@pve!host' --roles FirstlightGuests";
        Findings {
            findings: vec![
                finding(State::Ok, "pin", "1 key of nodes; they outlive the certificates", &[]),
                finding(
                    State::Fail,
                    "rights on /vms/100",
                    "VM.Allocate is missing (to make the guest)",
                    &[command],
                ),
            ],
        }
    }

    #[test]
    fn reasons_are_broken_in_their_column_and_go_below_where_it_is_narrow() {
        let wide = shown(&findings(), None);
        assert_eq!(
            wide,
            "ok       pin                 1 key of nodes; they outlive the certificates\n\
             fail     rights on /vms/100  VM.Allocate is missing (to make the guest)\n           \
             pveum acl modify /vms --tokens 'firstlight@pve!host' --roles FirstlightGuests\n"
        );
        assert_eq!(shown(&findings(), Some(200)), wide);
        assert!(
            shown(&findings(), Some(70)).starts_with(
                "ok       pin                 1 key of nodes; they outlive the\n                             certificates\nfail"
            ),
            "{}",
            shown(&findings(), Some(70))
        );
        let narrow = shown(&findings(), Some(40));
        assert!(
            narrow.starts_with(
                "ok       pin\n         1 key of nodes; they outlive\n         the certificates\nfail"
            ),
            "{narrow}"
        );
        assert!(
            narrow.contains("\n           pveum acl modify /vms --tokens 'firstlight@pve!host' --roles"),
            "{narrow}"
        );
    }
}
