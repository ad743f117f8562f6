//! Secret files as a plan names them: where they come from and where they go, never what is in them.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use firstlight_shared::ids::GuestName;
use firstlight_shared::text::escape;
use firstlight_shared::wire::ExpectedSecret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How many a guest may have.
const MOST: usize = 32;
/// Stands for the guest's name in a source.
const NAME: &str = "{name}";
/// A guest mounts its own file systems there: a file that is put there before its start is hidden.
const MOUNTED_OVER: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];
/// Bytes of a path, and of each of its parts. Source: limits.h of Linux.
const PATH_AT_MOST: usize = 1024;
const PART_AT_MOST: usize = 200;
/// As useradd(8) takes them.
const OWNER_AT_MOST: usize = 32;

/// One file that is brought into a guest before its first unit needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretPlan {
    /// Absolute path in the guest.
    #[schema(value_type = String, example = "/var/lib/sops-nix/key.txt")]
    pub path: PathBuf,
    #[schema(value_type = String, example = "0400")]
    #[serde(default)]
    pub mode: FileMode,
    #[schema(value_type = String, example = "root:root")]
    #[serde(default)]
    pub owner: Owner,
    pub source: SecretSource,
    /// The operator accepts a way that others can read: the environment of a Proxmox container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_env: bool,
}

/// Where the companion gets it when the guest is made. `{name}` stands for the guest's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// A file of the companion's machine.
    #[schema(value_type = String, example = "/etc/firstlight/secrets/age.txt")]
    File(PathBuf),
    /// A program of the companion's machine with its arguments, without a shell: its standard output.
    Command(Vec<String>),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", escape(&path.to_string_lossy(), 200)),
            // Its arguments may be a secret's name at most; the program is enough to find it.
            Self::Command(words) => {
                write!(f, "command {}", escape(words.first().map_or("", String::as_str), 200))
            }
        }
    }
}

impl SecretSource {
    /// For one guest.
    #[must_use]
    pub fn of_guest(&self, name: &GuestName) -> Self {
        match self {
            Self::File(path) => Self::File(path.to_string_lossy().replace(NAME, name.as_str()).into()),
            Self::Command(words) => {
                Self::Command(words.iter().map(|word| word.replace(NAME, name.as_str())).collect())
            }
        }
    }
}

/// Permission bits, for owner and group only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u32);

impl Default for FileMode {
    fn default() -> Self {
        Self(0o400)
    }
}

impl FileMode {
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromStr for FileMode {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octal = !text.is_empty() && text.len() <= 4 && text.bytes().all(|digit| digit.is_ascii_digit());
        let bits = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        bits.filter(|bits| bits & !0o660 == 0 && bits & 0o400 != 0).map(Self).ok_or(
            "octal digits from \"0400\" to \"0660\" are wanted: its owner reads it, and nobody but owner and group",
        )
    }
}

/// `USER:GROUP`, each a name of the guest or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner {
    pub user: String,
    pub group: String,
}

impl Default for Owner {
    fn default() -> Self {
        Self { user: "root".to_owned(), group: "root".to_owned() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

impl FromStr for Owner {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let right = |name: &str| {
            !name.is_empty()
                && name.len() <= OWNER_AT_MOST
                && !name.starts_with('-')
                && name.chars().all(plain)
                // A number is one of the kernel's; 4294967295 means \"leave it\" to chown(2).
                && (!name.starts_with(|c: char| c.is_ascii_digit())
                    || name.parse::<u32>().is_ok_and(|id| id != u32::MAX))
        };
        match text.split_once(':') {
            Some((user, group)) if right(user) && right(group) => {
                Ok(Self { user: user.to_owned(), group: group.to_owned() })
            }
            _ => Err("USER:GROUP is wanted, names of the guest or numbers"),
        }
    }
}

macro_rules! as_text {
    ($of:ty) => {
        impl TryFrom<String> for $of {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$of> for String {
            fn from(value: $of) -> Self {
                value.to_string()
            }
        }
    };
}
as_text!(FileMode);
as_text!(Owner);

impl SecretPlan {
    /// As a claim names it.
    pub fn expected(&self) -> ExpectedSecret {
        ExpectedSecret {
            path: self.path.to_string_lossy().into_owned(),
            mode: self.mode.to_string(),
            owner: self.owner.to_string(),
        }
    }
}

/// The number of a user or group of a guest, by the text of its own passwd(5) or group(5): the third field of the first line
/// that begins with the name. A number stands for itself.
pub fn account_number(text: &str, name: &str) -> Option<u32> {
    let named = || {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
        })
    };
    name.parse().ok().or_else(named)
}

/// What is wrong with them, as field, value and problem; none: nothing. Reads no source.
pub fn secrets_problem(secrets: &[SecretPlan]) -> Option<(&'static str, String, String)> {
    if secrets.len() > MOST {
        return Some(("secrets", secrets.len().to_string(), format!("{MOST} at most")));
    }
    secrets.iter().enumerate().find_map(|(index, secret)| {
        let shown = escape(&secret.path.to_string_lossy(), 200);
        if let Some(problem) = path_problem(&secret.path) {
            return Some(("secrets.path", shown, problem));
        }
        if secrets.iter().take(index).any(|other| other.path == secret.path) {
            return Some(("secrets.path", shown, "two secrets cannot be one file".to_owned()));
        }
        source_problem(&secret.source).map(|(field, problem)| (field, shown, problem.to_owned()))
    })
}

fn path_problem(path: &Path) -> Option<String> {
    let text = path.to_str().unwrap_or_default();
    let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    // Compared with what a report says: written in one way only.
    let normal = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
    let unfit = text.chars().any(|letter| letter.is_control() || letter == '\\');
    if !path.is_absolute() || !plain || !normal || unfit || text.len() < 2 || text.ends_with('/') {
        return Some(
            "an absolute path of a file without `..`, `//`, `\\` and control characters is wanted".to_owned(),
        );
    }
    if text.len() > PATH_AT_MOST || text.split('/').any(|part| part.len() > PART_AT_MOST) {
        return Some(format!(
            "{PART_AT_MOST} bytes for each part and {PATH_AT_MOST} for the whole are the most"
        ));
    }
    let over = MOUNTED_OVER.iter().find(|place| path.starts_with(place))?;
    Some(format!(
        "a guest mounts a file system of its own at {over}, which hides it: choose a place on its disk, below /var/lib for one"
    ))
}

fn source_problem(source: &SecretSource) -> Option<(&'static str, &'static str)> {
    match source {
        SecretSource::File(path) => {
            let text = path.to_str().unwrap_or_default();
            let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
            let right =
                path.is_absolute() && plain && text.len() <= 4095 && !text.chars().any(char::is_control);
            (!right).then_some((
                "secrets.file",
                "its `file` is to be an absolute path on the companion's machine, without `..` and control characters",
            ))
        }
        SecretSource::Command(words) => {
            let program = words.first().map(Path::new);
            let right = program.is_some_and(Path::is_absolute)
                && words.len() <= 64
                && words.iter().all(|word| word.len() <= 4096 && !word.contains('\0'));
            (!right).then_some((
                "secrets.command",
                "its `command` is to be a program by its absolute path, then its arguments; there is no shell",
            ))
        }
    }
}

/// A secret on its way into one guest. Never journaled, logged or kept; no `Debug` output holds the content.
pub struct SecretFile {
    /// Absolute path in the guest.
    pub path: PathBuf,
    pub mode: FileMode,
    pub owner: Owner,
    pub content: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SecretFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(path: &str) -> SecretPlan {
        SecretPlan {
            path: path.into(),
            mode: FileMode::default(),
            owner: Owner::default(),
            source: SecretSource::File("/s/{name}.key".into()),
            allow_env: false,
        }
    }

    #[test]
    fn paths_are_plain_files_on_the_guests_disk() {
        for right in
            ["/var/lib/sops-nix/key.txt", "/etc/a b", "/root/.config/sops/age/keys.txt", "/runner/key"]
        {
            assert_eq!(secrets_problem(&[secret(right)]), None, "{right}");
        }
        let long = format!("/{}", "n".repeat(201));
        for (wrong, said) in [
            ("", "absolute"),
            ("key", "absolute"),
            ("/", "absolute"),
            ("/etc/", "absolute"),
            ("/etc//key", "absolute"),
            ("/etc/./key", "absolute"),
            ("/etc/../key", "absolute"),
            ("/etc/k\u{1b}[31m", "absolute"),
            ("/proc/1/x", "/proc"),
            ("/run/secrets/key", "hides it"),
            ("/tmp/key", "/tmp"),
            (&long, "200 bytes"),
        ] {
            let (field, shown, problem) = secrets_problem(&[secret(wrong)]).expect(wrong);
            assert_eq!(field, "secrets.path", "{wrong}");
            assert!(problem.contains(said), "{wrong}: {problem}");
            assert!(!shown.contains(char::is_control), "{shown}");
        }
        let twice = [secret("/a"), secret("/b"), secret("/a")];
        assert!(secrets_problem(&twice).unwrap().2.contains("one file"));
        assert!(secrets_problem(&vec![secret("/a"); MOST + 1]).unwrap().2.contains("32"));
    }

    #[test]
    fn sources_are_absolute_and_know_the_guest() {
        let of = |source| secrets_problem(&[SecretPlan { source, ..secret("/k") }]).map(|(field, ..)| field);
        let command = |words: &[&str]| SecretSource::Command(words.iter().map(|&word| word.into()).collect());
        assert_eq!(of(command(&["/usr/bin/pass", "show", "{name}"])), None);
        for wrong in [command(&[]), command(&["pass"]), command(&["/bin/x", "a\0b"])] {
            assert_eq!(of(wrong), Some("secrets.command"));
        }
        for wrong in ["", "key", "/a/../b", "/a\n"] {
            assert_eq!(of(SecretSource::File(wrong.into())), Some("secrets.file"), "{wrong}");
        }
        let name = "web-01".parse().unwrap();
        assert_eq!(secret("/k").source.of_guest(&name), SecretSource::File("/s/web-01.key".into()));
        assert_eq!(command(&["/p", "a-{name}"]).of_guest(&name), command(&["/p", "a-web-01"]));
        assert_eq!(command(&["/p", "hunter2"]).to_string(), "command /p");
    }

    #[test]
    fn accounts_are_the_guests_own() {
        let text = "root:x:0:0:root:/root:/bin/bash\nodd\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\nadm:x:4:syslog\n";
        for (name, number) in
            [("root", Some(0)), ("www-data", Some(33)), ("adm", Some(4)), ("www", None), ("7", Some(7))]
        {
            assert_eq!(account_number(text, name), number, "{name}");
        }
    }

    #[test]
    fn modes_and_owners_are_read_as_they_are_written() {
        for (text, bits) in
            [("0400", Some(0o400)), ("600", Some(0o600)), ("0660", Some(0o660)), ("0440", Some(0o440))]
        {
            assert_eq!(text.parse::<FileMode>().ok().map(FileMode::bits), bits, "{text}");
        }
        for wrong in ["", "0444", "0000", "0700", "4400", "0o400", "+400", "0200", "9", "00400"] {
            assert!(wrong.parse::<FileMode>().is_err(), "{wrong}");
        }
        for right in ["root:root", "0:0", "www-data:adm", "_apt:65534", "systemd-network:1000"] {
            assert_eq!(right.parse::<Owner>().unwrap().to_string(), right);
        }
        for wrong in ["", "root", ":", "a:", "a:b:c", "-a:b", "a b:c", "1x:2", "4294967295:0", "4294967296:0"]
        {
            assert!(wrong.parse::<Owner>().is_err(), "{wrong}");
        }
        let text = serde_json::to_string(&secret("/k")).unwrap();
        assert!(
            text.contains(r#""mode":"0400","owner":"root:root","source":{"file":"/s/{name}.key"}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<SecretPlan>(&text).unwrap(), secret("/k"));
    }
}
