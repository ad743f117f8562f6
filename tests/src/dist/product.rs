//! The two programs.

/// A program that is packaged by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    Guest,
    Companion,
}

impl Product {
    pub const ALL: [Self; 2] = [Self::Guest, Self::Companion];

    /// Of the crate, the program and the package.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "firstlight-guest",
            Self::Companion => "firstlight",
        }
    }

    /// The folder of its crate.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Guest => "guest-agent",
            Self::Companion => "host-agent",
        }
    }

    pub(super) fn summary(self) -> &'static str {
        match self {
            Self::Guest => {
                "Gives a clone its own identity before anything uses the golden's, checks it, and signs a report"
            }
            Self::Companion => "Brings clones of golden images to life exactly once, and proves it",
        }
    }
}
