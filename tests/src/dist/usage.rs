//! The guest's manual page and completions, made of its help, which is read where it is written: a program of another
//! machine cannot be asked.

use std::fs;

use anyhow::{Context, Result};

use crate::paths;

/// A line of the help and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    term: String,
    text: String,
}

/// The help in parts.
#[derive(Debug)]
pub(super) struct Usage {
    title: String,
    synopsis: String,
    /// Heads, without the colon, and their rows.
    sections: Vec<(String, Vec<Row>)>,
}

impl Usage {
    pub(super) fn of_guest() -> Result<Self> {
        let source = fs::read_to_string(paths::root().join("guest-agent/src/cli.rs"))?;
        let help = source
            .split_once("const USAGE: &str = \"\\\n")
            .and_then(|(_, rest)| rest.split_once("\";"))
            .map(|(help, _)| help);
        Self::read(help.context("guest-agent/src/cli.rs has no USAGE")?)
            .context("USAGE has no title or synopsis")
    }

    fn read(help: &str) -> Option<Self> {
        let mut lines = help.lines();
        let title = lines.next()?.split_once(": ")?.1.to_owned();
        let synopsis = lines.find_map(|line| line.strip_prefix("Usage: "))?.to_owned();
        let mut sections: Vec<(String, Vec<Row>)> = Vec::new();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            if !line.starts_with(' ') {
                sections.push((line.trim_end_matches(':').to_owned(), Vec::new()));
                continue;
            }
            let (_, rows) = sections.last_mut()?;
            let begins = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
            match (begins, rows.last_mut()) {
                (Some(rest), _) => {
                    let (term, text) = rest.split_once("  ").unwrap_or((rest, ""));
                    rows.push(Row { term: term.to_owned(), text: text.trim().to_owned() });
                }
                // A term over two lines; the text begins on the second.
                (None, Some(row)) if row.text.is_empty() => {
                    let (term, text) = line.trim().split_once("  ").unwrap_or(("", line.trim()));
                    row.term = format!("{} {term}", row.term).trim().to_owned();
                    row.text = text.trim().to_owned();
                }
                (None, Some(row)) => row.text = format!("{} {}", row.text, line.trim()),
                (None, None) => return None,
            }
        }
        Some(Self { title, synopsis, sections })
    }

    fn rows(&self, head: &str) -> &[Row] {
        self.sections.iter().find(|(found, _)| found == head).map_or(&[], |(_, rows)| rows)
    }

    /// Names of the commands, and what they do.
    fn commands(&self) -> Vec<(&str, &str)> {
        let name = |row: &'_ Row| row.term.split(' ').next().unwrap_or_default().len();
        self.rows("Commands").iter().map(|row| (&row.term[..name(row)], row.text.as_str())).collect()
    }

    /// Every `--option` of a command or of all.
    fn options(&self) -> Vec<&str> {
        let terms =
            ["Commands", "Options"].into_iter().flat_map(|head| self.rows(head)).map(|row| row.term.as_str());
        let words = terms.flat_map(|term| term.split([' ', '[', ']', ',', '|']));
        let mut found: Vec<&str> = words.filter(|word| word.starts_with("--") && word.len() > 2).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The page in section 8.
    pub(super) fn page(&self, version: &str) -> String {
        let mut page = format!(
            ".TH FIRSTLIGHT\\-GUEST 8 \"\" \"firstlight\\-guest {version}\" \"System Administration\"\n.SH NAME\n\
             firstlight\\-guest \\- {}\n.SH SYNOPSIS\n.B {}\n",
            roff(&self.title),
            roff(&self.synopsis)
        );
        for (head, rows) in &self.sections {
            page.push_str(&format!(".SH {}\n", roff(&head.to_uppercase())));
            for row in rows {
                page.push_str(&format!(".TP\n.B {}\n{}\n", roff(&row.term), roff(&row.text)));
            }
        }
        page.push_str(
            ".SH FILES\n.TP\n.I /etc/firstlight/guest.toml\nWhat differs from the defaults.\n.TP\n\
             .I /etc/firstlight/checks.d/*.toml\nReadiness checks.\n.TP\n.I /var/lib/firstlight\n\
             The stamp: which machine this is.\n.SH SEE ALSO\n/usr/share/doc/firstlight\\-guest/\n",
        );
        page
    }

    pub(super) fn bash(&self) -> String {
        let commands = self.commands();
        let names: Vec<&str> = commands.iter().map(|(name, _)| *name).collect();
        let words = [names, self.options()].concat().join(" ");
        format!("complete -W \"{words}\" firstlight-guest\n")
    }

    pub(super) fn zsh(&self) -> String {
        let commands = self.commands();
        let names: Vec<&str> = commands.iter().map(|(name, _)| *name).collect();
        let options = self.options().join(" ");
        format!("#compdef firstlight-guest\ncompadd -- {} {options}\n", names.join(" "))
    }

    pub(super) fn fish(&self) -> String {
        let mut script = String::from("complete -c firstlight-guest -f\n");
        for (name, text) in self.commands() {
            let text = text.replace('\\', "\\\\").replace('\'', "\\'");
            let text: String = text.chars().take(60).collect();
            script.push_str(&format!(
                "complete -c firstlight-guest -n __fish_use_subcommand -a {name} -d '{text}'\n"
            ));
        }
        for option in self.options() {
            script.push_str(&format!("complete -c firstlight-guest -l {}\n", &option[2..]));
        }
        script
    }
}

/// Text as roff takes it: no line of it is a request.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "it: does things\n\nUsage: it [--root DIR] COMMAND\n\nCommands:\n  one [--json]      first\n                    and more\n  \
                        two [--a]\n      [--b]   second\n\nOptions:\n  --root DIR        a root\n  -h, --help        this\n\nExit codes:\n  0  done\n";

    #[test]
    fn a_help_is_read_by_its_heads_and_columns() {
        let usage = Usage::read(HELP).unwrap();
        assert_eq!(
            (usage.title.as_str(), usage.synopsis.as_str()),
            ("does things", "it [--root DIR] COMMAND")
        );
        assert_eq!(usage.commands(), [("one", "first and more"), ("two", "second")]);
        assert_eq!(usage.rows("Commands")[1].term, "two [--a] [--b]");
        assert_eq!(usage.options(), ["--a", "--b", "--help", "--json", "--root"]);
        assert!(usage.page("1").contains(".SH EXIT CODES\n.TP\n.B 0\ndone\n"), "{}", usage.page("1"));
        assert!(Usage::read("nothing").is_none());
    }

    #[test]
    fn the_guests_own_help_gives_all_its_commands() {
        let usage = Usage::of_guest().unwrap();
        for (name, text) in usage.commands() {
            assert!(
                !text.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{name}: {text}"
            );
        }
        for script in [usage.bash(), usage.zsh(), usage.fish(), usage.page("1")] {
            for word in ["identity", "adopt", "status"] {
                assert!(script.contains(word), "{word} is not in:\n{script}");
            }
        }
    }
}
