//! Why the server said no, as a stable code.

/// Of [`Class::Rejected`](super::Class::Rejected).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A value is wrong, or this version does not know it.
    InvalidRequest,
    /// The name is taken.
    Exists,
    /// Not while the instance runs.
    Running,
    /// Only while the instance runs.
    NotRunning,
    /// `security.protection.delete`
    Protected,
    /// Somebody changed it since it was read.
    ChangedMeanwhile,
    /// Something else uses it.
    InUse,
    NoImage,
    NoNetwork,
    NoPool,
    NoProfile,
    NoProject,
    NoVolume,
    NoSnapshot,
    /// Of a cluster.
    NoMember,
    /// No such file in the instance.
    NoGuestFile,
    /// The machine's agent does not run (yet).
    NoAgent,
    /// The command is not there, or cannot be run.
    NoCommand,
    /// A limit of the project.
    LimitReached,
    /// The project is restricted, and does not allow it.
    Restricted,
    /// The pool has no room.
    PoolFull,
    /// Its pool or network is not there at the moment.
    Unavailable,
    /// This host cannot do it: machines without KVM, for one.
    NotSupported,
    /// Somebody cancelled the operation.
    Cancelled,
    /// It did not end within the time that the call gave.
    TooSlow,
    /// The answer is larger than we take.
    TooLarge,
    /// An answer that is none, to a read.
    Unreadable,
    /// Something else; the text says what.
    ServerError,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "incus-invalid-request",
            Self::Exists => "incus-exists",
            Self::Running => "incus-running",
            Self::NotRunning => "incus-not-running",
            Self::Protected => "incus-protected",
            Self::ChangedMeanwhile => "incus-changed-meanwhile",
            Self::InUse => "incus-in-use",
            Self::NoImage => "incus-no-image",
            Self::NoNetwork => "incus-no-network",
            Self::NoPool => "incus-no-pool",
            Self::NoProfile => "incus-no-profile",
            Self::NoProject => "incus-no-project",
            Self::NoVolume => "incus-no-volume",
            Self::NoSnapshot => "incus-no-snapshot",
            Self::NoMember => "incus-no-member",
            Self::NoGuestFile => "incus-no-guest-file",
            Self::NoAgent => "incus-no-agent",
            Self::NoCommand => "incus-no-command",
            Self::LimitReached => "incus-limit-reached",
            Self::Restricted => "incus-restricted",
            Self::PoolFull => "incus-pool-full",
            Self::Unavailable => "incus-unavailable",
            Self::NotSupported => "incus-not-supported",
            Self::Cancelled => "incus-cancelled",
            Self::TooSlow => "incus-too-slow",
            Self::TooLarge => "incus-too-large",
            Self::Unreadable => "incus-unreadable",
            Self::ServerError => "incus-server-error",
        }
    }

    pub(super) fn hint(self) -> Option<&'static str> {
        match self {
            Self::Protected => {
                Some("`security.protection.delete` is set on the instance: whoever set it has to take it off")
            }
            Self::ChangedMeanwhile => Some("somebody else changes this instance at the same time"),
            Self::NoImage => {
                Some("`incus image list` shows what the server has; images of other servers are copied first")
            }
            Self::NoProject => {
                Some("`incus project list` shows the projects; incus.remote's `project` names ours")
            }
            Self::LimitReached => {
                Some("`incus project info PROJECT` shows the limits and what is used of them")
            }
            Self::Restricted => {
                Some("`incus project show PROJECT`: a `restricted.*` key of the project forbids it")
            }
            Self::PoolFull => Some("`incus storage info POOL` shows its space"),
            _ => None,
        }
    }
}
