//! What `golden lint` said of a golden, as the page shows it. Pure.

use firstlight_shared::text::escape;

use super::super::words::{Moment, moment};
use crate::store::GoldenVerdict;

/// Findings of a row.
const SHOWN: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lint {
    /// `2 errors, 1 warning`
    pub(super) word: String,
    /// The class that colours it.
    pub(super) class: &'static str,
    /// What is to be known with it, as sentences.
    pub(super) remarks: Vec<String>,
    pub(super) at: Option<Moment>,
    pub(super) findings: Vec<Found>,
    /// Findings that are not shown.
    pub(super) more: u64,
    /// What looks at it; empty: nothing is to be done.
    pub(super) command: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) severity: String,
    pub(super) rule: String,
    pub(super) path: String,
}

/// `mark`: what its newest guest was made of, where that is known.
pub(super) fn lint(
    verdict: Option<&GoldenVerdict>,
    backend: &str,
    golden: &str,
    mark: Option<&str>,
    now_ms: u64,
) -> Lint {
    let command = command(backend, golden);
    let Some(verdict) = verdict else {
        let (word, class) = ("not looked at".to_owned(), "none");
        return Lint { word, class, remarks: vec![], at: None, findings: vec![], more: 0, command };
    };
    let look = &verdict.look;
    let is_older = mark.is_some_and(|mark| mark != verdict.mark);
    let mut remarks = vec![match look.refused.as_deref() {
        Some(why) => escape(why, 300),
        None => format!("A {} for {}.", escape(&look.shape, 40), escape(&look.target, 40)),
    }];
    if look.incomplete && look.refused.is_none() {
        remarks
            .push("A part of it is in a format that is not read: nothing is proven about that.".to_owned());
    }
    if is_older {
        remarks.push("The golden was written anew since: this is of what it was.".to_owned());
    } else if mark.is_none() {
        remarks.push("Whether guests were made of the very same is not known.".to_owned());
    }
    let (word, class) = match look.refused {
        Some(_) => ("cannot be read".to_owned(), "text-bad"),
        None => (counts(verdict), class(verdict)),
    };
    let found = look.findings.iter().take(SHOWN).map(|finding| Found {
        severity: escape(&finding.severity, 20),
        rule: escape(&finding.rule, 60),
        path: escape(&finding.path, 200),
    });
    let findings: Vec<Found> = found.collect();
    let all = look.errors.saturating_add(look.warnings).saturating_add(look.notes);
    Lint {
        word,
        class: if is_older { "none" } else { class },
        remarks,
        at: Some(moment(verdict.at_ms, now_ms)),
        more: all.saturating_sub(u64::try_from(findings.len()).unwrap_or(0)),
        findings,
        command: if is_older { command } else { String::new() },
    }
}

fn counts(verdict: &GoldenVerdict) -> String {
    let look = &verdict.look;
    let said: Vec<String> = [(look.errors, "error"), (look.warnings, "warning"), (look.notes, "note")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
        .collect();
    match (said.is_empty(), look.incomplete) {
        (false, _) => said.join(", "),
        (true, false) => "nothing found".to_owned(),
        (true, true) => "nothing found in what is read".to_owned(),
    }
}

fn class(verdict: &GoldenVerdict) -> &'static str {
    match &verdict.look {
        look if look.errors > 0 => "text-bad",
        look if look.warnings > 0 || look.incomplete => "text-warn",
        _ => "text-good",
    }
}

/// For a shell; what is not plain is quoted.
fn command(backend: &str, golden: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,".contains(c);
    let quoted = |text: String| match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    };
    let told = match (backend, golden.starts_with('/')) {
        ("local", _) => format!("firstlight golden lint {} --record", quoted(golden.to_owned())),
        (_, true) => format!(
            "firstlight golden lint {} {}",
            quoted(golden.to_owned()),
            quoted(format!("--record={backend}:{golden}"))
        ),
        _ => format!("firstlight golden lint FILE {}", quoted(format!("--record={backend}:{golden}"))),
    };
    escape(&told, 600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{LintFinding, LintLook};

    fn verdict(errors: u64, warnings: u64, notes: u64) -> GoldenVerdict {
        let finding = |number| LintFinding {
            severity: "error".into(),
            rule: format!("rule-{number}"),
            path: "/\u{1b}[31m<b>".into(),
        };
        GoldenVerdict {
            backend: "local".into(),
            golden: "/g/a.tar".into(),
            mark: "9 bytes of 7".into(),
            at_ms: 1000,
            by: "companion".into(),
            look: LintLook {
                path: "/g/a.tar".into(),
                shape: "tar".into(),
                target: "local".into(),
                errors,
                warnings,
                notes,
                incomplete: false,
                refused: None,
                findings: (0..errors + warnings + notes).map(finding).collect(),
            },
        }
    }

    fn shown(verdict: &GoldenVerdict, mark: Option<&str>) -> Lint {
        lint(Some(verdict), "local", "/g/a.tar", mark, 2000)
    }

    #[test]
    fn a_verdict_has_its_words_and_its_colour() {
        let same = Some("9 bytes of 7");
        for (counts, word, class) in [
            ((0, 0, 0), "nothing found", "text-good"),
            ((0, 0, 2), "2 notes", "text-good"),
            ((0, 1, 1), "1 warning, 1 note", "text-warn"),
            ((13, 1, 0), "13 errors, 1 warning", "text-bad"),
        ] {
            let shown = shown(&verdict(counts.0, counts.1, counts.2), same);
            assert_eq!((shown.word.as_str(), shown.class), (word, class));
            assert!(shown.command.is_empty() && shown.remarks == ["A tar for local."], "{shown:?}");
        }
        let many = shown(&verdict(13, 1, 0), same);
        assert_eq!((many.findings.len(), many.more), (10, 4));
        assert_eq!(many.findings[0].path, "/\\u{1b}[31m<b>");
        let mut part = verdict(0, 0, 0);
        part.look.incomplete = true;
        assert_eq!(
            (shown(&part, same).word.as_str(), shown(&part, same).class),
            ("nothing found in what is read", "text-warn")
        );
        part.look.refused = Some("it ends too early".into());
        assert_eq!(
            (shown(&part, same).word.as_str(), shown(&part, same).class),
            ("cannot be read", "text-bad")
        );
    }

    #[test]
    fn what_was_written_anew_is_not_taken_for_proven() {
        let anew = shown(&verdict(0, 0, 0), Some("9 bytes of 8"));
        assert!(anew.class == "none" && anew.remarks[1].contains("written anew"), "{anew:?}");
        assert_eq!(anew.command, "firstlight golden lint /g/a.tar --record");
        let unknown = shown(&verdict(0, 0, 0), None);
        assert!(unknown.class == "text-good" && unknown.remarks[1].contains("not known"), "{unknown:?}");
        let never = lint(None, "local", "/g/a.tar", None, 0);
        assert_eq!((never.word.as_str(), never.class), ("not looked at", "none"));
    }

    #[test]
    fn the_command_names_the_golden_as_specs_do() {
        for (backend, golden, wanted) in [
            ("local", "/g/a b.tar", "firstlight golden lint '/g/a b.tar' --record"),
            (
                "proxmox",
                "local:backup/x.tar.zst",
                "firstlight golden lint FILE --record=proxmox:local:backup/x.tar.zst",
            ),
            ("incus", "/x.tar", "firstlight golden lint /x.tar --record=incus:/x.tar"),
            ("incus", "a'b", "firstlight golden lint FILE '--record=incus:a'\\''b'"),
            ("incus", "\u{202e}", "firstlight golden lint FILE '--record=incus:\\u{202e}'"),
        ] {
            assert_eq!(command(backend, golden), wanted);
        }
    }
}
