//! Which files and programs of its machine a companion uses as sources. Pure.

use std::path::PathBuf;

use crate::backend::SecretSource;
use crate::outcome::Fault;

/// Whoever may submit guests could else read any file that the companion may, and run any program as its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRules {
    /// A companion inside somebody's own command: it is their files and their programs.
    Anything,
    Only {
        /// Files at any depth below these.
        folders: Vec<PathBuf>,
        /// These, with any arguments.
        programs: Vec<PathBuf>,
    },
}

impl SecretRules {
    /// By the source's words alone; links in a path are judged where it is opened.
    pub(super) fn check(&self, source: &SecretSource) -> Result<(), Fault> {
        let Self::Only { folders, programs } = self else { return Ok(()) };
        let (right, what, hint) = match source {
            SecretSource::File(path) => (
                folders.iter().any(|folder| path.starts_with(folder)),
                "the companion gives out no file from there",
                format!(
                    "{}; `secrets.files` of the companion's configuration names the folders",
                    listed(folders)
                ),
            ),
            SecretSource::Command(words) => (
                words
                    .first()
                    .is_some_and(|word| programs.iter().any(|program| program.as_os_str() == word.as_str())),
                "the companion runs no such program for secrets",
                format!(
                    "{}; `secrets.commands` of the companion's configuration names the programs",
                    listed(programs)
                ),
            ),
        };
        if right { Ok(()) } else { Err(Fault::new("secret-not-allowed", what).with_hint(hint)) }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "none is allowed".to_owned();
    }
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("allowed: {}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_a_source() {
        let rules = SecretRules::Only {
            folders: vec!["/etc/secrets".into()],
            programs: vec!["/usr/bin/pass".into()],
        };
        let file = |path: &str| SecretSource::File(path.into());
        let command = |word: &str| SecretSource::Command(vec![word.into(), "x".into()]);
        for (source, allowed) in [
            (file("/etc/secrets/a"), true),
            (file("/etc/secrets/deep/a"), true),
            (file("/etc/secrets-of-others/a"), false),
            (file("/etc/shadow"), false),
            (command("/usr/bin/pass"), true),
            (command("/usr/bin/../bin/pass"), false),
            (command("/bin/sh"), false),
        ] {
            assert_eq!(rules.check(&source).is_ok(), allowed, "{source:?}");
            assert!(SecretRules::Anything.check(&source).is_ok());
        }
        let none = SecretRules::Only { folders: vec![], programs: vec![] };
        let fault = none.check(&command("/usr/bin/pass")).unwrap_err();
        assert!(fault.hint.unwrap().contains("secrets.commands"));
    }
}
