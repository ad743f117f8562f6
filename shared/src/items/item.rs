//! What a row of the table says.

use super::{Detect, Reset, glob};

/// One kind of identity that a root may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Stable, kebab-case, unique: it stands in reports and in `lint`'s output.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// What breaks when two guests share it: one line.
    pub danger: &'static str,
    /// Relative to the root; `*` and `?` within one component. Empty: not to be seen in a root.
    pub paths: &'static [&'static str],
    /// Matches that belong to another item.
    pub except: &'static [&'static str],
    /// While one of these is there, the running system works under it (its root may hang on it), and no boot
    /// changes it.
    pub in_use: &'static [&'static str],
    pub detect: Detect,
    /// How it is taken away.
    pub reset: Reset,
    pub seal: Seal,
    pub first_boot: FirstBoot,
    pub severity: Severity,
    pub renewers: Renewers,
    /// Where the rule was verified: a package and its file, `repository:path`, or a man page.
    pub source: &'static str,
    /// False: general knowledge. Such an item is only information and never reset.
    pub verified: bool,
}

/// What `seal` does about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Carries out the reset.
    Reset,
    /// Says that the golden cannot be sealed until somebody has decided.
    Refuse,
    /// Nothing: it is only said.
    Leave,
}

/// What the first boot does about an item.
///
/// It runs after the local file systems and before any network or service, so it may take away what services read
/// when they start, and nothing that PID 1, udev or the random seed's service have already used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBoot {
    /// The identity phase has code of its own for it.
    Identity,
    /// Carries out the reset; the owner makes it anew when it starts.
    Reset,
    /// Puts a new value in place: nobody else would.
    Fresh(Fresh),
    /// The late phase runs the owner's program; the early one only finds it, and the stamp names it as pending.
    Late,
    /// Reported and left: what replaces it is not ours to decide.
    Report,
    /// Not looked for: the running system has it by right, or it is on a file system that may wait for the network.
    Silent,
}

/// A value that is made, not taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// `nqn.2014-08.org.nvmexpress:uuid:UUID` and the same UUID, one to each file: the kernel wants them in step.
    NvmeHost,
    /// The golden's iSCSI name with another end, as iscsi-iname makes them: 12 random hexadecimal digits.
    IscsiName,
    /// A private key in Dropbear's own form, of the type that the file's name says. Whoever can make keys makes it.
    DropbearKey,
    /// 32 random hexadecimal digits in quotes, as the value of a key.
    QuotedId(&'static str),
}

/// How `lint` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A leak or a nuisance.
    Warn,
    /// Two guests impersonate each other, share a secret, or one of them does not work.
    Fail,
}

/// Who makes an item anew once it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewer {
    /// The guest agent.
    Us,
    Systemd,
    /// The program that owns it, when it starts.
    Service(&'static str),
    CloudInit,
    /// It stays away, or somebody has to make it.
    Nobody,
    /// Not looked into for this system.
    Unknown,
}

/// The renewer on each system that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewers {
    pub debian12: Renewer,
    pub debian13: Renewer,
    pub ubuntu2404: Renewer,
    pub fedora: Renewer,
    pub nixos: Renewer,
    /// One line: under which condition, or what to do.
    pub note: &'static str,
}

impl Renewers {
    /// The same one everywhere.
    pub const fn all(renewer: Renewer, note: &'static str) -> Self {
        Self {
            debian12: renewer,
            debian13: renewer,
            ubuntu2404: renewer,
            fedora: renewer,
            nixos: renewer,
            note,
        }
    }

    /// Two Debians and Ubuntu, which share the package.
    pub const fn debian(renewer: Renewer, note: &'static str) -> Self {
        Self {
            debian12: renewer,
            debian13: renewer,
            ubuntu2404: renewer,
            fedora: Renewer::Unknown,
            nixos: Renewer::Unknown,
            note,
        }
    }

    #[must_use]
    pub const fn fedora(self, renewer: Renewer) -> Self {
        Self { fedora: renewer, ..self }
    }

    #[must_use]
    pub const fn nixos(self, renewer: Renewer) -> Self {
        Self { nixos: renewer, ..self }
    }

    /// In the order of the table's columns.
    pub const fn each(&self) -> [Renewer; 5] {
        [self.debian12, self.debian13, self.ubuntu2404, self.fedora, self.nixos]
    }
}

impl Item {
    /// Whether a path that matched one of [`Item::paths`] belongs to this item.
    pub fn owns(&self, path: &str) -> bool {
        !self.except.iter().any(|pattern| glob::matches_path(pattern, path))
    }

    /// Whether the first boot looks for it.
    pub const fn is_sought_at_first_boot(&self) -> bool {
        !matches!(self.first_boot, FirstBoot::Identity | FirstBoot::Silent)
    }

    /// Whether the first boot changes it.
    pub const fn changes_at_first_boot(&self) -> bool {
        matches!(self.first_boot, FirstBoot::Reset | FirstBoot::Fresh(_))
    }
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

impl Fresh {
    /// The file's new bytes; none if this file is not one that it knows.
    ///
    /// `random` is the same for all files of an item in one run.
    pub fn bytes(self, path: &str, old: &[u8], random: [u8; 16]) -> Option<Vec<u8>> {
        match self {
            Self::NvmeHost => {
                let uuid = uuid4(random);
                match path.rsplit('/').next()? {
                    "hostnqn" => Some(format!("nqn.2014-08.org.nvmexpress:uuid:{uuid}\n").into_bytes()),
                    "hostid" => Some(format!("{uuid}\n").into_bytes()),
                    _ => None,
                }
            }
            Self::IscsiName => {
                let name = new_iscsi_name(&String::from_utf8_lossy(old), random)?;
                super::reset::set_value(old, INITIATOR_NAME, &name)
            }
            Self::DropbearKey => None,
            Self::QuotedId(key) => super::reset::set_value(old, key, &format!("\"{}\"", hex::encode(random))),
        }
    }
}

const INITIATOR_NAME: &str = "InitiatorName";

/// RFC 7143, 4.2.7: `iqn.`, a month, a naming authority, and what it likes behind a colon. Other kinds of names
/// (`eui.`, `naa.`) are hardware's.
fn new_iscsi_name(text: &str, random: [u8; 16]) -> Option<String> {
    let old = super::detect::values_of(text, INITIATOR_NAME).find(|value| !value.is_empty())?;
    let head = old.rsplit_once(':').map_or(old, |(head, _)| head);
    head.starts_with("iqn.").then(|| format!("{head}:{}", hex::encode(&random[..6])))
}

/// RFC 9562, version 4.
fn uuid4(mut random: [u8; 16]) -> String {
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    let digits = hex::encode(random);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
