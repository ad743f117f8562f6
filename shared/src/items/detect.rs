//! How an item is told from a root that does not carry it.

use crate::ids::MacAddress;

/// A rule over what stands at a path; the bytes are those of the file, symlinks followed within the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detect {
    /// Anything stands there.
    Exists,
    /// A file with at least one byte.
    NonEmpty,
    /// A regular file where a symlink belongs.
    FileNotSymlink,
    /// A line gives one of these keys a value: `key=value`, `key: value` or `key value`.
    HasValue(&'static [&'static str]),
    /// A line gives the key a true value.
    IsTrue(&'static str),
    /// A line that names one of these words is followed on the same line by a MAC address; no words: any line.
    Mac(&'static [&'static str]),
    /// A valid machine-id (machine-id(5)); empty and `uninitialized` are not identities.
    MachineId,
    /// The file holds this word and nothing else.
    Word(&'static str),
    /// The file's name begins with a machine-id.
    NamedByMachineId,
    /// PEM, OpenSSH or PGP armour of a private key.
    PrivateKey,
    /// A host name other than localhost.
    HostName,
    /// Not to be seen in a root: the hypervisor or the block devices have it.
    Elsewhere,
}

/// What stands at a path, the last symlink not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Symlink,
    Folder,
    Other,
}

/// What a rule says of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing of the golden.
    Clean,
    /// The place is there and empty: sealed, and waiting for a value where somebody has to make one.
    Emptied,
    /// An identity stands there.
    Carried,
}

impl Detect {
    /// Whether the bytes are needed; else the name and kind decide.
    pub const fn needs_bytes(self) -> bool {
        !matches!(self, Self::Exists | Self::FileNotSymlink | Self::NamedByMachineId | Self::Elsewhere)
    }

    /// Judges one path. `bytes` are those of the file, none if it is not one.
    pub fn judge(self, name: &str, kind: EntryKind, bytes: Option<&[u8]>) -> Finding {
        let found = |carried: bool| if carried { Finding::Carried } else { Finding::Clean };
        match self {
            Self::Exists => return Finding::Carried,
            Self::FileNotSymlink => return found(kind == EntryKind::File),
            Self::NamedByMachineId => return found(name.get(..32).is_some_and(is_machine_id)),
            Self::Elsewhere => return Finding::Clean,
            _ => {}
        }
        let Some(bytes) = bytes else { return Finding::Clean };
        if bytes.is_empty() {
            return Finding::Emptied;
        }
        let text = String::from_utf8_lossy(bytes);
        match self {
            Self::HasValue(keys) => {
                let mut values = keys.iter().flat_map(|key| values_of(&text, key)).peekable();
                match (values.peek().is_some(), values.any(|value| !value.is_empty())) {
                    (_, true) => Finding::Carried,
                    (true, false) => Finding::Emptied,
                    (false, false) => Finding::Clean,
                }
            }
            Self::IsTrue(key) => found(values_of(&text, key).any(is_true)),
            Self::Mac(words) => found(lines(&text).any(|line| names_a_mac(line, words))),
            Self::MachineId => found(is_machine_id(text.trim())),
            Self::Word(word) => found(text.trim() == word),
            Self::PrivateKey => found(text.lines().any(is_private_key)),
            Self::HostName => found(lines(&text).next().is_some_and(|name| !name.starts_with("localhost"))),
            _ => Finding::Carried,
        }
    }
}

/// Lines that are no comments, trimmed.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

/// The values that lines give a key, in any of the usual notations; letters of both cases are alike.
pub(super) fn values_of<'t>(text: &'t str, key: &'t str) -> impl Iterator<Item = &'t str> {
    lines(text).filter_map(move |line| value_in(line, key))
}

pub(super) fn value_in<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let (name, rest) = line.split_at_checked(key.len())?;
    let ends = rest.is_empty() || rest.starts_with(['=', ':', ' ', '\t']);
    let separators = |c: char| matches!(c, '=' | ':' | ' ' | '\t');
    let value = rest.trim_start_matches(separators).trim_matches(['"', '\'']).trim();
    (ends && name.eq_ignore_ascii_case(key)).then_some(value)
}

fn is_true(value: &str) -> bool {
    ["true", "yes", "on", "1"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn is_machine_id(text: &str) -> bool {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits && text.bytes().any(|byte| byte != b'0')
}

fn is_private_key(line: &str) -> bool {
    let line = line.trim();
    let armour = line.starts_with("-----BEGIN ")
        && (line.ends_with("PRIVATE KEY-----") || line.ends_with("PRIVATE KEY BLOCK-----"));
    armour || line.starts_with("PuTTY-User-Key-File-")
}

fn names_a_mac(line: &str, words: &[&str]) -> bool {
    let lower = line.to_ascii_lowercase();
    let after =
        |word: &&str| lower.find(&word.to_ascii_lowercase()).and_then(|at| lower.get(at + word.len()..));
    if words.is_empty() { has_mac(&lower) } else { words.iter().filter_map(after).any(has_mac) }
}

/// A MAC address that is neither all zeros nor the broadcast.
fn has_mac(text: &str) -> bool {
    let is_hex = |at: Option<&u8>| at.is_some_and(u8::is_ascii_hexdigit);
    (0..text.len().saturating_sub(16)).any(|start| {
        let Some(word) = text.get(start..start + 17) else { return false };
        let bytes = text.as_bytes();
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        let bounded = !is_hex(before) && !is_hex(bytes.get(start + 17));
        let plain = word.replace('-', ":");
        let real = !matches!(plain.as_str(), "00:00:00:00:00:00" | "ff:ff:ff:ff:ff:ff");
        bounded && real && plain.parse::<MacAddress>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rule: Detect, text: &str) -> Finding {
        rule.judge("name", EntryKind::File, Some(text.as_bytes()))
    }

    #[test]
    fn a_rule_over_text_tells_carried_emptied_and_clean_apart() {
        use Finding::{Carried, Clean, Emptied};
        let name = Detect::HasValue(&["InitiatorName"]);
        let mac = Detect::Mac(&["mac-address", "macaddress"]);
        for (rule, text, finding) in [
            (name, "## DO NOT EDIT\nInitiatorName=iqn.1993-08.org.debian:01:a\n", Carried),
            (name, "GenerateName=yes\n", Clean),
            (name, "# InitiatorName=iqn.x\n", Clean),
            (name, "InitiatorName=\n", Emptied),
            (name, "InitiatorNames=x\n", Clean),
            (name, "", Emptied),
            (Detect::HasValue(&["MY_HOSTID"]), "MY_HOSTID=\"\"\n", Emptied),
            (Detect::HasValue(&["127.0.1.1"]), "127.0.0.1 localhost\n127.0.1.1\tgolden\n", Carried),
            (Detect::HasValue(&["127.0.1.1"]), "127.0.1.10 other\n", Clean),
            (Detect::IsTrue("manual_cache_clean"), "manual_cache_clean: True\n", Carried),
            (Detect::IsTrue("manual_cache_clean"), "manual_cache_clean: false\n", Clean),
            (mac, "[ethernet]\nmac-address=BC:24:11:00:00:01\n", Carried),
            (mac, "match: {macaddress: 'bc:24:11:00:00:01'}\n", Carried),
            (mac, "# macaddress: bc:24:11:00:00:01\n", Clean),
            (mac, "macaddress: 00:00:00:00:00:00\n", Clean),
            (mac, "addresses: [fe80:11:22:33:44:55:66:77/64]\n", Clean),
            (Detect::Mac(&[]), "ATTR{address}==\"bc-24-11-00-00-01\", NAME=\"eth0\"\n", Carried),
            (Detect::MachineId, "7be07251d7584360bfa20bcb52311efb\n", Carried),
            (Detect::MachineId, "uninitialized\n", Clean),
            (Detect::MachineId, "", Emptied),
            (Detect::MachineId, "00000000000000000000000000000000\n", Clean),
            (Detect::Word("uninitialized"), "uninitialized\n", Carried),
            (Detect::Word("uninitialized"), "", Emptied),
            (Detect::PrivateKey, "x\n-----BEGIN EC PRIVATE KEY-----\nM\n", Carried),
            (Detect::PrivateKey, "-----BEGIN PGP PRIVATE KEY BLOCK-----\n", Carried),
            (Detect::PrivateKey, "-----BEGIN CERTIFICATE-----\n", Clean),
            (Detect::HostName, "# comment\ngolden\n", Carried),
            (Detect::HostName, "localhost.localdomain\n", Clean),
            (Detect::NonEmpty, " ", Carried),
            (Detect::NonEmpty, "", Emptied),
        ] {
            assert_eq!(judge(rule, text), finding, "{rule:?} over {text:?}");
        }
    }

    #[test]
    fn a_rule_without_text_judges_name_and_kind() {
        let id = "7be07251d7584360bfa20bcb52311efb-6.12.conf";
        assert_eq!(Detect::NamedByMachineId.judge(id, EntryKind::Folder, None), Finding::Carried);
        assert_eq!(Detect::NamedByMachineId.judge("debian-6.12.conf", EntryKind::File, None), Finding::Clean);
        assert_eq!(Detect::FileNotSymlink.judge("machine-id", EntryKind::Symlink, None), Finding::Clean);
        assert_eq!(Detect::FileNotSymlink.judge("machine-id", EntryKind::File, None), Finding::Carried);
        assert_eq!(Detect::NonEmpty.judge("folder", EntryKind::Folder, None), Finding::Clean);
    }

    #[test]
    fn odd_bytes_never_panic() {
        let rules =
            [Detect::Mac(&[]), Detect::Mac(&["ä"]), Detect::HasValue(&["ä", "a"]), Detect::PrivateKey];
        for bytes in [&b"\xff\xfe\0"[..], "ää: ää:ää:ää:ää:ää:ää".as_bytes(), "İ macaddress İ".as_bytes()]
        {
            for rule in rules {
                rule.judge("ä", EntryKind::File, Some(bytes));
                Detect::NamedByMachineId.judge(&"ä".repeat(20), EntryKind::File, None);
            }
        }
    }
}
