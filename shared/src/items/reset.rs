//! How an item is taken away, and the text that is left.

use super::detect::{lines, value_in, values_of};

/// What makes a root carry the item no more. Bytes and modes are here; the walking is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The file or symlink goes.
    Remove,
    /// The folder goes with all that is in it.
    RemoveTree,
    /// The file stays, empty.
    Truncate,
    /// The file's whole text, and its mode.
    WriteText { text: &'static str, mode: u32 },
    /// The lines that give the key a value give it this one.
    SetValue { key: &'static str, value: &'static str },
    /// The lines that give the key a value go.
    DropLines(&'static str),
    /// As [`Reset::DropLines`], unless a line gives this other key a value: what is beside it hangs on it.
    DropLinesWithout { key: &'static str, but: &'static str },
    /// This reset, where the file holds the golden's own name and not one that all clones are to have.
    IfOwnName { key: Option<&'static str>, reset: &'static Reset },
    /// A symlink to this target.
    Link(&'static str),
    /// Empty with mode 0444: absent or `uninitialized` would make it a first boot to systemd.
    EmptyMachineId,
    /// The owner's program, run in the guest.
    Run(&'static [&'static str]),
    /// The reset of the owner that is there (the path exists), the first one counts; none there: [`Reset::Policy`].
    ByOwner(&'static [(&'static str, Reset)]),
    /// Never by us: somebody has to decide.
    Policy,
}

impl Reset {
    /// What holds in a root where these paths exist.
    #[must_use]
    pub fn in_root(self, exists: impl Fn(&str) -> bool) -> Self {
        match self {
            Self::ByOwner(owners) => {
                owners.iter().find(|(path, _)| exists(path)).map_or(Self::Policy, |(_, reset)| *reset)
            }
            other => other,
        }
    }

    /// What holds for a golden that has (or had) these names, and a file with this text.
    #[must_use]
    pub fn for_names(self, names: &[String], text: &[u8]) -> Self {
        let Self::IfOwnName { key, reset } = self else { return self };
        let text = String::from_utf8_lossy(text);
        let value = match key {
            Some(key) => values_of(&text, key).last(),
            None => lines(&text).next(),
        };
        let value = value.unwrap_or_default();
        let is_own = |name: &String| {
            let label = name.split('.').next().unwrap_or_default();
            !label.is_empty()
                && value.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case(label))
        };
        if names.iter().any(is_own) { *reset } else { Self::Policy }
    }

    /// The file's bytes after the reset; none where it is not a matter of bytes.
    pub fn bytes(self, old: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Truncate | Self::EmptyMachineId => Some(Vec::new()),
            Self::WriteText { text, .. } => Some(text.as_bytes().to_vec()),
            Self::SetValue { key, value } => set_value(old, key, value),
            Self::DropLines(key) => edit(old, key, |_| None),
            Self::DropLinesWithout { key, but } => {
                let others = String::from_utf8_lossy(old);
                let hangs = values_of(&others, but).any(|value| !value.is_empty());
                if hangs { None } else { edit(old, key, |_| None) }
            }
            _ => None,
        }
    }

    /// The mode that the reset gives; none leaves it as it is.
    pub const fn mode(self) -> Option<u32> {
        match self {
            Self::WriteText { mode, .. } => Some(mode),
            Self::EmptyMachineId => Some(0o444),
            _ => None,
        }
    }
}

pub(super) fn set_value(old: &[u8], key: &str, value: &str) -> Option<Vec<u8>> {
    edit(old, key, |_| Some(format!("{key}={value}")))
}

/// Rewrites the lines that give the key a value; the rest stays byte for byte. None if the text is not UTF-8.
fn edit(old: &[u8], key: &str, line: impl Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let mut new = String::with_capacity(old.len());
    for part in std::str::from_utf8(old).ok()?.split_inclusive('\n') {
        if value_in(part.trim(), key).is_none() {
            new.push_str(part);
        } else if let Some(line) = line(part) {
            new.push_str(&line);
            new.push('\n');
        }
    }
    Some(new.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_and_a_line_dropped_without_touching_the_rest() {
        let text = b"# MY_HOSTID=kept\nMY_HOSTID=\"abc\"\nPARTICIPATE=\"no\"";
        let set = Reset::SetValue { key: "MY_HOSTID", value: "\"\"" }.bytes(text).unwrap();
        assert_eq!(set, b"# MY_HOSTID=kept\nMY_HOSTID=\"\"\nPARTICIPATE=\"no\"");
        assert_eq!(Reset::SetValue { key: "MY_HOSTID", value: "\"\"" }.bytes(&set).unwrap(), set);
        let hosts = b"127.0.0.1\tlocalhost\n127.0.1.1\tgolden.example golden\n::1 localhost\n";
        let dropped = Reset::DropLines("127.0.1.1").bytes(hosts).unwrap();
        assert_eq!(dropped, b"127.0.0.1\tlocalhost\n::1 localhost\n");
        assert_eq!(Reset::DropLines("x").bytes(b"\xff"), None);
    }

    #[test]
    fn what_hangs_on_a_line_keeps_it() {
        let reset = Reset::DropLinesWithout { key: "oldEngineID", but: "usmUser" };
        let alone = b"engineBoots 2\noldEngineID 0x80001f88\n";
        assert_eq!(reset.bytes(alone).unwrap(), b"engineBoots 2\n");
        assert_eq!(reset.bytes(b"usmUser 1 3 0x80001f88 \"a\"\noldEngineID 0x80001f88\n"), None);
    }

    #[test]
    fn only_the_golden_s_own_name_goes() {
        const LOCAL: Reset = Reset::WriteText { text: "localhost\n", mode: 0o644 };
        const NAME: Reset = Reset::IfOwnName { key: None, reset: &LOCAL };
        const HOST: Reset =
            Reset::IfOwnName { key: Some("myhostname"), reset: &Reset::DropLines("myhostname") };
        let names = ["golden.example".to_owned()];
        for (reset, text, expected) in [
            (NAME, "golden\n", LOCAL),
            (NAME, "Golden.example.org\n", LOCAL),
            (NAME, "example.org\n", Reset::Policy),
            (NAME, "", Reset::Policy),
            (HOST, "# x\nmyhostname = golden.lan\n", Reset::DropLines("myhostname")),
            (HOST, "myhostname = mail.example.org\n", Reset::Policy),
            (Reset::Remove, "golden\n", Reset::Remove),
        ] {
            assert_eq!(reset.for_names(&names, text.as_bytes()), expected, "{text}");
        }
        assert_eq!(NAME.for_names(&[], b"golden\n"), Reset::Policy);
    }

    #[test]
    fn the_owner_that_is_there_decides_on_the_reset() {
        const BOTH: Reset = Reset::ByOwner(&[("a", Reset::Remove), ("b", Reset::Truncate)]);
        assert_eq!(BOTH.in_root(|path| path == "b"), Reset::Truncate);
        assert_eq!(BOTH.in_root(|_| true), Reset::Remove);
        assert_eq!(BOTH.in_root(|_| false), Reset::Policy);
        assert_eq!(Reset::Remove.in_root(|_| false), Reset::Remove);
    }
}
