//! Golden archives as files: how they are compressed, and whether a tar is whole and stays within its root.
//!
//! Whoever unpacks, imports or only judges a golden reads it through here: a truncated, foreign or malicious archive is
//! told with its reason, in bounded memory.

mod ahead;
mod decode;
mod walk;

use std::io;

pub(crate) use decode::{Packing, detect, open, open_ahead, read_up_to, unpacked};
pub(crate) use walk::{Tee, check, check_first, walk};

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("it cannot be read")]
    Unreadable { source: io::Error },
    #[error("it is not a tar archive (plain, gzip, zstd or xz)")]
    NotArchive,
    #[error("it ends too early{}", after(last))]
    Truncated { last: Option<String> },
    #[error("it is damaged{}: {reason}", after(last))]
    Corrupt { last: Option<String>, reason: String },
    #[error("there is something behind its end")]
    TrailingData,
    #[error("entry `{entry}` leads out of the root: {what} {why} (`{path}`)")]
    UnsafePath { entry: String, what: &'static str, why: &'static str, path: String },
    #[error("it has more than {limit} {what}")]
    TooMuch { what: &'static str, limit: u64 },
    #[error("what takes it stopped reading")]
    SinkClosed,
}

fn after(last: &Option<String>) -> String {
    last.as_ref().map_or_else(String::new, |entry| format!(" (after entry `{entry}`)"))
}

impl Broken {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "golden-unreadable",
            Self::NotArchive => "golden-not-archive",
            Self::Truncated { .. } => "golden-truncated",
            Self::Corrupt { .. } => "golden-corrupt",
            Self::TrailingData => "golden-trailing-data",
            Self::UnsafePath { .. } => "golden-unsafe-path",
            Self::TooMuch { .. } => "golden-too-large",
            Self::SinkClosed => "restore-failed",
        }
    }

    /// What to do about it.
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::Truncated { .. } | Self::Corrupt { .. } | Self::TrailingData => {
                "copy or build it again: this one is not whole"
            }
            Self::NotArchive => "a golden for the local backend is a root as tar, as mmdebstrap writes it",
            Self::UnsafePath { .. } => {
                "make it with paths relative to the root: tar -C ROOT -cf golden.tar ."
            }
            Self::TooMuch { .. } => "if it is to be so large, allow it: --limit",
            Self::Unreadable { .. } => "is it there, and may this user read it?",
            Self::SinkClosed => "is there space left in the state folder?",
        }
    }
}
